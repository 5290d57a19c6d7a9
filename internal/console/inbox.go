package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"codeword/api"
	"codeword/internal/fault"
)

// maxLimit is the largest limit that may be asked for.
const maxLimit = 500

// inboxDocument is the answer of GET /admin/v1/inbox.
type inboxDocument struct {
	Messages []Entry `json:"messages"`
}

// inboxJSON is GET /admin/v1/inbox?to=%2B1…&limit=….
func (c *Console) inboxJSON(w http.ResponseWriter, r *http.Request) {
	q, ok := parseQuery(r.URL)
	if !ok {
		c.refuse(w, http.StatusBadRequest, codeInvalidLimit, "limit is not a number from 1 to 500.")
		return
	}
	entries, err := c.cfg.Inbox.List(r.Context(), q)
	if err != nil {
		status, code := c.failed(r, err)
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		c.refuseCode(w, status, code)
		return
	}
	if entries == nil {
		entries = []Entry{}
	}
	writeJSON(w, http.StatusOK, inboxDocument{entries})
}

// parseQuery reads to and limit. A plus sign that was not escaped arrives as a
// space; since no number begins with one, it is taken for what was meant.
func parseQuery(u *url.URL) (Query, bool) {
	values := u.Query()
	q := Query{To: strings.TrimRight(values.Get("to"), " ")}
	if rest, ok := strings.CutPrefix(q.To, " "); ok {
		q.To = "+" + strings.TrimLeft(rest, " +")
	}
	if limit := values.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 1 || n > maxLimit {
			return q, false
		}
		q.Limit = n
	}
	return q, true
}

// failed logs what the inbox could not do and says how to tell it.
func (c *Console) failed(r *http.Request, err error) (int, api.Code) {
	switch {
	case fault.Is(err, fault.InvalidPhone), fault.Is(err, fault.InvalidPhoneCountry):
		return http.StatusBadRequest, api.CodeInvalidPhone
	case fault.Is(err, fault.Unavailable):
		c.cfg.Log.WarnContext(r.Context(), "inbox", "error", err)
		return http.StatusServiceUnavailable, api.CodeUnavailable
	default:
		c.cfg.Log.ErrorContext(r.Context(), "inbox", "error", err)
		return http.StatusInternalServerError, api.CodeInternal
	}
}

// inboxView is what the inbox page shows.
type inboxView struct {
	To      string
	Entries []Entry
	Error   string
}

// inboxPage is GET /inbox.
func (c *Console) inboxPage(w http.ResponseWriter, r *http.Request) {
	q, ok := parseQuery(r.URL)
	view, status := inboxView{To: q.To}, http.StatusOK
	if ok {
		entries, err := c.cfg.Inbox.List(r.Context(), q)
		view.Entries = entries
		if err != nil {
			var code api.Code
			status, code = c.failed(r, err)
			view.Error = code.Message()
			if code == api.CodeInvalidPhone {
				view.Error = "That is not a phone number in E.164 form, such as +16502530000."
			}
		}
	} else {
		status, view.Error = http.StatusBadRequest, "limit is not a number from 1 to 500."
	}
	c.render(w, status, "inbox.html", view)
}
