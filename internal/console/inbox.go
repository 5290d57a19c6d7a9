package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"codeword/api"
	"codeword/internal/store"
)

// maxLimit is the largest limit that may be asked for.
const maxLimit = 500

// inboxDocument is the answer of GET /admin/v1/inbox.
type inboxDocument struct {
	Messages   []Entry `json:"messages"`
	NextCursor string  `json:"nextCursor,omitempty"`
}

// inboxJSON is GET /admin/v1/inbox?to=%2B1…&limit=….
func (c *Console) inboxJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseQuery(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	page, err := c.cfg.Inbox.List(r.Context(), q)
	if err != nil {
		c.refuseFailed(w, r, "inbox", err)
		return
	}
	doc := inboxDocument{Messages: page.Messages}
	if doc.Messages == nil {
		doc.Messages = []Entry{}
	}
	if page.Next != (store.MessageID{}) {
		doc.NextCursor = cursorOf(inboxList, page.Next)
	}
	c.answerList(w, r, doc)
}

// parseQuery reads what is looked for in the inbox, and says what is wrong with it as
// readFilters does.
func parseQuery(u *url.URL) (q Query, wrong string) {
	wrong = readFilters(u, []string{"to", "limit", "cursor"}, func(name, value string) (want string, ok bool) {
		switch name {
		case "to":
			q.To, ok = unescapedPlus(value), true
		case "limit":
			q.Limit, ok = parseLimit(value)
			want = wantLimit
		case "cursor":
			q.Before, ok = readID(inboxList, value, store.ParseMessageID)
			want = wantCursor
		}
		return want, ok
	})
	return q, wrong
}

// unescapedPlus reads a number. A plus sign that was not escaped arrives as a
// space; since no number begins with one, it is taken for what was meant.
func unescapedPlus(to string) string {
	to = strings.TrimRight(to, " ")
	if rest, ok := strings.CutPrefix(to, " "); ok {
		return "+" + strings.TrimLeft(rest, " +")
	}
	return to
}

func parseLimit(value string) (int, bool) {
	n, err := strconv.Atoi(value)
	return n, err == nil && n >= 1 && n <= maxLimit
}

// inboxView is what the inbox page shows.
type inboxView struct {
	frame

	To      string
	Entries []Entry
	Wrong   string
}

// inboxPage is GET /inbox.
func (c *Console) inboxPage(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseQuery(r.URL)
	view, status := inboxView{frame: c.frame(r, sectionInbox, "Inbox"), To: q.To}, http.StatusOK
	view.Script = "inbox.js"
	if wrong == "" {
		page, err := c.cfg.Inbox.List(r.Context(), q)
		view.Entries = page.Messages
		if err != nil {
			var code api.Code
			status, code = c.failed(r, "inbox", err)
			view.Wrong = code.Message()
			if code == api.CodeInvalidPhone {
				view.Wrong = "That is not a phone number in E.164 form, such as +16502180000."
			}
		}
	} else {
		status, view.Wrong = http.StatusBadRequest, wrong
	}
	c.render(w, status, "inbox.html", view)
}
