package storetest

import (
	"crypto/rand"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func idempotencyChecks() []check {
	return []check{
		{name: "the same body is replayed", run: replaysSameBody},
		{name: "another body is refused", run: refusesOtherBody},
		{name: "a key ends exactly at its expiry", run: keyEnds},
		{name: "a refused send does not use its key", run: refusalKeepsKey},
		{name: "a replay names the phone as it is stored", run: replayOfFormer},
	}
}

func newIdempotency(expires time.Time) *store.Idempotency {
	out := &store.Idempotency{ExpiresAt: expires}
	_, _ = rand.Read(out.Key[:])  // never fails
	_, _ = rand.Read(out.Body[:]) // never fails
	return out
}

// keyed is a limited send with an idempotency key.
func (s *suite) keyed(phone store.PhoneID, now time.Time, key *store.Idempotency) store.Start {
	in := s.intent(phone, now)
	in.Idempotency, in.PhoneLimits = key, phoneLimits()
	return in
}

func replaysSameBody(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	first := s.start(t, s.keyed(phone, at(0), key))
	if first.Replayed {
		t.Fatal("the first use was a replay")
	}
	// Neither limits nor the challenge's end matter to a replay.
	for _, d := range []time.Duration{0, 0, 0, 0, ttl, day - time.Millisecond} {
		out := s.start(t, s.keyed(phone, at(d), key))
		if !out.Replayed || out.Phone != phone {
			t.Fatalf("at +%v: %+v", d, out)
		}
	}
	if n := len(s.sent(t, phone)); n != 1 {
		t.Errorf("%d messages for one key", n)
	}
	for range 2 { // one of three was charged
		s.start(t, s.keyed(phone, at(0), newIdempotency(at(day))))
	}
	s.refuse(t, s.keyed(phone, at(0), newIdempotency(at(day))), fault.LimitSMS)
	s.pass(t, s.guess(phone, at(0), first.Challenge.ID))
	if !s.start(t, s.keyed(phone, at(0), key)).Replayed {
		t.Error("a replay after success started a challenge")
	}
}

func refusesOtherBody(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	s.start(t, s.keyed(phone, at(0), key))
	other := *key
	other.Body[31] ^= 1
	for range 4 {
		s.refuse(t, s.keyed(phone, at(0), &other), fault.IdempotencyMismatch)
	}
	s.refuse(t, s.keyed(random(), at(0), &other), fault.IdempotencyMismatch)
	if n := len(s.sent(t, phone)); n != 1 {
		t.Errorf("%d messages, want the first only", n)
	}
	if !s.start(t, s.keyed(phone, at(0), key)).Replayed {
		t.Error("the other body took the key over")
	}
	for range 2 {
		s.start(t, s.keyed(phone, at(0), newIdempotency(at(day)))) // nothing was charged
	}
}

func keyEnds(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(time.Hour))
	s.start(t, s.keyed(phone, at(0), key))
	if !s.start(t, s.keyed(phone, at(time.Hour-time.Millisecond), key)).Replayed {
		t.Error("a key was forgotten before its end")
	}
	next := *key
	next.Body[0] ^= 1
	next.ExpiresAt = at(2 * time.Hour)
	if s.start(t, s.keyed(phone, at(time.Hour), &next)).Replayed {
		t.Error("a key was replayed at its end")
	}
	if !s.start(t, s.keyed(phone, at(time.Hour), &next)).Replayed {
		t.Error("a key that was used anew is not remembered")
	}
	if n := len(s.sent(t, phone)); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func refusalKeepsKey(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	for range 3 {
		s.start(t, s.keyed(phone, at(0), newIdempotency(at(day))))
	}
	s.refuse(t, s.keyed(phone, at(0), key), fault.LimitSMS)
	other := *key
	other.Body[0] ^= 1 // even with another body: the refused use left no trace
	if s.start(t, s.keyed(phone, at(time.Minute), &other)).Replayed {
		t.Error("a refused send used its key")
	}
}

func replayOfFormer(t *testing.T, s *suite) {
	old, now, key := store.PhoneID(random()), store.PhoneID(random()), newIdempotency(at(day))
	s.send(t, old, at(0))
	in := s.keyed(now, at(0), key)
	in.Former = []store.PhoneID{old}
	for i := range 2 {
		if out := s.start(t, in); out.Phone != old || out.Replayed != (i == 1) {
			t.Errorf("use %d: %+v, want phone %v", i+1, out, old)
		}
	}
}
