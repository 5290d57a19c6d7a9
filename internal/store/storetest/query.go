package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"codeword/internal/store"
)

func queryChecks() []check {
	return []check{
		{name: "by status, route and time", run: queryFilters, alone: true},
		{name: "an id of another time than the message", run: querySkewed, alone: true},
		{name: "the edges of a time", run: queryEdges, alone: true},
		{name: "the last page knows that it is", run: queryEnds, alone: true},
		{name: "pages while messages arrive", run: queryWhileSending, alone: true},
		{name: "messages of one moment", run: queryOneMoment, alone: true},
	}
}

// variety makes messages of several statuses and routes, a minute apart, and
// returns them as the log has them, newest first.
func (s *suite) variety(t *testing.T, n int) []store.Message {
	t.Helper()
	statuses := []store.MessageStatus{store.MessageSent, store.MessageFailed, store.MessageDelivered, store.MessageQueued}
	phones := []store.PhoneID{random(), random(), random()}
	var all []store.Message
	for i := range n {
		in := s.intent(phones[i%len(phones)], at(time.Duration(i)*time.Minute))
		s.start(t, in)
		m := s.claimOne(t, in.Now)
		out := outcome(m, dispatch([]string{"a", "b"}[i%2], "", statuses[i%len(statuses)]))
		out.RetryAt = at(100 * day)
		s.record(t, in.Now, 1, out)
		all = slices.Insert(all, 0, s.detail(t, m.ID).Message)
	}
	return all
}

func queryFilters(t *testing.T, s *suite) {
	all := s.variety(t, 40)
	phones := []store.PhoneID{all[0].Phone, all[1].Phone}
	for _, status := range []store.MessageStatus{0, store.MessageSent, store.MessageUnknown} {
		for _, route := range []string{"", "a", "nowhere"} {
			for _, since := range []time.Time{{}, at(10 * time.Minute)} {
				for _, until := range []time.Time{{}, at(25 * time.Minute)} {
					for _, of := range [][]store.PhoneID{nil, phones} {
						var want []store.MessageID
						for _, m := range all {
							if (status == 0 || m.Status == status) && (route == "" || m.Route == route) && !m.CreatedAt.Before(since) &&
								(until.IsZero() || m.CreatedAt.Before(until)) && (of == nil || slices.Contains(of, m.Phone)) {
								want = append(want, m.ID)
							}
						}
						q := store.MessageQuery{Clients: []string{s.client}, Status: status, Route: route, Since: since, Until: until, Phones: of}
						for _, q.Limit = range []int{1, 3, 100} {
							if got := s.pages(t, q); !reflect.DeepEqual(got, want) {
								t.Errorf("%+v: %d messages, want %d", q, len(got), len(want))
							}
						}
					}
				}
			}
		}
	}
}

// querySkewed: a message's id is made by another clock than the time of its
// acceptance; some seconds do not matter.
func querySkewed(t *testing.T, s *suite) {
	for _, skew := range []time.Duration{-30 * time.Second, 30 * time.Second} {
		phone := store.PhoneID(random())
		in := s.intent(phone, at(0))
		in.Message = newMessage(at(skew))
		s.start(t, in)
		for _, of := range [][]store.PhoneID{nil, {phone}} {
			q := store.MessageQuery{Clients: []string{s.client}, Phones: of, Limit: 10, Since: at(0), Until: at(time.Microsecond)}
			if got := s.pages(t, q); !slices.Contains(got, in.Message) {
				t.Errorf("skew %v: not listed", skew)
			}
		}
	}
}

func queryEdges(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	for _, c := range []struct {
		since, until time.Time
		listed       bool
	}{
		{at(0), time.Time{}, true},
		{at(time.Microsecond), time.Time{}, false},
		{time.Time{}, at(0), false},
		{time.Time{}, at(time.Microsecond), true},
		{at(0), at(0), false},
		{at(day), at(-day), false},
		{time.Unix(-1<<40, 0), time.Unix(1<<34, 0), true},
	} {
		for _, of := range [][]store.PhoneID{nil, {m.Phone}} {
			q := store.MessageQuery{Clients: []string{s.client}, Phones: of, Limit: 10, Since: c.since, Until: c.until}
			if got := s.pages(t, q); (len(got) == 1) != c.listed {
				t.Errorf("from %v to %v: %d messages", c.since, c.until, len(got))
			}
		}
	}
}

func queryEnds(t *testing.T, s *suite) {
	for i := range 6 {
		s.queue(t, at(time.Duration(i)*time.Millisecond))
	}
	for _, limit := range []int{6, 7, 100} {
		page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{s.client}, Limit: limit})
		ok(t, "Messages", err)
		if len(page.Messages) != 6 || page.Next != (store.MessageID{}) {
			t.Errorf("a page of %d of 6 messages goes on after %v", limit, page.Next)
		}
	}
}

// queryWhileSending walks the log while it grows: what was there is listed once,
// and in order, however many come.
func queryWhileSending(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	var there []store.MessageID
	for i := range 30 {
		in := s.intent(phone, at(time.Duration(i)*time.Millisecond))
		s.start(t, in)
		there = slices.Insert(there, 0, in.Message)
	}
	for name, of := range map[string][]store.PhoneID{"log": nil, "phone": {phone}} {
		stop := make(chan struct{})
		done := make(chan error)
		go func() {
			var err error
			for i := 0; err == nil; i++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				_, err = s.StartChallenge(context.Background(), s.intent(phone, at(time.Hour+time.Duration(i)*time.Millisecond)))
			}
			done <- err
		}()
		got := s.pages(t, store.MessageQuery{Clients: []string{s.client}, Phones: of, Limit: 2, Before: newMessage(at(time.Minute))})
		close(stop)
		ok(t, "send", <-done)
		if !reflect.DeepEqual(got, there) {
			t.Errorf("%s: listed %d messages, want those %d that were there", name, len(got), len(there))
		}
	}
}

// queryOneMoment: messages of one phone that were sent at once are chained in
// any order; pages list each once all the same.
func queryOneMoment(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	want := make([]store.MessageID, 24)
	race(len(want), func(i int) {
		in := s.intent(phone, at(0))
		want[i] = in.Message
		if _, err := s.StartChallenge(context.Background(), in); err != nil {
			t.Errorf("StartChallenge: %v", err)
		}
	})
	slices.SortFunc(want, func(a, b store.MessageID) int { return slices.Compare(b[:], a[:]) })
	for _, limit := range []int{1, 5, 100} {
		q := store.MessageQuery{Clients: []string{s.client}, Phones: []store.PhoneID{phone}, Limit: limit}
		if got := s.pages(t, q); !reflect.DeepEqual(got, want) {
			t.Errorf("by %s: listed %d messages in another order than all at once", fmt.Sprint(limit), len(got))
		}
	}
}
