package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func sweepChecks() []check {
	return []check{
		{name: "an empty round ends", run: sweepsEmpty, alone: true},
		{name: "nothing alive is removed", run: sweepsNothingAlive, alone: true},
		{name: "what has expired is removed, in slices", run: sweepsExpired, alone: true, needs: CountedSweep},
		{name: "a queued message outlives its retention", run: sweepKeepsQueued, alone: true},
		{name: "a message goes with its history", run: sweepHistory, alone: true},
		{name: "a receipt that matches nothing goes after a day", run: sweepEarly, alone: true},
		{name: "a verified phone is kept", run: sweepKeepsVerified, alone: true},
		{name: "failures outlive the challenge", run: sweepKeepsFailures, alone: true},
		{name: "notes and facts of lines go with their end", run: sweepsNotes, alone: true, needs: CountedSweep},
		{name: "events go when they are old, or never", run: sweepsEvents, alone: true},
		{name: "documents stay", run: sweepKeepsDocuments, alone: true},
	}
}

// round sweeps until a round is done and returns what it removed.
func (s *suite) round(t tb, now time.Time, limit int) int {
	t.Helper()
	return s.roundOf(t, store.Sweep{Now: now, KeepMessages: keep, Limit: limit})
}

func (s *suite) roundOf(t tb, in store.Sweep) int {
	t.Helper()
	removed := 0
	for range 10_000 {
		out, err := s.SweepExpired(context.Background(), in)
		ok(t, "SweepExpired", err)
		if out.Removed < 0 || out.Removed > in.Limit {
			t.Fatalf("a slice of %d removed %d rows", in.Limit, out.Removed)
		}
		removed += out.Removed
		if out.Done {
			return removed
		}
	}
	t.Fatalf("a round of slices of %d does not end", in.Limit)
	return 0
}

func sweepsEmpty(t *testing.T, s *suite) {
	for range 3 {
		if n := s.round(t, at(day), 10); n != 0 {
			t.Errorf("removed %d rows of an empty store", n)
		}
	}
}

func sweepsNothingAlive(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	in := s.keyed(phone, at(0), key)
	charge := store.Charge{Name: "charge", OfClient: true, Key: fmt.Sprint(phone), Bucket: guard.Bucket{Burst: 1, Every: ttl}}
	in.Charges = []store.Charge{charge}
	ch := s.start(t, in).Challenge
	bound := s.intent(phone, at(0))
	bound.Challenge.Binding = "bound"
	boundID := s.start(t, bound).Challenge.ID
	sess := s.signIn(t, at(0))
	for _, limit := range []int{1, 2, 1000} {
		if n := s.round(t, at(ttl-time.Millisecond), limit); n != 0 {
			t.Errorf("slices of %d removed %d rows while everything was alive", limit, n)
		}
	}
	now := at(ttl - time.Millisecond)
	charged := s.intent(random(), now)
	charged.Charges = []store.Charge{charge}
	if f := s.refuse(t, charged, fault.LimitClient); f.RetryAfter != time.Millisecond {
		t.Errorf("the charge's wait is %v", f.RetryAfter)
	}
	if !s.start(t, s.keyed(phone, now, key)).Replayed {
		t.Error("the idempotency key is gone")
	}
	s.alive(t, now, sess.ID)
	s.pass(t, s.guess(phone, now, ch.ID))
	other := s.guess(phone, now, boundID)
	other.Binding = "bound"
	s.pass(t, other)
	if n := len(s.sent(t, phone)); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func sweepsExpired(t *testing.T, s *suite) {
	for _, limit := range []int{1, 3, 1000} {
		t.Run(fmt.Sprintf("by %d", limit), func(t *testing.T) {
			const n = 5
			var phones []store.PhoneID
			for i := range n {
				in := s.keyed(random(), at(0), newIdempotency(at(time.Hour)))
				in.Charges = []store.Charge{{
					Name: "charge", Key: fmt.Sprint(limit, i), Bucket: guard.Bucket{Burst: 1, Every: time.Minute},
				}}
				s.start(t, in)
				phones = append(phones, in.Phone)
			}
			sess := s.signIn(t, at(0))
			claimed := s.claim(t, at(0), 100)
			for _, m := range claimed {
				s.record(t, at(0), 1, store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageSent})
			}
			// Challenges, idempotency keys, limits and the session.
			if got := s.round(t, at(day), limit); got != 3*n+1 {
				t.Errorf("after a day: removed %d rows, want %d", got, 3*n+1)
			}
			s.gone(t, at(0), sess.ID)
			// What the limits of phones have counted.
			if got := s.round(t, at(keep-time.Millisecond), limit); got != n {
				t.Errorf("before the retention's end: removed %d rows, want %d", got, n)
			}
			// Messages, and phones that nobody verified.
			if got, want := s.round(t, at(keep), limit), len(claimed)+n; got != want {
				t.Errorf("at the retention's end: removed %d rows, want %d", got, want)
			}
			for _, p := range phones {
				if n := len(s.sent(t, p)); n != 0 {
					t.Errorf("%d messages are still listed", n)
				}
			}
			if got := s.round(t, at(keep), limit); got != 0 {
				t.Errorf("a second round removed %d rows", got)
			}
			s.start(t, s.keyed(phones[0], at(keep), newIdempotency(at(keep)))) // and all begins anew
			s.round(t, at(3*keep), 1000)
			s.claimAll(t, at(3*keep))
			s.round(t, at(5*keep), 1000)
		})
	}
}

// claimAll empties the queue.
func (s *suite) claimAll(t *testing.T, now time.Time) {
	t.Helper()
	for _, m := range s.claim(t, now, 1000) {
		s.record(t, now, 1, store.Outcome{ID: m.ID, Claims: m.Claims, Status: store.MessageExpired})
	}
}

func sweepKeepsQueued(t *testing.T, s *suite) {
	m := s.queue(t, at(0))
	s.round(t, at(10*keep), 10)
	got := s.claim(t, at(10*keep), 10)
	if len(got) != 1 || got[0].ID != m.ID {
		t.Fatalf("claimed %+v, want the message that nobody settled", got)
	}
	s.round(t, at(10*keep), 10)
	s.record(t, at(10*keep), 1, store.Outcome{ID: m.ID, Claims: 1, Status: store.MessageExpired})
	s.round(t, at(10*keep), 10)
	if n := len(s.sent(t, m.Phone)); n != 0 {
		t.Error("a settled message outlived its retention")
	}
}

func sweepHistory(t *testing.T, s *suite) {
	d := dispatch("a", "ref", store.MessageSent)
	m := s.dispatched(t, at(0), d)
	s.apply(t, at(0), of(d, store.ReceiptAccepted), store.ReceiptNoted, m.ID)
	s.round(t, at(keep-time.Millisecond), 10)
	if got := s.detail(t, m.ID); len(got.Dispatches) != 1 || len(got.Receipts) != 1 {
		t.Errorf("before its time the history is %+v", got)
	}
	if n := s.round(t, at(keep), 10); n != 2 {
		t.Errorf("removed %d rows, want the message and its phone", n)
	}
	_, err := s.Message(t.Context(), m.ID)
	refusal(t, "Message", err, fault.NotFound)
	// Nothing is left that a receipt could belong to, nor of the receipts.
	s.apply(t, at(keep), of(d, store.ReceiptAccepted), store.ReceiptUnmatched, store.MessageID{})
}

func sweepEarly(t *testing.T, s *suite) {
	var all []store.Receipt
	for i := range 5 {
		d := dispatch("a", fmt.Sprint("ref ", i), store.MessageSent)
		all = append(all, of(d, store.ReceiptAccepted), of(d, store.ReceiptDelivered))
	}
	_, err := s.ApplyReceipts(t.Context(), at(0), all[:9])
	ok(t, "ApplyReceipts", err)
	s.apply(t, at(time.Hour), all[9], store.ReceiptUnmatched, store.MessageID{})
	s.round(t, at(day-time.Microsecond), 2)
	s.apply(t, at(day), all[0], store.ReceiptDuplicate, store.MessageID{})
	s.round(t, at(day), 2)
	for i, r := range all {
		want := store.ReceiptUnmatched // it was forgotten
		if i == 9 {
			want = store.ReceiptDuplicate
		}
		s.apply(t, at(day), r, want, store.MessageID{})
	}
}

func sweepKeepsVerified(t *testing.T, s *suite) {
	first := s.signIn(t, at(0))
	s.claimAll(t, at(0))
	s.round(t, at(10*keep), 10)
	if again := s.signInto(t, first.Phone, at(10*keep)); again.User != first.User {
		t.Errorf("the phone's user became %v, want %v", again.User, first.User)
	}
	in := s.granting(t, random(), at(10*keep), known(first.User))
	s.fail(t, in, fault.MismatchPhone)
}

func sweepKeepsFailures(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.send(t, phone, at(0))
	for range 3 {
		in := s.guess(phone, at(0), random())
		in.Failures = guard.Window{Max: 3, Period: day}
		s.fail(t, in, fault.WrongCode)
	}
	s.claimAll(t, at(0))
	s.round(t, at(day-time.Second), 10)
	in := s.keyed(phone, at(day-time.Second), newIdempotency(at(day)))
	in.PhoneLimits.Failures = guard.Window{Max: 3, Period: day}
	if f := s.refuse(t, in, fault.LimitOTP); f.RetryAfter != time.Second {
		t.Errorf("the wait is %v, want 1s", f.RetryAfter)
	}
}

func sweepsNotes(t *testing.T, s *suite) {
	const n = 7
	put := func(until time.Duration) {
		t.Helper()
		var notes []store.Note
		var facts []store.LineFact
		for i := range n {
			notes = append(notes, note("topic", fmt.Sprint("key ", i), 0, until+time.Duration(i), "body"))
			facts = append(facts, store.LineFact{Phone: [16]byte{byte(i + 1)}, Type: "mobile", Source: "s", Until: at(until + time.Duration(i))})
		}
		ok(t, "PutNotes", s.PutNotes(t.Context(), at(0), notes))
		ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), at(0), facts))
	}
	for _, limit := range []int{1, 3, 1000} {
		put(time.Minute)
		put(time.Hour) // in the place of those
		if got := s.round(t, at(time.Hour-time.Microsecond), limit); got != 0 {
			t.Errorf("by %d: %d rows were removed alive", limit, got)
		}
		s.notes(t, at(0), "topic", time.Time{}, "key 0", "key 1", "key 2", "key 3", "key 4", "key 5", "key 6")
		if got := s.round(t, at(time.Hour), limit); got != 2*n {
			t.Errorf("by %d: %d rows were removed, want %d", limit, got, 2*n)
		}
		s.notes(t, at(0), "topic", time.Time{})
		if _, found, err := s.LineFact(t.Context(), at(0), [16]byte{1}); found || err != nil {
			t.Errorf("a fact is still there, %v", err)
		}
	}
}

func sweepsEvents(t *testing.T, s *suite) {
	old, recent := s.happened(t, at(0), "a", "b", "c"), s.happened(t, at(time.Hour), "a", "b")
	all := append(recent, old...)
	in := store.Sweep{Now: at(1000 * day), KeepMessages: keep, Limit: 2}
	s.roundOf(t, in)
	s.events(t, store.EventQuery{Limit: 10}, all...)
	in.KeepEvents = 1000 * day
	s.roundOf(t, in)
	s.events(t, store.EventQuery{Limit: 10}, all...)
	in.Now = at(1000*day + time.Microsecond)
	if got := s.roundOf(t, in); got != len(old) {
		t.Errorf("%d rows were removed, want %d", got, len(old))
	}
	s.events(t, store.EventQuery{Limit: 10}, recent...)
	s.events(t, store.EventQuery{Limit: 10, Kind: "a"}, recent[1])
}

func sweepKeepsDocuments(t *testing.T, s *suite) {
	d := store.Document{Name: "d", Revision: 1, UpdatedAt: at(0), Body: []byte("x")}
	ok(t, "PutDocument", s.PutDocument(t.Context(), d))
	s.roundOf(t, store.Sweep{Now: at(1000 * day), KeepMessages: keep, KeepEvents: day, Limit: 2})
	s.document(t, d)
}
