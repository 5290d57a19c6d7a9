package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"codeword/internal/console/login"
	"codeword/internal/store"
)

const (
	// defaultLimit is how many messages or events are listed when no limit was asked for.
	defaultLimit = 50
	// maxRouteName is the longest name of a route that is looked for, in bytes.
	maxRouteName = 64
)

// What limits and cursors should be.
const (
	wantLimit  = "a number from 1 to 500"
	wantCursor = "the nextCursor of an earlier answer"
)

// messageFilters are the parameters of GET /admin/v1/messages.
var messageFilters = []string{"to", "status", "route", "since", "until", "limit", "cursor", "client"}

// parseMessageQuery reads the filters, and says what is wrong with them as
// readFilters does.
func parseMessageQuery(r *http.Request, u *url.URL) (q MessageQuery, wrong string) {
	q.Limit = defaultLimit
	if wrong := readFilters(u, messageFilters, q.filter); wrong != "" {
		return q, wrong
	}
	if q.To != "" && !strings.HasPrefix(q.To, "phone-") && !may(r, login.Operator) {
		// With the last digits known, trying numbers would find the rest.
		return q, "Looking for a number needs the role operator. The id of a phone can be looked for."
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, "until is not after since."
	}
	return q, ""
}

// readFilters hands each filter that is given to set, which returns what the value should
// be, and whether it is. What is wrong with the query is said in a sentence that
// names the parameter and quotes no value. Names that are unknown or given twice are
// wrong, so that a misspelled filter does not select all.
func readFilters(u *url.URL, names []string, set func(name, value string) (want string, ok bool)) (wrong string) {
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "The query cannot be read: something in it is not escaped."
	}
	for name := range values {
		if !slices.Contains(names, name) {
			return "The query has a parameter other than " + strings.Join(names, ", ") + "."
		}
	}
	for _, name := range names {
		given := values[name]
		switch {
		case len(given) > 1:
			return name + " is given more than once."
		case len(given) == 0 || given[0] == "":
			continue
		}
		if want, ok := set(name, given[0]); !ok {
			return name + " is not " + want + "."
		}
	}
	return ""
}

// asking is the URL with another query, unless its own cannot be read: what is left of
// such a one would select more than was meant, so that readFilters has to see it.
func asking(u *url.URL, query string) *url.URL {
	out := *u
	if _, err := url.ParseQuery(u.RawQuery); err == nil {
		out.RawQuery = query
	}
	return &out
}

// filter sets one filter, and returns what it should be and whether it is.
func (q *MessageQuery) filter(name, value string) (want string, ok bool) {
	switch name {
	case "client":
		q.Client, ok = value, len(value) <= maxClientID
		want = "the id of a client"
	case "to":
		q.To, ok = unescapedPlus(value), true
	case "status":
		q.Status, ok = parseStatus(value)
		want = "one of queued, sent, delivered, failed, expired and unknown"
	case "route":
		q.Route, ok = value, len(value) <= maxRouteName
		want = "the name of a route"
	case "since":
		q.Since, ok = parseTime(value)
		want = "a time such as 2026-01-02T03:04:05Z"
	case "until":
		q.Until, ok = parseTime(value)
		want = "a time such as 2026-01-02T03:04:05Z"
	case "limit":
		q.Limit, ok = parseLimit(value)
		want = wantLimit
	case "cursor":
		q.Before, ok = readID(messageList, value, store.ParseMessageID)
		want = wantCursor
	}
	return want, ok
}

func parseStatus(value string) (store.MessageStatus, bool) {
	for s := store.MessageQueued; s <= store.MessageUnknown; s++ {
		if s.String() == value {
			return s, true
		}
	}
	return 0, false
}

// parseTime reads RFC 3339. The plus sign of a zone that was not escaped arrives
// as a space.
func parseTime(value string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, strings.Replace(value, " ", "+", 1))
	return t, err == nil && !t.IsZero()
}
