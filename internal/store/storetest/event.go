package storetest

import (
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
)

func eventChecks() []check {
	return []check{
		{name: "newest first, whole, in pages", run: eventPages, alone: true},
		{name: "by client and by kind", run: eventFilters, alone: true},
		{name: "nothing in a query is special", run: eventNames, alone: true},
		{name: "what is there is left as it is", run: eventRepeats, alone: true},
		{name: "nodes that repeat each other", run: eventsAtOnce, alone: true},
	}
}

// newEvent makes an event whose id sorts by its moment.
func newEvent(now time.Time, client, kind string) store.Event {
	return store.Event{
		ID: store.EventID(newMessage(now)), At: now, Client: client, Kind: kind, Actor: "cli: someone", Data: []byte(`{"kind":"` + kind + `"}`),
	}
}

// happened adds events of some kinds, a millisecond after each other, and returns
// them newest first.
func (s *suite) happened(t *testing.T, now time.Time, kinds ...string) (newestFirst []store.Event) {
	t.Helper()
	for i, kind := range kinds {
		newestFirst = append(newestFirst, newEvent(now.Add(time.Duration(i)*time.Millisecond), "", kind))
	}
	// The sweep goes by the time, which need not be that of the id.
	for i := range newestFirst {
		newestFirst[i].At = now
	}
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), newestFirst))
	slices.Reverse(newestFirst)
	return newestFirst
}

// events checks what a query lists.
func (s *suite) events(t *testing.T, q store.EventQuery, want ...store.Event) {
	t.Helper()
	got, err := s.Events(t.Context(), q)
	ok(t, "Events", err)
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v lists %d events\n%+v\nwant %d\n%+v", q, len(got), got, len(want), want)
	}
}

func eventPages(t *testing.T, s *suite) {
	s.events(t, store.EventQuery{Limit: 10})
	var all []store.Event
	for i := range 23 {
		e := newEvent(at(time.Duration(i)*time.Millisecond), []string{"", s.client}[i%2], "kind")
		if i == 7 {
			e.Data, e.Actor, e.Kind, e.Client = nil, "", "", ""
		}
		all = append(all, e)
	}
	// In any order, in several calls.
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), all[15:]))
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), all[:1]))
	backwards := slices.Clone(all[1:15])
	slices.Reverse(backwards)
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), backwards))
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), nil))
	slices.Reverse(all)
	for _, limit := range []int{1, 2, 7, 23, 100} {
		var got []store.Event
		for q := (store.EventQuery{Limit: limit}); ; q.Before = got[len(got)-1].ID {
			page, err := s.Events(t.Context(), q)
			ok(t, "Events", err)
			if len(page) > limit {
				t.Fatalf("a page of %d, want at most %d", len(page), limit)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if !reflect.DeepEqual(got, all) {
			t.Errorf("by %d\n got %+v\nwant %+v", limit, got, all)
		}
	}
	s.events(t, store.EventQuery{})
	s.events(t, store.EventQuery{Limit: -1})
	s.events(t, store.EventQuery{Limit: 10, Before: store.EventID{15: 1}})
	s.events(t, store.EventQuery{Limit: 2, Before: store.EventID(newMessage(at(day)))}, all[:2]...)
}

func eventFilters(t *testing.T, s *suite) {
	var all []store.Event
	add := func(client, kind string) store.Event {
		e := newEvent(at(time.Duration(len(all))*time.Millisecond), client, kind)
		all = append(all, e)
		return e
	}
	block := add(s.client, "guard.block")
	guardian := add(s.client, "guardian")
	bare := add("", "guard")
	dot := add(s.other, "guard.")
	slash := add(s.other, "guard/")
	unblock := add(s.other, "guard.block.end")
	upper := add(s.client, "Guard.block")
	update := add(s.client, "client.update")
	deep := add("", "guard.\xff\xff")
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), all))

	q := func(client, kind string) store.EventQuery {
		return store.EventQuery{Client: client, Kind: kind, Limit: 10}
	}
	s.events(t, q("", "guard."), deep, unblock, dot, block)
	s.events(t, q("", "guard"), bare)
	s.events(t, q("", "guard/"), slash)
	s.events(t, q("", "guardian"), guardian)
	s.events(t, q("", "guard.block"), block)
	s.events(t, q("", "guard.block."), unblock)
	s.events(t, q("", "Guard."), upper)
	s.events(t, q("", "."))
	s.events(t, q("", "nothing"))
	s.events(t, q(s.client, ""), update, upper, guardian, block)
	s.events(t, q(s.client, "guard."), block)
	s.events(t, q(s.other, "guard."), unblock, dot)
	s.events(t, q(s.client, "client.update"), update)
	s.events(t, q("nobody", ""))
	limited := q("", "guard.")
	limited.Limit = 2
	s.events(t, limited, deep, unblock)
	limited.Before = unblock.ID
	s.events(t, limited, dot, block)
	limited.Client = s.client
	s.events(t, limited, block)
}

func eventNames(t *testing.T, s *suite) {
	var all []store.Event
	for i, name := range hostile {
		e := newEvent(at(time.Duration(i)*time.Millisecond), name, name)
		e.Actor = name
		e.Data = []byte(`{"text":"it's \"quoted\""}`)
		all = append(all, e)
	}
	all = append(all, newEvent(at(time.Minute), "plain", "plain.kind"), newEvent(at(2*time.Minute), "plain%", "%.kind"))
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), all))
	for i, name := range hostile {
		if name == "" {
			continue
		}
		s.events(t, store.EventQuery{Client: name, Limit: 100}, all[i])
		s.events(t, store.EventQuery{Kind: name, Limit: 100}, all[i])
	}
	percent := all[len(all)-1]
	s.events(t, store.EventQuery{Kind: "%.", Limit: 100}, percent)
	s.events(t, store.EventQuery{Kind: "p____.", Limit: 100})
	s.events(t, store.EventQuery{Kind: "pla%.", Limit: 100})
	s.events(t, store.EventQuery{Kind: "plain.*", Limit: 100})
}

func eventRepeats(t *testing.T, s *suite) {
	first, second := newEvent(at(0), s.client, "first"), newEvent(at(time.Second), s.client, "second")
	ok(t, "AppendEvents", s.AppendEvents(t.Context(), []store.Event{first}))
	changed := first
	changed.Kind, changed.Client, changed.At, changed.Data = "changed", s.other, at(time.Hour), []byte("{}")
	twice := second
	twice.Kind = "twice"
	for range 2 {
		ok(t, "AppendEvents", s.AppendEvents(t.Context(), []store.Event{changed, second, twice}))
		s.events(t, store.EventQuery{Limit: 10}, second, first)
	}
	s.events(t, store.EventQuery{Limit: 10, Kind: "changed"})
	s.events(t, store.EventQuery{Limit: 10, Client: s.other})
}

func eventsAtOnce(t *testing.T, s *suite) {
	var all []store.Event
	for i := range 100 {
		all = append(all, newEvent(at(time.Duration(i)*time.Millisecond), s.client, "kind"))
	}
	var nodes sync.WaitGroup
	for n := range 6 {
		mine := slices.Clone(all)
		if n%2 == 1 {
			slices.Reverse(mine)
		}
		nodes.Go(func() {
			if err := s.AppendEvents(t.Context(), mine); err != nil {
				t.Errorf("AppendEvents: %v", err)
			}
		})
	}
	nodes.Wait()
	slices.Reverse(all)
	s.events(t, store.EventQuery{Limit: 1000}, all...)
}
