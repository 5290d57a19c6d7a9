package console

import (
	"errors"
	"net/http"
	"strings"

	"codeword/api"
	"codeword/internal/fault"
)

// PhoneView is what a client knows of a phone, as operators see it: of the number the
// last digits.
type PhoneView struct {
	ClientID string `json:"clientId"`
	PhoneID  string `json:"phoneId"`
	// PhoneMask is the last four digits; empty when they are not known any more.
	PhoneMask string `json:"phoneMask,omitempty"`
	// EraseTime is set when the phone was erased, and something stays.
	EraseTime    api.Time `json:"eraseTime,omitzero"`
	CreateTime   api.Time `json:"createTime,omitzero"`
	LastSendTime api.Time `json:"lastSendTime,omitzero"`
	VerifyTime   api.Time `json:"verifyTime,omitzero"`
	OptOutTime   api.Time `json:"optOutTime,omitzero"`
	// BlockEndTime is the end of a block that holds.
	BlockEndTime api.Time `json:"blockEndTime,omitzero"`

	// Challenges are those that have not ended.
	Challenges []PhoneChallenge `json:"challenges"`
	// Limits are those that have counted something.
	Limits []PhoneLimit `json:"limits"`
	// Messages are the latest few, newest first.
	Messages []MessageView `json:"messages"`
	// Refusals are sends of the last days that were refused, newest first, for each reason
	// the last one.
	Refusals []PhoneRefusal `json:"refusals"`
}

// PhoneRefusal is a send that was refused.
type PhoneRefusal struct {
	// Time is to within half a minute.
	Time api.Time `json:"time"`
	// Code is what the caller was told, and Limit which limit was meant, if one was.
	Code  api.Code `json:"code"`
	Limit string   `json:"limit,omitempty"`
	// Detail is what the server's log says of it.
	Detail string `json:"detail,omitempty"`
}

// PhoneChallenge is a challenge of a phone.
type PhoneChallenge struct {
	ChallengeView

	CreateTime api.Time `json:"createTime"`
	ExpireTime api.Time `json:"expireTime"`
	// Bound: only the session or device that asked for it can use it.
	Bound bool `json:"bound"`
}

// PhoneLimit is what the limits of a lane have counted.
type PhoneLimit struct {
	// Lane is open, bound or known.
	Lane string `json:"lane"`
	// Sends and WrongCodes are those that count now, and the others how many are allowed; 0
	// for no limit, or settings that cannot be read.
	Sends         int `json:"sends"`
	MaxSends      int `json:"maxSends,omitempty"`
	WrongCodes    int `json:"wrongCodes"`
	MaxWrongCodes int `json:"maxWrongCodes,omitempty"`
	// SendRetryTime is until when sends are refused; zero while they are not.
	SendRetryTime api.Time `json:"sendRetryTime,omitzero"`
	// LockEndTime is until when all codes are refused after too many wrong ones; zero while they are not.
	LockEndTime api.Time `json:"lockEndTime,omitzero"`
}

// phonesDocument is the answer of POST /admin/v1/phones/find.
type phonesDocument struct {
	Phones []PhoneView `json:"phones"`
}

const textInvalidPhone = "That is neither a phone number in E.164 form, such as +16502180000, nor the id of a phone."

// findPhoneJSON is POST /admin/v1/phones/find with {"phone": "+1…", "client": "…"}. It is
// no GET, since addresses come to rest in logs.
func (c *Console) findPhoneJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Phone  string `json:"phone"`
		Client string `json:"client"`
	}
	if !c.readJSON(w, r, &in) {
		return
	}
	found, err := c.cfg.Phones.Find(r.Context(), actor(r.Context()), in.Client, in.Phone)
	switch {
	case fault.Is(err, fault.InvalidPhone):
		c.refuse(w, http.StatusBadRequest, api.CodeInvalidPhone, textInvalidPhone)
	case err != nil:
		c.refusePhone(w, r, "find", err)
	default:
		writeJSON(w, http.StatusOK, phonesDocument{found})
	}
}

// phonesView is the page of phones.
type phonesView struct {
	frame

	// Client is the client that was asked for.
	Client string
	// Asked: a phone was looked up, and Phones are what was found.
	Asked  bool
	Phones []phoneItem
	// Erased is what was just erased.
	Erased *PhoneErased
}

// phoneItem is a phone on the page.
type phoneItem struct {
	PhoneView

	// Confirm is what has to be typed to erase it, and ByID tells that it is of the id.
	Confirm string
	ByID    bool
	// Wrong is what was wrong with the confirmation.
	Wrong string
}

// Refused tells whether sends are refused in a lane now.
func (p *phoneItem) Refused() bool {
	for i := range p.Limits {
		if !p.Limits[i].SendRetryTime.IsZero() {
			return true
		}
	}
	return false
}

// endingSize is how many characters confirm an erasure.
const endingSize = 4

func newPhoneItem(v *PhoneView) phoneItem {
	item := phoneItem{PhoneView: *v, Confirm: v.PhoneMask}
	if item.Confirm == "" { // the number is not kept
		item.Confirm, item.ByID = v.PhoneID[max(0, len(v.PhoneID)-endingSize):], true
	}
	return item
}

func (c *Console) phonesView(r *http.Request) phonesView {
	v := phonesView{frame: c.frame(r, sectionPhones, "Phones")}
	c.know(r, &v.frame)
	return v
}

// phonesPage is GET /phones.
func (c *Console) phonesPage(w http.ResponseWriter, r *http.Request) {
	c.render(w, http.StatusOK, "phones.html", c.phonesView(r))
}

// findPhoneForm is POST /phones. The number is in no path, and the page does not repeat it.
func (c *Console) findPhoneForm(w http.ResponseWriter, r *http.Request) {
	if c.readForm(w, r) {
		c.showPhones(w, r, http.StatusOK, "")
	}
}

// showPhones shows what the form asks for; wrong is what was wrong with the confirmation
// of an erasure.
func (c *Console) showPhones(w http.ResponseWriter, r *http.Request, status int, wrong string) {
	v := c.phonesView(r)
	v.Client = strings.TrimSpace(r.PostFormValue("client"))
	found, err := c.cfg.Phones.Find(r.Context(), actor(r.Context()), v.Client, strings.TrimSpace(r.PostFormValue("phone")))
	if err != nil {
		status, v.Error = c.phoneRefusal(r, err)
		c.render(w, status, "phones.html", v)
		return
	}
	v.Asked = true
	for i := range found {
		item := newPhoneItem(&found[i])
		item.Wrong = wrong
		v.Phones = append(v.Phones, item)
	}
	c.render(w, status, "phones.html", v)
}

// phoneRefusal says why there is nothing to show of a phone.
func (c *Console) phoneRefusal(r *http.Request, err error) (int, string) {
	switch {
	case errors.Is(err, ErrNoClient):
		return http.StatusNotFound, "There is no such client."
	case errors.Is(err, ErrNoPhone):
		return http.StatusNotFound, "Nothing is kept of such a phone."
	case fault.Is(err, fault.InvalidPhone):
		return http.StatusBadRequest, textInvalidPhone
	}
	status, code := c.failed(r, "phones", err)
	return status, code.Message()
}

// erasePhoneForm is POST /phones/erase. What confirms it is in the page that was seen: it
// keeps people from erasing what they did not mean to.
func (c *Console) erasePhoneForm(w http.ResponseWriter, r *http.Request) {
	if !c.readForm(w, r) {
		return
	}
	want := r.PostFormValue("ending")
	if want == "" || strings.TrimSpace(r.PostFormValue("confirm")) != want {
		c.showPhones(w, r, http.StatusBadRequest, "That is not how it ends. Nothing was erased.")
		return
	}
	v, status := c.phonesView(r), http.StatusOK
	done, err := c.cfg.Phones.Erase(r.Context(), actor(r.Context()), r.PostFormValue("client"), r.PostFormValue("phone"))
	if err != nil {
		status, v.Error = c.phoneRefusal(r, err)
	} else {
		v.Done, v.Erased = "The phone is erased.", &done
	}
	c.render(w, status, "phones.html", v)
}
