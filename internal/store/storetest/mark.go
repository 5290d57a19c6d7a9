package storetest

import (
	"context"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

func markChecks() []check {
	return []check{
		{name: "an opt-out refuses sends until it is taken back", run: markOptOut},
		{name: "a block refuses sends until its time", run: markBlock},
		{name: "a block ends early", run: markUnblock},
		{name: "the marks do not touch each other", run: marksApart},
		{name: "a mark is found under a former id", run: markFormer},
		{name: "a mark is the client's alone", run: markOfClient},
		{name: "a refused send charges nothing", run: markChargesNothing},
		{name: "a replay and a guess pass a mark", run: markPasses},
		{name: "a client that is not stored", run: markNoClient},
		{name: "only a phone that is known", run: markKnownOnly, alone: true},
		{name: "marks outlive every retention", run: markSwept, alone: true},
	}
}

// mark carries out a mark that must succeed.
func (s *suite) mark(t tb, phone store.PhoneID, now time.Time, mark store.Mark) {
	t.Helper()
	in := s.intent(phone, now)
	ok(t, "MarkPhone", s.MarkPhone(context.Background(), store.PhoneMark{
		Now: now, Client: in.Client, Phone: phone, Sealed: in.Sealed, Mark: mark,
	}))
}

func optedOut(v bool) store.Mark         { return store.Mark{OptedOut: &v} }
func blocked(until time.Time) store.Mark { return store.Mark{BlockedUntil: &until} }

// knownAndNot runs a check with a phone that was sent to and one that was not.
func (s *suite) knownAndNot(t *testing.T, check func(t *testing.T, phone store.PhoneID)) {
	t.Helper()
	t.Run("unknown", func(t *testing.T) { check(t, random()) })
	t.Run("known", func(t *testing.T) {
		phone := store.PhoneID(random())
		s.send(t, phone, at(0))
		check(t, phone)
	})
}

func markOptOut(t *testing.T, s *suite) {
	s.knownAndNot(t, func(t *testing.T, phone store.PhoneID) {
		before := len(s.sent(t, phone))
		for range 2 { // saying it again changes nothing
			s.mark(t, phone, at(0), optedOut(true))
			s.refuse(t, s.intent(phone, at(100*keep)), fault.OptedOut)
		}
		if n := len(s.sent(t, phone)); n != before {
			t.Errorf("%d messages, want %d", n, before)
		}
		s.mark(t, phone, at(time.Second), optedOut(false))
		in := s.intent(phone, at(time.Second))
		if out := s.start(t, in); out.Phone != phone {
			t.Errorf("the phone became %v", out.Phone)
		}
		if got := s.sent(t, phone)[0]; string(got.Sealed) != string(in.Sealed) {
			t.Errorf("the number is %q, want %q", got.Sealed, in.Sealed)
		}
	})
}

func markBlock(t *testing.T, s *suite) {
	s.knownAndNot(t, func(t *testing.T, phone store.PhoneID) {
		s.mark(t, phone, at(0), blocked(at(day)))
		s.refuse(t, s.intent(phone, at(0)), fault.Blocked)
		s.refuse(t, s.intent(phone, at(day-time.Microsecond)), fault.Blocked)
		s.send(t, phone, at(day))
	})
}

func markUnblock(t *testing.T, s *suite) {
	s.knownAndNot(t, func(t *testing.T, phone store.PhoneID) {
		s.mark(t, phone, at(0), blocked(at(day)))
		s.mark(t, phone, at(0), blocked(at(time.Hour))) // the last word counts
		s.refuse(t, s.intent(phone, at(time.Hour-time.Microsecond)), fault.Blocked)
		s.mark(t, phone, at(0), blocked(time.Time{}))
		s.send(t, phone, at(0))
		s.mark(t, phone, at(0), blocked(time.Time{}))
		s.send(t, phone, at(0))
	})
}

func marksApart(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.mark(t, phone, at(0), blocked(at(day)))
	s.mark(t, phone, at(0), optedOut(true))
	s.refuse(t, s.intent(phone, at(0)), fault.OptedOut)
	s.mark(t, phone, at(0), store.Mark{})
	s.refuse(t, s.intent(phone, at(0)), fault.OptedOut)
	s.mark(t, phone, at(0), optedOut(false))
	s.refuse(t, s.intent(phone, at(0)), fault.Blocked)
	s.mark(t, phone, at(0), optedOut(true))
	s.mark(t, phone, at(0), blocked(time.Time{}))
	s.refuse(t, s.intent(phone, at(0)), fault.OptedOut)
}

func markFormer(t *testing.T, s *suite) {
	former, primary := store.PhoneID(random()), store.PhoneID(random())
	s.send(t, former, at(0))
	ok(t, "MarkPhone", s.MarkPhone(t.Context(), store.PhoneMark{
		Now: at(0), Client: s.client, Phone: primary, Former: []store.PhoneID{random(), former}, Mark: optedOut(true),
	}))
	s.refuse(t, s.intent(former, at(0)), fault.OptedOut)
	in := s.intent(primary, at(0))
	in.Former = []store.PhoneID{former}
	s.refuse(t, in, fault.OptedOut)
	s.send(t, primary, at(0)) // no row of its own was made
}

func markOfClient(t *testing.T, s *suite) {
	mine, theirs := store.PhoneID(random()), store.PhoneID(random())
	s.mark(t, mine, at(0), optedOut(true))
	in := s.intent(theirs, at(0))
	in.Client, in.Former = s.other, []store.PhoneID{mine}
	s.start(t, in)
}

func markChargesNothing(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	in := s.intent(phone, at(0))
	in.PhoneLimits = &store.PhoneLimits{Burst: guard.Bucket{Burst: 1, Every: time.Hour}}
	in.Charges = []store.Charge{{Name: "charge", Key: phone.String(), Bucket: guard.Bucket{Burst: 1, Every: time.Hour}}}
	s.mark(t, phone, at(0), blocked(at(time.Second)))
	for range 3 {
		s.refuse(t, in, fault.Blocked)
	}
	in.Now = at(time.Second)
	s.start(t, in)
}

func markPasses(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), newIdempotency(at(day))
	ch := s.start(t, s.keyed(phone, at(0), key)).Challenge
	s.mark(t, phone, at(0), store.Mark{OptedOut: new(true), BlockedUntil: new(at(day))})
	if !s.start(t, s.keyed(phone, at(0), key)).Replayed {
		t.Error("a repeated send was carried out")
	}
	s.pass(t, s.guess(phone, at(0), ch.ID))
}

func markNoClient(t *testing.T, s *suite) {
	err := s.MarkPhone(t.Context(), store.PhoneMark{Now: at(0), Client: "nobody", Phone: random(), Mark: optedOut(true)})
	refusal(t, "MarkPhone", err, fault.NotFound)
}

func markKnownOnly(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	only := store.PhoneMark{
		Now: at(0), Client: s.client, Phone: random(), Former: []store.PhoneID{random(), phone}, Sealed: []byte("sealed"),
		Mark: optedOut(true), KnownOnly: true,
	}
	refusal(t, "MarkPhone", s.MarkPhone(t.Context(), only), fault.NotFound)
	if n := s.round(t, at(100*keep), 10); n != 0 {
		t.Errorf("%d phones were made", n)
	}
	s.send(t, phone, at(0))
	ok(t, "MarkPhone", s.MarkPhone(t.Context(), only))
	s.refuse(t, s.intent(phone, at(0)), fault.OptedOut)
	only.Client = s.other
	refusal(t, "MarkPhone", s.MarkPhone(t.Context(), only), fault.NotFound)
}

func markSwept(t *testing.T, s *suite) {
	out, block := store.PhoneID(random()), store.PhoneID(random())
	s.mark(t, out, at(0), optedOut(true))
	s.mark(t, block, at(0), blocked(at(5*keep)))
	if n := s.round(t, at(5*keep-time.Microsecond), 10); n != 0 {
		t.Errorf("removed %d marked phones", n)
	}
	s.refuse(t, s.intent(block, at(5*keep-time.Microsecond)), fault.Blocked)
	s.refuse(t, s.intent(out, at(5*keep)), fault.OptedOut)
	if n := s.round(t, at(5*keep), 10); n != 1 {
		t.Errorf("removed %d phones at the end of the block, want 1", n)
	}
	s.refuse(t, s.intent(out, at(5*keep)), fault.OptedOut)
	s.mark(t, out, at(5*keep), optedOut(false))
	if n := s.round(t, at(5*keep), 10); n != 1 {
		t.Errorf("removed %d phones after the opt-out was taken back, want 1", n)
	}
}
