package storetest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"codeword/internal/store"
)

const lease = 30 * time.Second

func messageChecks() []check {
	return []check{
		{name: "a claim hides a message for its lease", run: claimHides, alone: true},
		{name: "the longest due are claimed first", run: claimOrder, alone: true},
		{name: "an outcome settles a message once", run: outcomeSettles, alone: true},
		{name: "a retry waits for its time", run: retryWaits, alone: true},
		{name: "a retry without a time is due at once", run: retryAtOnce, alone: true},
		{name: "a lost lease loses its say", run: lostLease, alone: true},
		{name: "the queue's depth and age", run: queueStats, alone: true},
	}
}

func (s *suite) claim(t tb, now time.Time, limit int) []store.Message {
	t.Helper()
	out, err := s.ClaimMessages(context.Background(), store.Claim{Now: now, Lease: lease, Limit: limit})
	ok(t, "ClaimMessages", err)
	return out
}

func (s *suite) record(t tb, now time.Time, want int, outcomes ...store.Outcome) {
	t.Helper()
	n, err := s.RecordOutcomes(context.Background(), now, outcomes)
	ok(t, "RecordOutcomes", err)
	if n != want {
		t.Fatalf("RecordOutcomes at +%v took %d of %d, want %d", now.Sub(at(0)), n, len(outcomes), want)
	}
}

// queue sends to a new phone and returns the message as the log has it.
func (s *suite) queue(t *testing.T, now time.Time) store.Message {
	t.Helper()
	phone := store.PhoneID(random())
	s.send(t, phone, now)
	return s.sent(t, phone)[0]
}

func ids(ms []store.Message) []store.MessageID {
	out := make([]store.MessageID, len(ms))
	for i, m := range ms {
		out[i] = m.ID
	}
	return out
}

func claimHides(t *testing.T, s *suite) {
	if got := s.claim(t, at(0), 10); len(got) != 0 {
		t.Fatalf("claimed %d messages of an empty queue", len(got))
	}
	want := s.queue(t, at(0))
	if got := s.claim(t, at(-time.Microsecond), 10); len(got) != 0 {
		t.Error("claimed a message before it was accepted")
	}
	for i := 1; i <= 3; i++ {
		now := at(time.Duration(i-1) * lease)
		want.Claims = i
		if got := s.claim(t, now, 10); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Fatalf("claim %d\n got %+v\nwant %+v", i, got, want)
		}
		if got := s.claim(t, now.Add(lease-time.Microsecond), 10); len(got) != 0 {
			t.Errorf("claimed within the lease: %+v", got)
		}
	}
}

func claimOrder(t *testing.T, s *suite) {
	var want []store.MessageID
	for i := range 7 {
		want = append(want, s.queue(t, at(time.Duration(i)*time.Millisecond)).ID)
	}
	var got []store.MessageID
	for _, n := range []int{3, 3, 1, 0} {
		part := ids(s.claim(t, at(time.Second), 3))
		if len(part) != n {
			t.Fatalf("claimed %d, want %d", len(part), n)
		}
		got = append(got, part...)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
}

func outcomeSettles(t *testing.T, s *suite) {
	for _, status := range []store.MessageStatus{
		store.MessageSent, store.MessageDelivered, store.MessageFailed, store.MessageExpired, store.MessageUnknown,
	} {
		want := s.queue(t, at(0))
		o := store.Outcome{ID: want.ID, Claims: 0, Status: status, Route: "route", CarrierRef: "ref ü", Error: "error"}
		s.claim(t, at(0), 10)
		s.record(t, at(time.Second), 0, o) // nobody's claim
		o.Claims = 2
		s.record(t, at(time.Second), 0, o) // a claim to come
		o.Claims = 1
		s.record(t, at(time.Second), 1, o, o)
		o.Status = store.MessageFailed
		s.record(t, at(2*time.Second), 0, o, store.Outcome{ID: store.MessageID(random()), Claims: 1, Status: store.MessageSent})
		want.Status, want.Claims, want.UpdatedAt = status, 1, at(time.Second)
		want.Route, want.CarrierRef, want.Error = "route", "ref ü", "error"
		if got := s.sent(t, want.Phone); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%v\n got %+v\nwant %+v", status, got, want)
		}
		if got := s.claim(t, at(day), 10); len(got) != 0 {
			t.Errorf("%v: claimed a settled message", status)
		}
	}
	s.record(t, at(0), 0)
}

func retryWaits(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	s.claim(t, at(0), 10)
	s.record(t, at(time.Second), 1, store.Outcome{
		ID: m.ID, Claims: 1, Status: store.MessageQueued, RetryAt: at(time.Minute), Route: "first", Error: "busy",
	})
	if got := s.claim(t, at(time.Minute-time.Microsecond), 10); len(got) != 0 {
		t.Error("claimed before the time of its retry, when its lease would have ended")
	}
	got := s.claim(t, at(time.Minute), 10)
	if len(got) != 1 || got[0].Claims != 2 || got[0].Route != "first" || got[0].Error != "busy" {
		t.Fatalf("claimed %+v, want the retry", got)
	}
	s.record(t, at(time.Minute), 1, store.Outcome{ID: m.ID, Claims: 2, Status: store.MessageSent, Route: "second"})
	if got := s.sent(t, m.Phone)[0]; got.Route != "second" || got.Error != "" || got.Status != store.MessageSent {
		t.Errorf("the log has %+v", got)
	}
}

// retryAtOnce: a queued message without a time for its retry is not lost.
func retryAtOnce(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	s.claim(t, at(0), 10)
	s.record(t, at(0), 1, store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageQueued})
	if got := s.claim(t, at(0), 10); len(got) != 1 || got[0].Claims != 2 {
		t.Errorf("claimed %+v", got)
	}
}

func lostLease(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	s.claim(t, at(0), 10)
	late := store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageFailed, Error: "late"}
	if got := s.claim(t, at(lease), 10); len(got) != 1 || got[0].Claims != 2 {
		t.Fatalf("claimed %+v after the lease", got)
	}
	s.record(t, at(lease), 0, late)
	s.record(t, at(lease), 1, store.Outcome{ID: m.ID, Claims: 2, Status: store.MessageSent})
	s.record(t, at(lease), 0, late)
	if got := s.sent(t, m.Phone)[0]; got.Status != store.MessageSent || got.Error != "" {
		t.Errorf("the log has %+v", got)
	}

	// Late, but nobody else took it: its outcome is the truth.
	m = s.queue(t, at(0))
	s.claim(t, at(0), 10)
	s.record(t, at(10*lease), 1, store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageSent})
}

func queueStats(t *testing.T, s *suite) {
	want := func(depth int, oldest, waiting time.Time) {
		t.Helper()
		got, err := s.QueueStats(t.Context())
		ok(t, "QueueStats", err)
		if got.Depth != depth || !got.Oldest.Equal(oldest) || !got.Waiting.Equal(waiting) {
			t.Errorf("got %+v, want %d since %v, waiting since %v", got, depth, oldest, waiting)
		}
	}
	want(0, time.Time{}, time.Time{})
	first, second := s.queue(t, at(0)), s.queue(t, at(time.Second))
	want(2, at(0), at(0))
	s.claim(t, at(time.Second), 1)
	want(2, at(0), at(0)) // no carrier took it yet
	put := store.Outcome{ID: first.ID, Claims: 1, Status: store.MessageQueued, RetryAt: at(time.Second)}
	s.record(t, at(time.Second), 1, put)
	want(2, at(0), at(0)) // given back, it waits for its turn
	s.claim(t, at(time.Second), 1)
	put.Claims, put.RetryAt, put.Error = 2, at(time.Hour), "busy"
	s.record(t, at(time.Second), 1, put)
	want(2, at(0), at(time.Second)) // put off, it is still the oldest
	s.claim(t, at(time.Second), 1)
	s.record(t, at(time.Second), 1, store.Outcome{ID: second.ID, Claims: 1, Status: store.MessageSent, RetryAt: at(2 * time.Hour)})
	want(1, at(0), time.Time{}) // one that was sent is in no queue
	s.claim(t, at(time.Hour), 1)
	s.record(t, at(time.Hour), 1, store.Outcome{ID: first.ID, Claims: 3, Status: store.MessageExpired})
	want(0, time.Time{}, time.Time{})
}
