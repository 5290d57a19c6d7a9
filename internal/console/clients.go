package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// ClientView is a client as operators see it: settings in full, secrets by their times
// alone.
type ClientView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Env  string `json:"env"`
	// Revision counts the changes.
	Revision    int64           `json:"revision"`
	CreateTime  api.Time        `json:"createTime"`
	DisableTime api.Time        `json:"disableTime,omitzero"`
	Secrets     []SecretView    `json:"secrets"`
	Settings    tenant.Settings `json:"settings"`
	// Problem says why the stored settings cannot be used.
	Problem string `json:"problem,omitempty"`
	// Warnings say what works, but perhaps not as meant.
	Warnings []string `json:"warnings,omitempty"`
}

// SecretView is a secret without what it is.
type SecretView struct {
	ID          string   `json:"id"`
	CreateTime  api.Time `json:"createTime"`
	LastUseTime api.Time `json:"lastUseTime,omitzero"`
}

// viewClient makes the view of a client for who asks. Numbers are whole for those alone
// who can change them.
func viewClient(r *http.Request, row *store.Client) ClientView {
	v := ClientView{
		ID: row.ID, Name: row.Name, Env: tenant.Env(row.Live), Revision: row.Revision,
		CreateTime: api.NewTime(row.CreatedAt), Secrets: []SecretView{},
	}
	if !row.DisabledAt.IsZero() {
		v.DisableTime = api.NewTime(row.DisabledAt)
	}
	for _, s := range row.Secrets {
		secret := SecretView{ID: s.ID, CreateTime: api.NewTime(s.CreatedAt)}
		if !s.LastUsedAt.IsZero() {
			secret.LastUseTime = api.NewTime(s.LastUsedAt)
		}
		v.Secrets = append(v.Secrets, secret)
	}
	var err error
	v.Settings, err = tenant.ParseSettings(row.Settings)
	whole := may(r, login.Admin)
	if !whole {
		v.Settings.SafeNumbers = masked(v.Settings.SafeNumbers)
	}
	switch {
	case err == nil:
		_, v.Warnings, _ = v.Settings.Texts() // checked above
	case whole:
		v.Problem = err.Error()
	default: // what is wrong is quoted, and may be a number
		v.Problem = "something in them is not allowed, which the role admin is told"
	}
	return v
}

// masked are whole numbers by their last four digits, and their beginnings as they are.
func masked(numbers []string) []string {
	const beginning = len("+16502180") // of a thousands-block, the longest that has many
	out := slices.Clone(numbers)
	for i, n := range out {
		if len(n) > beginning {
			out[i] = "…" + n[len(n)-4:]
		}
	}
	return out
}

// clientsToPage reads all clients, and which part of a list of them is wanted, whose
// cursors have that mark. It is false when it has refused.
func (c *Console) clientsToPage(w http.ResponseWriter, r *http.Request, mark byte) ([]store.Client, paging, bool) {
	part, wrong := readPaging(r.URL, mark)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return nil, part, false
	}
	rows, err := c.cfg.Clients.List(r.Context())
	if err != nil {
		c.refuseFailed(w, r, "clients", err)
		return nil, part, false
	}
	return rows, part, true
}

// clientsJSON is GET /admin/v1/clients.
func (c *Console) clientsJSON(w http.ResponseWriter, r *http.Request) {
	rows, paging, ok := c.clientsToPage(w, r, clientList)
	if !ok {
		return
	}
	rows, next := pageOf(rows, paging, false, func(row *store.Client) place { return placed(row.CreatedAt, row.ID) })
	views := make([]ClientView, len(rows))
	for i := range rows {
		views[i] = viewClient(r, &rows[i])
	}
	c.answerList(w, r, struct {
		Clients    []ClientView `json:"clients"`
		NextCursor string       `json:"nextCursor,omitempty"`
	}{views, next})
}

// clientJSON is GET /admin/v1/clients/{id}.
func (c *Console) clientJSON(w http.ResponseWriter, r *http.Request) {
	row, err := c.cfg.Clients.Find(r.Context(), r.PathValue("id"))
	if err == nil && unchanged(w, r, clientTag(r, &row)) {
		return
	}
	c.answerClient(w, r, http.StatusOK, row, "", err)
}

// clientDocument is a client with a secret that is shown this once.
type clientDocument struct {
	ClientView

	Secret string `json:"secret,omitempty"`
}

// answerClient answers with a client, or with why it was not changed.
func (c *Console) answerClient(w http.ResponseWriter, r *http.Request, status int, row store.Client, secret string, err error) {
	switch kindOf(err) {
	case noChange:
		w.Header().Set("ETag", clientTag(r, &row))
		writeJSON(w, status, clientDocument{viewClient(r, &row), secret})
	case noClient:
		c.refuse(w, http.StatusNotFound, codeNotFoundClient, "There is no such client.")
	case staleChange:
		if r.Header.Get("If-Match") != "" {
			c.refuseCondition(w) // it changed after the condition was looked at, or the body names another
			return
		}
		c.refuse(w, http.StatusConflict, codeConflict, "The client has another revision by now: nothing was changed.")
	case wrongChange:
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, err.Error())
	case wrongState:
		c.refuse(w, http.StatusConflict, codeConflict, err.Error())
	default:
		c.refuseFailed(w, r, "client", err)
	}
}

// The kinds of answers to a change.
type changeKind int

const (
	noChange changeKind = iota // no error
	noClient
	staleChange
	wrongChange // what was sent is wrong
	wrongState  // it is nothing to do now
	failedChange
)

// kindOf sorts the errors of a change of clients. Those that tell no fault are about
// what was sent.
func kindOf(err error) changeKind {
	var f *fault.Error
	switch {
	case err == nil:
		return noChange
	case fault.Is(err, fault.NotFound):
		return noClient
	case fault.Is(err, fault.Conflict):
		return staleChange
	case errors.Is(err, tenant.ErrRotating), errors.Is(err, tenant.ErrNotRotating):
		return wrongState
	case errors.As(err, &f), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return failedChange
	}
	return wrongChange
}

// createClientJSON is POST /admin/v1/clients.
func (c *Console) createClientJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name     string          `json:"name"`
		Live     bool            `json:"live"`
		Settings json.RawMessage `json:"settings"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	row, secret, err := c.cfg.Clients.Create(r.Context(), actor(r.Context()), "", in.Name, in.Live, in.Settings)
	c.answerClient(w, r, http.StatusCreated, row, secret, err)
}

// updateClientJSON is PATCH /admin/v1/clients/{id}.
func (c *Console) updateClientJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Revision int64           `json:"revision"`
		Name     string          `json:"name"`
		Settings json.RawMessage `json:"settings"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	id := r.PathValue("id")
	revision, ok := c.clientCondition(w, r, id, in.Revision)
	if !ok {
		return
	}
	row, err := c.cfg.Clients.Seen(revision).Update(r.Context(), actor(r.Context()), id, in.Name, in.Settings)
	c.answerClient(w, r, http.StatusOK, row, "", err)
}

// clientCondition is condition for a client. With ok false the answer was given.
func (c *Console) clientCondition(w http.ResponseWriter, r *http.Request, id string, body int64) (revision int64, ok bool) {
	var row store.Client
	revision, ok, err := c.condition(w, r, body, func() (_ int64, err error) {
		row, err = c.cfg.Clients.Find(r.Context(), id)
		return row.Revision, err
	})
	if err != nil {
		c.answerClient(w, r, 0, row, "", err)
	}
	return revision, ok
}

// actClientJSON is POST /admin/v1/clients/{id}/ and the name of an action.
func (c *Console) actClientJSON(act clientAction) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { c.actClient(w, r, act) }
}

func (c *Console) actClient(w http.ResponseWriter, r *http.Request, act clientAction) {
	var in struct {
		Revision int64 `json:"revision"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	id := r.PathValue("id")
	revision, ok := c.clientCondition(w, r, id, in.Revision)
	if !ok {
		return
	}
	secret, err := act.do(r.Context(), c.cfg.Clients.Seen(revision), id)
	if err != nil {
		c.answerClient(w, r, 0, store.Client{}, "", err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		ID     string `json:"id"`
		Secret string `json:"secret,omitempty"`
	}{id, secret})
}

// clientAction is something that is done with a client by one button.
type clientAction struct {
	// done names the sentence of the page that follows.
	done string
	do   func(ctx context.Context, s tenant.Seen, id string) (secret string, err error)
}

// clientActions are the actions by their names in paths.
var clientActions = map[string]clientAction{
	"disable": {"disabled", func(ctx context.Context, s tenant.Seen, id string) (string, error) {
		_, err := s.SetDisabled(ctx, actor(ctx), id, true)
		return "", err
	}},
	"enable": {"enabled", func(ctx context.Context, s tenant.Seen, id string) (string, error) {
		_, err := s.SetDisabled(ctx, actor(ctx), id, false)
		return "", err
	}},
	"start-rotation": {"", func(ctx context.Context, s tenant.Seen, id string) (string, error) {
		return s.StartRotation(ctx, actor(ctx), id)
	}},
	"finish-rotation": {"finished", func(ctx context.Context, s tenant.Seen, id string) (string, error) {
		return "", s.FinishRotation(ctx, actor(ctx), id)
	}},
	"cancel-rotation": {"canceled", func(ctx context.Context, s tenant.Seen, id string) (string, error) {
		return "", s.CancelRotation(ctx, actor(ctx), id)
	}},
}
