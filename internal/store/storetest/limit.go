package storetest

import (
	"fmt"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

const day = 24 * time.Hour

func limitChecks() []check {
	return []check{
		{name: "burst of a phone", run: phoneBurst},
		{name: "day of a phone", run: phoneDay},
		{name: "failures of a phone", run: phoneFailures},
		{name: "the guess that uses up the failures is the last", run: lastFailure},
		{name: "charges", run: charges},
		{name: "all or nothing", run: allOrNothing},
		{name: "the longest wait is told", run: longestWait},
		{name: "no limits", run: noLimits},
		{name: "a clock that was set back", run: clockSetBack},
	}
}

// phoneLimits are the defaults of the product.
func phoneLimits() *store.PhoneLimits {
	return &store.PhoneLimits{
		Burst:    guard.Bucket{Burst: 3, Every: time.Minute},
		Day:      guard.Window{Max: 10, Period: day},
		Failures: guard.Window{Max: 15, Period: day},
	}
}

// step is one event and what a limit says to it; retry 0 means allowed.
type step struct {
	at    time.Duration
	retry time.Duration
}

// walk sends once per step.
func (s *suite) walk(t *testing.T, steps []step, intent func(time.Time) store.Start, kind fault.Kind, limit string) {
	t.Helper()
	for i, st := range steps {
		in := intent(at(st.at))
		if st.retry == 0 {
			s.start(t, in)
			continue
		}
		f := s.refuse(t, in, kind)
		if f.RetryAfter != st.retry || f.Limit != limit {
			t.Fatalf("step %d at +%v: retry after %v by %q, want %v by %q", i, st.at, f.RetryAfter, f.Limit, st.retry, limit)
		}
		for _, m := range s.sent(t, in.Phone) {
			if m.ID == in.Message {
				t.Fatalf("step %d: a refused send was queued", i)
			}
		}
	}
}

func phoneBurst(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	s.walk(t, []step{
		{at: 0},
		{at: 0},
		{at: 0},
		{at: 0, retry: time.Minute},
		{at: 0, retry: time.Minute}, // a refusal costs nothing
		{at: 59 * time.Second, retry: time.Second},
		{at: time.Minute},
		{at: time.Minute, retry: time.Minute},
		{at: 90 * time.Second, retry: 30 * time.Second},
		{at: 2 * time.Minute},
		{at: 20 * time.Minute},
		{at: 20 * time.Minute},
		{at: 20 * time.Minute},
		{at: 20 * time.Minute, retry: time.Minute},
	}, func(now time.Time) store.Start {
		in := s.intent(phone, now)
		in.PhoneLimits = phoneLimits()
		return in
	}, fault.LimitSMS, store.LimitPhoneBurst)
}

func phoneDay(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	var steps []step
	for i := range 10 {
		steps = append(steps, step{at: time.Duration(i) * time.Hour})
	}
	steps = append(
		steps,
		step{at: 10 * time.Hour, retry: 14 * time.Hour},
		step{at: day - time.Second, retry: time.Second},
		step{at: day},
		step{at: day, retry: time.Hour},
		step{at: day + time.Hour},
	)
	s.walk(t, steps, func(now time.Time) store.Start {
		in := s.intent(phone, now)
		in.PhoneLimits = phoneLimits()
		return in
	}, fault.LimitSMS, store.LimitPhoneDay)
}

func phoneFailures(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	send := func(now time.Time) store.Start {
		in := s.intent(phone, now)
		in.PhoneLimits = phoneLimits()
		return in
	}
	guess := func(now time.Time, code store.ChallengeID) store.Attempt {
		in := s.guess(phone, now, code)
		in.Failures = phoneLimits().Failures
		return in
	}
	for i := range 15 {
		now := at(time.Duration(i) * time.Minute)
		if i%maxAttempts == 0 {
			s.start(t, send(now))
		}
		s.fail(t, guess(now, random()), fault.WrongCode)
	}
	check := func(err *fault.Error, retry time.Duration) {
		t.Helper()
		if err.Limit != store.LimitPhoneFailures || err.RetryAfter != retry {
			t.Errorf("limit %q, retry after %v; want %q, %v", err.Limit, err.RetryAfter, store.LimitPhoneFailures, retry)
		}
	}
	never := guess(at(time.Hour), random())
	never.Match = func(store.Challenge) bool { t.Error("a guess beyond the budget was judged"); return true }
	check(s.fail(t, never, fault.LimitOTP), day-time.Hour)
	check(s.refuse(t, send(at(time.Hour)), fault.LimitOTP), day-time.Hour)
	check(s.refuse(t, send(at(day-time.Second)), fault.LimitOTP), time.Second)

	// Exactly a day after the first failure there is room for one.
	ch := s.start(t, send(at(day))).Challenge
	s.fail(t, guess(at(day), random()), fault.WrongCode)
	check(s.fail(t, guess(at(day), ch.ID), fault.LimitOTP), time.Minute)
	s.pass(t, guess(at(day+time.Minute), ch.ID))
	check(s.refuse(t, send(at(day)), fault.LimitOTP), time.Minute) // success forgives nothing
}

func lastFailure(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	ch := s.send(t, phone, at(0))
	for i := range 3 {
		in := s.guess(phone, at(0), random())
		in.Failures = guard.Window{Max: 3, Period: day}
		if f := s.fail(t, in, fault.WrongCode); f.Retryable != (i < 2) {
			t.Errorf("failure %d of 3: retryable %v", i+1, f.Retryable)
		}
	}
	in := s.guess(phone, at(0), ch.ID)
	in.Failures = guard.Window{Max: 3, Period: day}
	s.fail(t, in, fault.LimitOTP)
}

func charges(t *testing.T, s *suite) {
	for _, ofClient := range []bool{true, false} {
		t.Run(fmt.Sprintf("of client %v", ofClient), func(t *testing.T) {
			kind := fault.LimitSMS
			if ofClient {
				kind = fault.LimitClient
			}
			// Distinct phones share one key; a bit more than a whole second must
			// be told to the microsecond.
			charge := store.Charge{
				Name: "a limit", OfClient: ofClient, Key: fmt.Sprintf("key \x00 %x", random()),
				Bucket: guard.Bucket{Burst: 2, Every: 1500 * time.Millisecond},
			}
			s.walk(t, []step{
				{at: 0},
				{at: 0},
				{at: 0, retry: 1500 * time.Millisecond},
				{at: time.Second, retry: 500 * time.Millisecond},
				{at: 1500 * time.Millisecond},
				{at: 1500 * time.Millisecond, retry: 1500 * time.Millisecond},
				{at: time.Hour},
				{at: time.Hour},
				{at: time.Hour, retry: 1500 * time.Millisecond},
			}, func(now time.Time) store.Start {
				in := s.intent(random(), now)
				in.Charges = []store.Charge{charge}
				return in
			}, kind, "a limit")
			in := s.intent(random(), at(time.Hour))
			charge.Key += "'"
			in.Charges = []store.Charge{charge}
			s.start(t, in) // another key is another bucket
		})
	}
}

func allOrNothing(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), fmt.Sprintf("%x", random())
	wide := store.Charge{Name: "wide", OfClient: true, Key: "wide" + key, Bucket: guard.Bucket{Burst: 3, Every: time.Hour}}
	narrow := store.Charge{Name: "narrow", Key: "narrow" + key, Bucket: guard.Bucket{Burst: 1, Every: time.Minute}}
	send := func(phone store.PhoneID, now time.Time, charges ...store.Charge) store.Start {
		in := s.intent(phone, now)
		in.PhoneLimits, in.Charges = phoneLimits(), charges
		return in
	}
	s.start(t, send(phone, at(0), wide, narrow))
	for range 5 {
		s.refuse(t, send(phone, at(0), wide, narrow), fault.LimitSMS)
		s.refuse(t, send(phone, at(0), narrow, wide), fault.LimitSMS)
	}
	// Five refusals by the narrow limit took nothing from the wide one, nor
	// from the phone; nor did a phone's refusal take from the client.
	s.start(t, send(phone, at(0), wide))
	s.start(t, send(phone, at(0)))
	s.refuse(t, send(phone, at(0), wide), fault.LimitSMS)
	s.start(t, send(random(), at(0), wide))
	s.refuse(t, send(random(), at(0), wide), fault.LimitClient)
}

func longestWait(t *testing.T, s *suite) {
	key := fmt.Sprintf("%x", random())
	charge := func(name string, ofClient bool, every time.Duration) store.Charge {
		return store.Charge{Name: name, OfClient: ofClient, Key: name + key, Bucket: guard.Bucket{Burst: 1, Every: every}}
	}
	for i, tc := range []struct {
		address, client time.Duration
		limit           string
		kind            fault.Kind
		retry           time.Duration
	}{
		{time.Hour, time.Minute, "address0", fault.LimitSMS, time.Hour},
		{time.Minute, time.Hour, "client1", fault.LimitClient, time.Hour},
		{time.Second, 2 * time.Second, store.LimitPhoneBurst, fault.LimitSMS, time.Minute},
	} {
		phone := store.PhoneID(random())
		in := func() store.Start {
			in := s.intent(phone, at(0))
			in.PhoneLimits = phoneLimits()
			in.PhoneLimits.Burst.Burst = 1
			in.Charges = []store.Charge{
				charge(fmt.Sprintf("address%d", i), false, tc.address),
				charge(fmt.Sprintf("client%d", i), true, tc.client),
			}
			return in
		}
		s.start(t, in())
		if f := s.refuse(t, in(), tc.kind); f.Limit != tc.limit || f.RetryAfter != tc.retry {
			t.Errorf("case %d: %q after %v, want %q after %v", i, f.Limit, f.RetryAfter, tc.limit, tc.retry)
		}
		again := in()
		again.Now = at(tc.retry)
		s.start(t, again) // waiting as told is enough
	}
}

func noLimits(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	for range 30 {
		in := s.intent(phone, at(0))
		in.PhoneLimits = &store.PhoneLimits{}
		in.Charges = []store.Charge{{Name: "none", Key: "none"}, {Name: "none", Key: "none", OfClient: true}}
		s.start(t, in)
	}
	limited := func() store.Start {
		in := s.intent(phone, at(0))
		in.PhoneLimits = phoneLimits()
		return in
	}
	for range 3 {
		s.start(t, limited())
	}
	s.start(t, s.intent(phone, at(0))) // not limited, but it forgives nothing
	if f := s.refuse(t, limited(), fault.LimitSMS); f.Limit != store.LimitPhoneBurst {
		t.Errorf("refused by %q", f.Limit)
	}
}

func clockSetBack(t *testing.T, s *suite) {
	phone, key := store.PhoneID(random()), fmt.Sprintf("%x", random())
	in := func(now time.Time) store.Start {
		in := s.intent(phone, now)
		in.PhoneLimits = &store.PhoneLimits{Burst: guard.Bucket{Burst: 1, Every: time.Minute}}
		in.Charges = []store.Charge{{Name: "charge", Key: key, Bucket: guard.Bucket{Burst: 1, Every: time.Minute}}}
		return in
	}
	s.start(t, in(at(365*day)))
	if f := s.refuse(t, in(at(0)), fault.LimitSMS); f.RetryAfter != time.Minute {
		t.Errorf("after the clock was set back a year the wait is %v, want a full bucket's %v", f.RetryAfter, time.Minute)
	}
	s.start(t, in(at(365*day+time.Minute)))
}
