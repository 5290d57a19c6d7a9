package console

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"codeword/api"
	"codeword/internal/store"
)

// eventLine is one thing that an event tells.
type eventLine struct {
	Name, From, To string
	// Changed: it was From before, by default perhaps and so the same as To.
	Changed bool
}

// eventItem is an event as a page shows it.
type eventItem struct {
	EventView

	Lines []eventLine
	// Shadow: the guard has only watched.
	Shadow bool
}

// eventItems makes the items of events.
func eventItems(events []EventView) []eventItem {
	out := make([]eventItem, len(events))
	for i := range events {
		out[i] = eventItem{EventView: events[i]}
		var data map[string]json.RawMessage
		if json.Unmarshal(events[i].Data, &data) != nil {
			out[i].Lines = []eventLine{{Name: "data", To: string(events[i].Data)}}
			continue
		}
		out[i].Shadow = plain(data["mode"]) == "shadow"
		out[i].Lines = eventLines(data)
	}
	return out
}

// eventLines tells the members of an event's data in the order of their names, changes
// as what was before and what is now.
func eventLines(data map[string]json.RawMessage) []eventLine {
	var out []eventLine
	for _, name := range slices.Sorted(maps.Keys(data)) {
		var changes map[string]map[string]json.RawMessage
		if name != "changes" || json.Unmarshal(data[name], &changes) != nil {
			out = append(out, eventLine{Name: name, To: plain(data[name])})
			continue
		}
		for _, setting := range slices.Sorted(maps.Keys(changes)) {
			delta := changes[setting]
			from, to := delta["from"], delta["to"]
			if len(delta) == 2 && from != nil && to != nil {
				out = append(out, eventLine{Name: setting, From: plain(from), To: plain(to), Changed: true})
				continue
			}
			raw, err := json.Marshal(delta)
			if err == nil {
				out = append(out, eventLine{Name: setting, To: plain(raw)})
			}
		}
	}
	return out
}

// plain is a value as people read it: a string without its quotes, the elements of a
// list, the members of an object by their names. What is nested deeper stays JSON.
func plain(raw json.RawMessage) string {
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(raw, &list) == nil && list != nil:
		out := make([]string, len(list))
		for i := range list {
			out[i] = scalar(list[i])
		}
		return cmp.Or(strings.Join(out, ", "), "none")
	case json.Unmarshal(raw, &object) == nil && object != nil:
		var out []string
		for _, name := range slices.Sorted(maps.Keys(object)) {
			out = append(out, name+" "+scalar(object[name]))
		}
		return cmp.Or(strings.Join(out, ", "), "none")
	default:
		return scalar(raw)
	}
}

// scalar is a string without its quotes, and any other value as JSON.
func scalar(raw json.RawMessage) string {
	var text string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	if b.String() == "null" {
		return "not set"
	}
	return b.String()
}

// auditView is the page of what was done and decided.
type auditView struct {
	frame

	Filter url.Values
	Events []eventItem
	More   string
}

// Given is a filter as it was given.
func (v auditView) Given(name string) string { return v.Filter.Get(name) }

// Filtered tells whether any filter was given.
func (v auditView) Filtered() bool { return v.Given("client") != "" || v.Given("kind") != "" }

// auditPage is GET /audit.
func (c *Console) auditPage(w http.ResponseWriter, r *http.Request) {
	v, status := auditView{frame: c.frame(r, sectionAudit, "Audit"), Filter: r.URL.Query()}, http.StatusOK
	c.know(r, &v.frame)
	q, wrong := parseEventQuery(r.URL)
	if wrong != "" {
		v.Error = wrong
		c.render(w, http.StatusBadRequest, "audit.html", v)
		return
	}
	events, more, err := ListEvents(r.Context(), c.cfg.Events, q)
	if err != nil {
		var code api.Code
		status, code = c.failed(r, "events", err)
		v.Error = code.Message()
	}
	v.Events = eventItems(events)
	if more {
		v.More = withParameter(sectionAudit, v.Filter, "before", events[len(events)-1].ID)
	}
	c.render(w, status, "audit.html", v)
}

// lastEvents are the latest events of a client or kind for other pages.
func (c *Console) lastEvents(r *http.Request, q store.EventQuery) ([]eventItem, error) {
	if c.cfg.Events == nil {
		return nil, nil
	}
	events, _, err := ListEvents(r.Context(), c.cfg.Events, q)
	return eventItems(events), err
}
