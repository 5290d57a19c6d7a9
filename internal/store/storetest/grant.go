package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func grantChecks() []check {
	return []check{
		{name: "the session is the one that was told", run: grantsSession},
		{name: "a phone gets its user once", run: userOnce},
		{name: "a known user gets a free phone", run: knownGetsFree},
		{name: "a known user has one phone", run: knownHasOne},
		{name: "a phone of another user is taken", run: phoneTaken},
		{name: "an upgrade keeps the session", run: upgradeKeeps},
		{name: "an upgrade of a session that is gone counts nothing", run: upgradeGone},
		{name: "a wrong guess leaves the session alone", run: wrongGrantsNothing},
		{name: "a grant that fails leaves the code usable", run: failedGrant, needs: AtomicGrant},
	}
}

// verify sends to a phone and passes with the given grant.
func (s *suite) verify(t *testing.T, phone store.PhoneID, now time.Time, grant func(*store.Grant)) store.Session {
	t.Helper()
	return s.pass(t, s.granting(t, phone, now, grant))
}

// granting is a right guess with a grant.
func (s *suite) granting(t *testing.T, phone store.PhoneID, now time.Time, grant func(*store.Grant)) store.Attempt {
	t.Helper()
	in := s.guess(phone, now, s.send(t, phone, now).ID)
	grant(&in.Grant)
	return in
}

// gone checks that a session does not exist.
func (s *suite) gone(t *testing.T, now time.Time, id store.SessionID) {
	t.Helper()
	_, err := s.Session(t.Context(), now, id)
	refusal(t, "Session", err, fault.InvalidAuthorization)
}

func grantsSession(t *testing.T, s *suite) {
	for _, amr := range [][]string{{"otp", "sms"}, {"pwd"}, {"mfa", "otp", "pwd", "sms"}} {
		phone := store.PhoneID(random())
		var want store.Session
		got := s.verify(t, phone, at(0), func(g *store.Grant) {
			g.Session.AMR = amr
			g.Session.Issuer, g.Session.Subject = "https://issuer.example", "sub ' \x00 ü"
			g.Session.AuthTime = at(-time.Microsecond)
			want = g.Session
		})
		want.Client, want.Phone = s.client, phone
		if !reflect.DeepEqual(got, want) {
			t.Errorf("granted\n got %+v\nwant %+v", got, want)
		}
		read, err := s.Session(t.Context(), at(0), want.ID)
		ok(t, "Session", err)
		if !reflect.DeepEqual(read, want) {
			t.Errorf("stored\n got %+v\nwant %+v", read, want)
		}
	}
}

func userOnce(t *testing.T, s *suite) {
	phone := store.PhoneID(random())
	first := s.signInto(t, phone, at(0))
	for i := range 3 {
		again := s.signInto(t, phone, at(time.Duration(i+1)*time.Second))
		if again.User != first.User || again.ID == first.ID {
			t.Errorf("sign-in %d: user %v, session %v; want user %v in a new session", i+2, again.User, again.ID, first.User)
		}
		read, err := s.Session(t.Context(), again.CreatedAt, again.ID)
		ok(t, "Session", err)
		if read.User != first.User {
			t.Errorf("stored user %v, want %v", read.User, first.User)
		}
	}
}

// signInto verifies a phone for a caller without a bearer.
func (s *suite) signInto(t *testing.T, phone store.PhoneID, now time.Time) store.Session {
	t.Helper()
	return s.verify(t, phone, now, func(*store.Grant) {})
}

func known(user store.UserID) func(*store.Grant) {
	return func(g *store.Grant) { g.Known, g.Session.User = true, user }
}

func knownGetsFree(t *testing.T, s *suite) {
	phone, user := store.PhoneID(random()), store.UserID(random())
	for i := range 3 {
		if got := s.verify(t, phone, at(time.Duration(i)*time.Second), known(user)); got.User != user {
			t.Errorf("verification %d: user %v, want %v", i+1, got.User, user)
		}
	}
	if got := s.signInto(t, phone, at(time.Minute)); got.User != user {
		t.Errorf("sign-in without a bearer: user %v, want %v", got.User, user)
	}
}

func knownHasOne(t *testing.T, s *suite) {
	mine := s.signInto(t, random(), at(0))
	other := store.PhoneID(random())
	taken := s.signInto(t, random(), at(0)).Phone
	for _, phone := range []store.PhoneID{other, taken} {
		in := s.granting(t, phone, at(time.Second), known(mine.User))
		s.fail(t, in, fault.MismatchPhone)
		s.gone(t, at(time.Second), in.Grant.Session.ID)
		s.fail(t, in, fault.WrongCode) // possession was proved, so the code is used
	}
	if got := s.signInto(t, other, at(time.Minute)); got.User == mine.User {
		t.Error("a refused verification gave the phone away")
	}
	s.verify(t, mine.Phone, at(time.Minute), known(mine.User))
}

func phoneTaken(t *testing.T, s *suite) {
	owner := s.signInto(t, random(), at(0))
	user := store.UserID(random())
	in := s.granting(t, owner.Phone, at(time.Second), known(user))
	s.fail(t, in, fault.PhoneTaken)
	s.gone(t, at(time.Second), in.Grant.Session.ID)
	s.fail(t, in, fault.WrongCode)
	s.verify(t, random(), at(time.Minute), known(user)) // and the user is still without a phone
	if got := s.signInto(t, owner.Phone, at(time.Minute)); got.User != owner.User {
		t.Error("the phone changed hands")
	}
}

func upgradeKeeps(t *testing.T, s *suite) {
	for _, longer := range []bool{true, false} {
		old := s.verify(t, random(), at(0), func(g *store.Grant) {
			g.Session.AMR = []string{"pwd"}
			g.Session.Issuer, g.Session.Subject = "issuer", "subject"
			g.Session.ExpiresAt = at(time.Hour)
		})
		now, want := at(time.Minute), old
		want.AMR, want.AuthTime = []string{"mfa", "otp", "pwd", "sms"}, now
		want.ExpiresAt = at(time.Minute)
		if longer {
			want.ExpiresAt = at(2 * time.Hour)
		}
		got := s.verify(t, old.Phone, now, func(g *store.Grant) {
			g.Upgrade, g.Known, g.Session = true, true, want
		})
		if !longer {
			want.ExpiresAt = at(time.Hour) // an upgrade never shortens
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("upgraded\n got %+v\nwant %+v", got, want)
		}
		read, err := s.Session(t.Context(), now, old.ID)
		ok(t, "Session", err)
		if !reflect.DeepEqual(read, want) {
			t.Errorf("stored\n got %+v\nwant %+v", read, want)
		}
	}
}

func upgradeGone(t *testing.T, s *suite) {
	upgrade := func(old store.Session) func(*store.Grant) {
		return func(g *store.Grant) { g.Upgrade, g.Known, g.Session = true, true, old }
	}
	for _, tc := range []struct {
		name string
		gone func(old store.Session, in *store.Attempt)
	}{
		{"revoked", func(old store.Session, _ *store.Attempt) {
			ok(t, "RevokeSession", s.RevokeSession(t.Context(), at(0), old.ID))
		}},
		{"expired", func(old store.Session, in *store.Attempt) { in.Now = old.ExpiresAt }},
		{"never was", func(_ store.Session, in *store.Attempt) { in.Grant.Session.ID = random() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := s.signInto(t, random(), at(0))
			in := s.granting(t, old.Phone, old.ExpiresAt.Add(-time.Second), upgrade(old))
			code := in.Match
			in.MaxAttempts = 1
			in.Match = func(store.Challenge) bool { t.Error("it was judged"); return false }
			tc.gone(old, &in)
			s.fail(t, in, fault.InvalidAuthorization)
			again := s.guess(old.Phone, in.Now, random())
			again.Match, again.MaxAttempts = code, 1
			s.pass(t, again) // the one attempt is still there
		})
	}
	foreign := s.signInto(t, random(), at(0))
	phone := store.PhoneID(random())
	start := s.intent(phone, at(0))
	start.Client = s.other
	in := s.guess(phone, at(0), s.start(t, start).Challenge.ID)
	in.Client = s.other
	upgrade(foreign)(&in.Grant)
	s.fail(t, in, fault.InvalidAuthorization)
	read, err := s.Session(t.Context(), at(0), foreign.ID)
	ok(t, "Session", err)
	if !reflect.DeepEqual(read, foreign) {
		t.Errorf("another client changed the session: %+v", read)
	}
}

func wrongGrantsNothing(t *testing.T, s *suite) {
	old := s.signInto(t, random(), at(0))
	in := s.granting(t, old.Phone, at(time.Second), func(g *store.Grant) {
		g.Upgrade, g.Known, g.Session = true, true, old
		g.Session.AMR, g.Session.ExpiresAt = []string{"mfa"}, at(day)
	})
	in.Match = func(store.Challenge) bool { return false }
	s.fail(t, in, fault.WrongCode)
	read, err := s.Session(t.Context(), at(0), old.ID)
	ok(t, "Session", err)
	if !reflect.DeepEqual(read, old) {
		t.Errorf("a wrong guess changed the session: %+v", read)
	}
	in = s.granting(t, random(), at(time.Second), func(*store.Grant) {})
	in.Match = func(store.Challenge) bool { return false }
	s.fail(t, in, fault.WrongCode)
	s.gone(t, at(time.Second), in.Grant.Session.ID)
}

// failedGrant makes the grant fail after the code was judged right: the id of
// the new session is in use.
func failedGrant(t *testing.T, s *suite) {
	taken := s.signIn(t, at(0))
	phone := store.PhoneID(random())
	in := s.granting(t, phone, at(0), func(g *store.Grant) { g.Session.ID = taken.ID })
	if _, err := s.Attempt(t.Context(), in); err == nil {
		t.Fatal("two sessions got one id")
	}
	read, err := s.Session(t.Context(), at(0), taken.ID)
	ok(t, "Session", err)
	if !reflect.DeepEqual(read, taken) {
		t.Errorf("the session that had the id became %+v", read)
	}
	in.Grant.Session.ID = random()
	s.pass(t, in)
}
