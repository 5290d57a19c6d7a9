package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"codeword/api"
	"codeword/internal/store"
)

// Events reads what operators changed and what the service decided by itself.
type Events interface {
	// Events lists them, newest first.
	Events(ctx context.Context, q store.EventQuery) ([]store.Event, error)
}

// EventView is an event as operators see it.
type EventView struct {
	ID       string   `json:"id"`
	Time     api.Time `json:"time"`
	Kind     string   `json:"kind"`
	ClientID string   `json:"clientId,omitempty"`
	Actor    string   `json:"actor"`
	// Data is a JSON object; a string when what is stored is none.
	Data json.RawMessage `json:"data"`
}

// ViewEvent makes the view of an event, in which everything can be written as JSON.
func ViewEvent(e *store.Event) EventView {
	v := EventView{
		ID: e.ID.String(), Time: api.NewTime(e.At), Kind: e.Kind, ClientID: e.Client, Actor: e.Actor, Data: e.Data,
	}
	switch text := string(e.Data); {
	case text == "":
		v.Data = json.RawMessage("{}")
	case !strings.HasPrefix(strings.TrimSpace(text), "{") || !utf8.ValidString(text) || !json.Valid(e.Data):
		quoted, err := json.Marshal(text)
		if err != nil {
			quoted = []byte("{}") // a string can be written
		}
		v.Data = quoted
	}
	return v
}

// ListEvents returns at most q.Limit events, and whether there are older ones.
func ListEvents(ctx context.Context, from Events, q store.EventQuery) (events []EventView, more bool, err error) {
	limit := q.Limit
	q.Limit++
	found, err := from.Events(ctx, q)
	if err != nil {
		return nil, false, err
	}
	more = len(found) > limit
	found = found[:min(len(found), limit)]
	events = make([]EventView, len(found))
	for i := range found {
		events[i] = ViewEvent(&found[i])
	}
	return events, more, nil
}

// eventsDocument is the answer of GET /admin/v1/events.
type eventsDocument struct {
	Events []EventView `json:"events"`
	// NextBefore, when not empty, is the before of the next page, and NextCursor its
	// cursor, which says the same.
	NextBefore string `json:"nextBefore,omitempty"`
	NextCursor string `json:"nextCursor,omitempty"`
}

// eventsJSON is GET /admin/v1/events.
func (c *Console) eventsJSON(w http.ResponseWriter, r *http.Request) {
	q, wrong := parseEventQuery(r.URL)
	if wrong != "" {
		c.refuse(w, http.StatusBadRequest, codeInvalidParameter, wrong)
		return
	}
	events, more, err := ListEvents(r.Context(), c.cfg.Events, q)
	if err != nil {
		c.refuseFailed(w, r, "events", err)
		return
	}
	doc := eventsDocument{Events: events}
	if more {
		doc.NextBefore = events[len(events)-1].ID
		doc.NextCursor = place{key: doc.NextBefore}.cursor(eventList)
	}
	c.answerList(w, r, doc)
}

const (
	// maxClientID and maxKind bound what is looked for, in bytes.
	maxClientID = 128
	maxKind     = 64
)

// eventFilters are the parameters of GET /admin/v1/events.
var eventFilters = []string{"client", "kind", "before", "limit", "cursor"}

// parseEventQuery reads the filters, and says what is wrong with them as readFilters
// does.
func parseEventQuery(u *url.URL) (store.EventQuery, string) {
	q := store.EventQuery{Limit: defaultLimit}
	wrong := readFilters(u, eventFilters, func(name, value string) (want string, ok bool) {
		switch name {
		case "client":
			q.Client, ok = value, len(value) <= maxClientID
			want = "the id of a client"
		case "kind":
			q.Kind, ok = value, IsEventKind(value)
			want = "a kind such as client.update, or the beginning of kinds up to a dot"
		case "before":
			q.Before, ok = store.ParseEventID(value)
			want = "the id of an event"
		case "limit":
			q.Limit, ok = parseLimit(value)
			want = wantLimit
		case "cursor":
			if q.Before != (store.EventID{}) {
				return "to be given beside before, which says the same", false
			}
			q.Before, ok = readID(eventList, value, store.ParseEventID)
			want = wantCursor
		}
		return want, ok
	})
	return q, wrong
}

// IsEventKind reports whether text may be a kind of events, or the beginning of kinds
// up to a dot.
func IsEventKind(text string) bool {
	return len(text) <= maxKind && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789_.") == "" && !strings.HasPrefix(text, ".")
}
