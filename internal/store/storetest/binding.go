package storetest

import (
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func bindingChecks() []check {
	return []check{
		{name: "who may use which challenge", run: whoMayUse},
		{name: "bindings have a challenge each", run: oneEach},
		{name: "a dead bound challenge hides no living unbound one", run: deadHidesNothing},
	}
}

func whoMayUse(t *testing.T, s *suite) {
	a, b := store.Binding("session \x00 a"), store.Binding("session b")
	for _, tc := range []struct {
		name         string
		started, now store.Binding
		pass         bool
	}{
		{"unbound by anybody", "", "", true},
		{"unbound by a signed-in caller", "", a, true},
		{"bound by its session", a, a, true},
		{"bound by another session", a, b, false},
		{"bound without a session", a, "", false},
		{"bound by a prefix of its session", a, a[:8], false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			phone := store.PhoneID(random())
			start := s.intent(phone, at(0))
			start.Challenge.Binding = tc.started
			in := s.guess(phone, at(0), s.start(t, start).Challenge.ID)
			in.Binding = tc.now
			if tc.pass {
				s.pass(t, in)
				in.Grant.Session.ID = random()
				s.fail(t, in, fault.WrongCode)
				return
			}
			in.Match = func(store.Challenge) bool { t.Error("it was judged"); return true }
			s.fail(t, in, fault.WrongCode)
			in = s.guess(phone, at(0), start.Challenge.ID)
			in.Binding = tc.started
			s.pass(t, in)
		})
	}
}

func oneEach(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ids := make(map[store.Binding]store.ChallengeID)
	long := store.Binding(strings.Repeat("x", 254)) // the longest are 255 bytes
	bindings := []store.Binding{"", "a", "b", long + "1", long + "2"}
	for _, b := range bindings {
		in := s.intent(phone, at(0))
		in.Challenge.Binding = b
		out := s.start(t, in).Challenge
		if out.ID != in.Challenge.ID || out.Binding != b {
			t.Fatalf("binding %q: joined %+v", b, out)
		}
		ids[b] = out.ID
	}
	for range 2 { // a's wrong guesses are a's alone
		in := s.guess(phone, at(0), ids[""])
		in.Binding = "a"
		s.fail(t, in, fault.WrongCode)
	}
	for _, b := range bindings {
		in := s.intent(phone, at(time.Second))
		in.Challenge.Binding = b
		want := 0
		if b == "a" {
			want = 2
		}
		if out := s.start(t, in).Challenge; out.ID != ids[b] || out.Attempts != want {
			t.Errorf("binding %q: %+v, want %v with %d attempts", b, out, ids[b], want)
		}
		guess := s.guess(phone, at(time.Second), ids[b])
		guess.Binding = b
		s.pass(t, guess)
	}
}

// deadHidesNothing: an expired challenge may be swept at any moment, so it must
// already behave as if it were gone; and so must a locked one.
func deadHidesNothing(t *testing.T, s *suite) {
	for _, how := range []string{"expired", "locked"} {
		t.Run(how, func(t *testing.T) {
			phone := store.PhoneID(random())
			bound := s.intent(phone, at(0))
			bound.Challenge.Binding = "a"
			s.start(t, bound)
			now := at(time.Second)
			if how == "expired" {
				now = at(ttl)
			} else {
				for range maxAttempts {
					in := s.guess(phone, now, random())
					in.Binding = "a"
					s.fail(t, in, fault.WrongCode)
				}
			}
			in := s.guess(phone, now, s.send(t, phone, now).ID)
			in.Binding = "a"
			s.pass(t, in)
		})
	}
}
