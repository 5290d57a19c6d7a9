package storetest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"codeword/internal/store"
)

func listChecks() []check {
	return []check{
		{name: "by client, in pages", run: listsByClient, alone: true},
		{name: "by phone, in pages", run: listsByPhone, alone: true},
		{name: "what is not asked for", run: listsNothing},
	}
}

// pages walks a query to its end and checks each page's size.
func (s *suite) pages(t *testing.T, q store.MessageQuery) []store.MessageID {
	t.Helper()
	var all []store.MessageID
	for {
		page, err := s.Messages(t.Context(), q)
		ok(t, "Messages", err)
		if len(page.Messages) > q.Limit {
			t.Fatalf("a page of %d, want at most %d", len(page.Messages), q.Limit)
		}
		all = append(all, ids(page.Messages)...)
		if page.Next == (store.MessageID{}) {
			return all
		}
		if q.Before != (store.MessageID{}) && slices.Compare(page.Next[:], q.Before[:]) >= 0 {
			t.Fatal("the pages do not end")
		}
		q.Before = page.Next
	}
}

// sends makes n sends to a few phones of both clients and returns the messages
// of each client and of each phone, newest first.
func (s *suite) sends(t *testing.T, n int) (byClient map[string][]store.MessageID, byPhone map[store.PhoneID][]store.MessageID) {
	t.Helper()
	byClient, byPhone = make(map[string][]store.MessageID), make(map[store.PhoneID][]store.MessageID)
	phones := map[string][2]store.PhoneID{s.client: {random(), random()}, s.other: {random(), random()}}
	for i := range n {
		client := []string{s.client, s.other}[i%3%2]
		phone := phones[client][i%2]
		in := s.intent(phone, at(time.Duration(i)*time.Millisecond))
		in.Client = client
		s.start(t, in)
		byClient[client] = slices.Insert(byClient[client], 0, in.Message)
		byPhone[phone] = slices.Insert(byPhone[phone], 0, in.Message)
	}
	return byClient, byPhone
}

func listsByClient(t *testing.T, s *suite) {
	byClient, _ := s.sends(t, 23)
	for _, limit := range []int{1, 2, 7, 100} {
		for client, want := range byClient {
			if got := s.pages(t, store.MessageQuery{Clients: []string{client}, Limit: limit}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s by %d\n got %v\nwant %v", client, limit, got, want)
			}
		}
		both := s.pages(t, store.MessageQuery{Clients: []string{s.client, s.other, "nobody", s.client}, Limit: limit})
		if len(both) != 23 || !slices.IsSortedFunc(both, func(a, b store.MessageID) int { return -slices.Compare(a[:], b[:]) }) {
			t.Errorf("both by %d: %d messages, want 23 newest first: %v", limit, len(both), both)
		}
	}
}

func listsByPhone(t *testing.T, s *suite) {
	_, byPhone := s.sends(t, 23)
	clients := []string{s.client, s.other}
	var phones []store.PhoneID
	for _, limit := range []int{1, 2, 7, 100} {
		phones = phones[:0]
		for phone, want := range byPhone {
			phones = append(phones, phone, phone) // named twice is listed once
			q := store.MessageQuery{Clients: clients, Phones: []store.PhoneID{phone}, Limit: limit}
			if got := s.pages(t, q); !reflect.DeepEqual(got, want) {
				t.Errorf("by %d\n got %v\nwant %v", limit, got, want)
			}
		}
		all := s.pages(t, store.MessageQuery{Clients: clients, Phones: append(phones, random()), Limit: limit})
		if len(all) != 23 || !slices.IsSortedFunc(all, func(a, b store.MessageID) int { return -slices.Compare(a[:], b[:]) }) {
			t.Errorf("all phones by %d: %d messages, want 23 newest first: %v", limit, len(all), all)
		}
	}
}

func listsNothing(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	for name, q := range map[string]store.MessageQuery{
		"no clients":              {Limit: 10},
		"no clients, a phone":     {Phones: []store.PhoneID{phone}, Limit: 10},
		"another client's phone":  {Clients: []string{s.other}, Phones: []store.PhoneID{phone}, Limit: 10},
		"no phones":               {Clients: []string{s.client}, Phones: []store.PhoneID{}, Limit: 10},
		"an unknown phone":        {Clients: []string{s.client}, Phones: []store.PhoneID{random()}, Limit: 10},
		"an unknown client":       {Clients: []string{"nobody"}, Limit: 10},
		"nothing":                 {Clients: []string{s.client}},
		"nothing of a phone":      {Clients: []string{s.client}, Phones: []store.PhoneID{phone}},
		"less than nothing":       {Clients: []string{s.client}, Limit: -1},
		"before the first":        {Clients: []string{s.client}, Limit: 10, Before: store.MessageID{15: 1}},
		"a phone before its last": {Clients: []string{s.client}, Phones: []store.PhoneID{phone}, Limit: 10, Before: store.MessageID{15: 1}},
	} {
		got, err := s.Messages(t.Context(), q)
		ok(t, name, err)
		if len(got.Messages) != 0 || got.Next != (store.MessageID{}) {
			t.Errorf("%s: listed %+v", name, got)
		}
	}
}
