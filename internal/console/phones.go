package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"codeword/api"
)

// Phones does what the owner of a number may ask for, and tells who asks for him what
// happened. A phone is named by the id that its client knows.
type Phones interface {
	// Find tells what each client knows of a phone, or that one alone if it is named. The
	// phone is a number in E.164 or an id; fault.InvalidPhone for neither. Who looked is
	// recorded, and nothing told when that fails.
	Find(ctx context.Context, actor, client, phone string) ([]PhoneView, error)
	// Erase erases what is kept of it, and records that for the actor. It may be repeated,
	// and be called for a phone that nothing is known of.
	Erase(ctx context.Context, actor, client, phone string) (PhoneErased, error)
	// Export tells all that is kept of it, and records that for the actor.
	Export(ctx context.Context, actor, client, phone string) (PhoneExport, error)
}

// What Phones refuses.
var (
	// ErrNoClient means that there is no such client.
	ErrNoClient = errors.New("there is no such client")
	// ErrNoPhone means that no phone of the client can have the id or, for an export, that
	// nothing is kept of it.
	ErrNoPhone = errors.New("nothing is kept of such a phone")
)

// PhoneErased tells what was erased, and what stays.
type PhoneErased struct {
	PhoneID string       `json:"phoneId"`
	Erased  ErasedCounts `json:"erased"`
	Kept    KeptMarks    `json:"kept"`
}

// ErasedCounts counts by kind what was erased.
type ErasedCounts struct {
	Phones          int `json:"phones"`
	Users           int `json:"users"`
	Sessions        int `json:"sessions"`
	Challenges      int `json:"challenges"`
	Devices         int `json:"devices"`
	Messages        int `json:"messages"`
	Dispatches      int `json:"dispatches"`
	Receipts        int `json:"receipts"`
	IdempotencyKeys int `json:"idempotencyKeys"`
	LineTypes       int `json:"lineTypes"`
	LineOverrides   int `json:"lineOverrides"`
	Webhooks        int `json:"webhooks"`
	Refusals        int `json:"refusals"`
}

// KeptMarks tells what stays, with the phone's id and nothing else.
type KeptMarks struct {
	// OptOut stays for good: else messages would go out again.
	OptOut bool `json:"optOut"`
	// Block stays until its end.
	Block bool `json:"block"`
	// Failures, the times of wrong codes, stay until they count no more, a day later: else
	// who guesses could begin anew.
	Failures bool `json:"failures"`
}

// PhoneExport is all that is kept of a phone.
type PhoneExport struct {
	ExportTime  api.Time `json:"exportTime"`
	ClientID    string   `json:"clientId"`
	PhoneID     string   `json:"phoneId"`
	PhoneNumber string   `json:"phoneNumber,omitempty"`
	// EraseTime is set, and the number not, when the phone was erased.
	EraseTime    api.Time `json:"eraseTime,omitzero"`
	CreateTime   api.Time `json:"createTime,omitzero"`
	LastSendTime api.Time `json:"lastSendTime,omitzero"`
	UserID       string   `json:"userId,omitempty"`
	VerifyTime   api.Time `json:"verifyTime,omitzero"`
	OptOutTime   api.Time `json:"optOutTime,omitzero"`
	BlockEndTime api.Time `json:"blockEndTime,omitzero"`

	Challenges []ChallengeExport `json:"challenges"`
	Limits     []LimitExport     `json:"limits"`
	// Devices are keyed digests.
	Devices  []string        `json:"devices"`
	Sessions []SessionExport `json:"sessions"`
	// IdempotencyKeys are the ends of records of which nothing can be read.
	IdempotencyKeys []api.Time      `json:"idempotencyKeys"`
	LineType        *LineExport     `json:"lineType,omitempty"`
	LineOverride    *LineExport     `json:"lineOverride,omitempty"`
	Messages        []MessageDetail `json:"messages"`
	Refusals        []PhoneRefusal  `json:"refusals"`
	// Events are those of the client about phones that name this one.
	Events []EventView `json:"events"`
}

// ChallengeExport is a live challenge; its code is kept nowhere.
type ChallengeExport struct {
	CreateTime api.Time `json:"createTime"`
	ExpireTime api.Time `json:"expireTime"`
	Attempts   int      `json:"attempts"`
	// Bound: only the session or device that asked for it can use it.
	Bound bool `json:"bound"`
}

// LimitExport is what limits have counted in a lane.
type LimitExport struct {
	Lane         string     `json:"lane"`
	BurstEndTime api.Time   `json:"burstEndTime,omitzero"`
	Sends        []api.Time `json:"sends"`
	WrongCodes   []api.Time `json:"wrongCodes"`
}

// SessionExport is a live session.
type SessionExport struct {
	ID         string   `json:"id"`
	UserID     string   `json:"userId"`
	AMR        []string `json:"amr"`
	AuthTime   api.Time `json:"authTime"`
	CreateTime api.Time `json:"createTime"`
	ExpireTime api.Time `json:"expireTime"`
	Issuer     string   `json:"issuer,omitempty"`
	Subject    string   `json:"subject,omitempty"`
}

// LineExport is what is known of a line, by a service or an operator.
type LineExport struct {
	Type       string   `json:"type"`
	Source     string   `json:"source,omitempty"`
	CreateTime api.Time `json:"createTime,omitzero"`
	ExpireTime api.Time `json:"expireTime,omitzero"`
}

// phoneErase is DELETE /admin/v1/phones/{phoneId}.
func (c *Console) phoneErase(w http.ResponseWriter, r *http.Request) {
	client, wrong := parseClient(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	done, err := c.cfg.Phones.Erase(r.Context(), actor(r.Context()), client, phonePath(r))
	if err != nil {
		c.refusePhone(w, r, "erase", err)
		return
	}
	writeJSON(w, http.StatusOK, done)
}

// phoneExport is GET /admin/v1/phones/{phoneId}/export.
func (c *Console) phoneExport(w http.ResponseWriter, r *http.Request) {
	client, wrong := parseClient(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	doc, err := c.cfg.Phones.Export(r.Context(), actor(r.Context()), client, phonePath(r))
	if err != nil {
		c.refusePhone(w, r, "export", err)
		return
	}
	writeJSON(w, http.StatusOK, doc)
}

// phonePath is the phone's id. A number is none: addresses come to rest in logs.
func phonePath(r *http.Request) string {
	id := r.PathValue("phoneId")
	if id == "" || id[0] == '+' {
		return "-"
	}
	return id
}

// parseClient reads the parameter client, the only one, which must be given.
func parseClient(u *url.URL) (client, wrong string) {
	const want = "the id of a client"
	wrong = readFilters(u, []string{"client"}, func(_, value string) (string, bool) {
		client = value
		return want, len(value) <= maxClientID
	})
	if wrong == "" && client == "" {
		wrong = "client is not " + want + "."
	}
	return client, wrong
}

func (c *Console) refusePhone(w http.ResponseWriter, r *http.Request, what string, err error) {
	switch {
	case errors.Is(err, ErrNoClient):
		c.refuse(w, http.StatusNotFound, codeNotFoundClient, "There is no such client.")
	case errors.Is(err, ErrNoPhone):
		c.refuse(w, http.StatusNotFound, codeNotFoundPhone, "Nothing is kept of such a phone.")
	default:
		c.refuseFailed(w, r, what, err)
	}
}

func (c *Console) handlePhones(mux *http.ServeMux) {
	if c.cfg.Phones == nil {
		return
	}
	c.pageAt(mux, sectionPhones, c.phonesPage, c.findPhoneForm)
	c.pageAt(mux, "/phones/erase", nil, c.erasePhoneForm)
	c.jsonAt(mux, "/admin/v1/phones/find", nil, c.findPhoneJSON)
	c.at(mux, "/admin/v1/phones/{phoneId}", asJSON, handlers{http.MethodDelete: c.phoneErase})
	c.at(mux, "/admin/v1/phones/{phoneId}/export", asJSON, handlers{http.MethodGet: c.phoneExport})
}
