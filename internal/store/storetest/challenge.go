package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func challengeChecks() []check {
	return []check{
		{name: "a send starts the challenge it brings", run: startsWhatItBrings},
		{name: "a send while it lives joins it", run: joinsTheLiving},
		{name: "a send for another code length starts afresh", run: otherLength},
		{name: "it ends exactly at its expiry", run: endsAtExpiry},
		{name: "it takes just so many attempts", run: takesItsAttempts},
		{name: "a send after the last attempt starts afresh", run: exhaustedIsReplaced},
		{name: "a used code never works again", run: usedOnce},
		{name: "match judges the living challenge once", run: matchSeesOnce},
		{name: "another phone or client has no use of it", run: foreignersFail},
		{name: "an unknown client is not found", run: unknownClient},
		{name: "a phone keeps its former id", run: formerID},
	}
}

func startsWhatItBrings(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	in := s.intent(phone, at(0))
	out := s.start(t, in)
	if want := (store.Started{Phone: phone, Challenge: in.Challenge}); !reflect.DeepEqual(out, want) {
		t.Errorf("got %+v, want %+v", out, want)
	}
	want := store.Message{
		ID: in.Message, Client: s.client, Phone: phone, Sealed: in.Sealed, Challenge: in.Challenge.ID,
		KeyVersion: 7, Digits: 6, Status: store.MessageQueued, CreatedAt: in.Now, ExpiresAt: in.Challenge.ExpiresAt,
	}
	if got := s.sent(t, phone); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("message log\n got %+v\nwant %+v", got, want)
	}
}

// otherLength: a client that has changed its code length gets codes that it can
// take, at once.
func otherLength(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	first := s.send(t, phone, at(0))
	again := s.intent(phone, at(time.Second))
	again.Challenge.Digits = 8
	out := s.start(t, again)
	if out.Challenge.ID == first.ID || out.Challenge.Digits != 8 {
		t.Errorf("joined a challenge of %d digits", out.Challenge.Digits)
	}
}

func joinsTheLiving(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	first := s.send(t, phone, at(0))
	s.miss(t, phone, at(time.Second), 2)
	again := s.intent(phone, at(ttl-time.Millisecond))
	again.Challenge.KeyVersion = 9
	out := s.start(t, again)
	want := first
	want.Attempts = 2
	if !reflect.DeepEqual(out.Challenge, want) || out.Replayed {
		t.Errorf("joined %+v (replayed %v), want %+v", out.Challenge, out.Replayed, want)
	}
	log := s.sent(t, phone)
	if len(log) != 2 {
		t.Fatalf("%d messages for two sends", len(log))
	}
	if m := log[0]; m.ID != again.Message || m.Challenge != first.ID || m.Digits != 6 || m.KeyVersion != 7 || !m.ExpiresAt.Equal(first.ExpiresAt) {
		t.Errorf("the second message is %+v, want one of the first challenge", m)
	}
	s.miss(t, phone, at(time.Minute), maxAttempts-3)
	if f := s.fail(t, s.guess(phone, at(time.Minute), random()), fault.WrongCode); f.Retryable {
		t.Error("sending again bought attempts")
	}
}

func endsAtExpiry(t *testing.T, s *suite) {
	const tick = time.Millisecond
	for _, tc := range []struct {
		name  string
		after time.Duration
		live  bool
	}{{"a tick before", ttl - tick, true}, {"at it", ttl, false}, {"a tick after", ttl + tick, false}, {"long after", 1000 * ttl, false}} {
		t.Run(tc.name, func(t *testing.T) {
			phone := store.PhoneID(random())
			ch := s.send(t, phone, at(0))
			if joined := s.send(t, phone, at(tc.after)).ID == ch.ID; joined != tc.live {
				t.Errorf("a send joined: %v, want %v", joined, tc.live)
			}
			phone = random()
			in := s.guess(phone, at(tc.after), s.send(t, phone, at(0)).ID)
			if tc.live {
				s.pass(t, in)
			} else if f := s.fail(t, in, fault.WrongCode); f.Retryable {
				t.Error("an expired challenge is retryable")
			}
		})
	}
}

func takesItsAttempts(t *testing.T, s *suite) {
	for _, limit := range []int{1, 2, 5} {
		phone := store.PhoneID(random())
		ch := s.send(t, phone, at(0))
		for i := 1; i <= limit; i++ {
			in := s.guess(phone, at(0), random())
			in.MaxAttempts = limit
			if f := s.fail(t, in, fault.WrongCode); f.Retryable != (i < limit) {
				t.Errorf("attempt %d of %d: retryable %v", i, limit, f.Retryable)
			}
		}
		in := s.guess(phone, at(0), ch.ID)
		in.MaxAttempts = limit
		in.Match = func(store.Challenge) bool { t.Error("a locked challenge was judged"); return true }
		if f := s.fail(t, in, fault.WrongCode); f.Retryable {
			t.Error("a locked challenge is retryable")
		}
	}
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	s.miss(t, phone, at(0), maxAttempts-1)
	s.pass(t, s.guess(phone, at(0), ch.ID)) // the last attempt counts like the first
}

func exhaustedIsReplaced(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	s.miss(t, phone, at(0), maxAttempts)
	in := s.intent(phone, at(time.Second))
	fresh := s.start(t, in).Challenge
	if !reflect.DeepEqual(fresh, in.Challenge) {
		t.Errorf("got %+v, want the fresh %+v", fresh, in.Challenge)
	}
	s.fail(t, s.guess(phone, at(time.Second), ch.ID), fault.WrongCode)
	s.pass(t, s.guess(phone, at(time.Second), fresh.ID))
}

func usedOnce(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	s.pass(t, s.guess(phone, at(0), ch.ID))
	if f := s.fail(t, s.guess(phone, at(0), ch.ID), fault.WrongCode); f.Retryable {
		t.Error("a used challenge is retryable")
	}
	fresh := s.send(t, phone, at(time.Second))
	if fresh.ID == ch.ID || fresh.Attempts != 0 {
		t.Fatalf("a send after success joined the used challenge: %+v", fresh)
	}
	s.fail(t, s.guess(phone, at(time.Second), ch.ID), fault.WrongCode)
	s.pass(t, s.guess(phone, at(time.Second), fresh.ID))
}

func matchSeesOnce(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	want := s.send(t, phone, at(0))
	for i := range 2 {
		calls := 0
		in := s.guess(phone, at(time.Second), want.ID)
		in.Match = func(ch store.Challenge) bool {
			calls++
			want.Attempts = 0
			ch.Attempts = 0 // whether this attempt is in it already is the engine's affair
			if !reflect.DeepEqual(ch, want) {
				t.Errorf("match was shown %+v, want %+v", ch, want)
			}
			return i == 1
		}
		if i == 0 {
			s.fail(t, in, fault.WrongCode)
		} else {
			s.pass(t, in)
		}
		if calls != 1 {
			t.Errorf("attempt %d: match was called %d times", i, calls)
		}
	}
}

func foreignersFail(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	never := func(store.Challenge) bool { t.Error("another's challenge was judged"); return true }

	byClient := s.guess(phone, at(0), ch.ID)
	byClient.Client, byClient.Match = s.other, never
	s.fail(t, byClient, fault.WrongCode)

	known := store.PhoneID(random())
	s.pass(t, s.guess(known, at(0), s.send(t, known, at(0)).ID)) // known, but without a challenge
	for _, other := range []store.PhoneID{random(), {}, known} {
		in := s.guess(other, at(0), ch.ID)
		in.Match = never
		if f := s.fail(t, in, fault.WrongCode); f.Retryable {
			t.Error("an attempt without a challenge is retryable")
		}
	}
	if again := s.send(t, phone, at(0)); again.ID != ch.ID || again.Attempts != 0 {
		t.Errorf("foreign attempts were counted: %+v", again)
	}
	s.pass(t, s.guess(phone, at(0), ch.ID))
}

func unknownClient(t *testing.T, s *suite) {
	in := s.intent(random(), at(0))
	in.Client = "nobody"
	s.refuse(t, in, fault.NotFound)
	guess := s.guess(random(), at(0), random())
	guess.Client = "nobody"
	s.fail(t, guess, fault.NotFound)
}

func formerID(t *testing.T, s *suite) {
	old, older, now := store.PhoneID(random()), store.PhoneID(random()), store.PhoneID(random())
	ch := s.send(t, older, at(0))
	in := s.intent(now, at(time.Second))
	in.Former = []store.PhoneID{old, older}
	if out := s.start(t, in); out.Phone != older || out.Challenge.ID != ch.ID {
		t.Errorf("got phone %v, challenge %v; want the former %v, %v", out.Phone, out.Challenge.ID, older, ch.ID)
	}
	if n := len(s.sent(t, older)); n != 2 {
		t.Errorf("%d messages under the former id, want 2", n)
	}
	if n := len(s.sent(t, now)); n != 0 {
		t.Errorf("%d messages under an id that is not the phone's", n)
	}

	fresh := s.intent(random(), at(0))
	fresh.Former = []store.PhoneID{random(), random()}
	if out := s.start(t, fresh); out.Phone != fresh.Phone {
		t.Error("a new phone did not get its primary id")
	}

	s.send(t, now, at(0)) // known under both: the primary wins
	in = s.intent(now, at(2*time.Second))
	in.Former = []store.PhoneID{older}
	if out := s.start(t, in); out.Phone != now {
		t.Error("a phone known under its primary id answered to a former one")
	}

	foreign := s.intent(random(), at(0))
	foreign.Client, foreign.Former = s.other, []store.PhoneID{older}
	if out := s.start(t, foreign); out.Phone != foreign.Phone {
		t.Error("another client's phone was taken for a former id")
	}
}
