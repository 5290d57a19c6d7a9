package storetest

import (
	"reflect"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func sessionChecks() []check {
	return []check{
		{name: "a session ends exactly at its expiry", run: sessionEnds},
		{name: "use extends it", run: touchExtends},
		{name: "a session that is gone stays gone", run: goneStaysGone},
		{name: "revoking is for good, for one, and can be repeated", run: revokes},
	}
}

func (s *suite) alive(t *testing.T, now time.Time, id store.SessionID) store.Session {
	t.Helper()
	out, err := s.Session(t.Context(), now, id)
	ok(t, "Session", err)
	return out
}

func sessionEnds(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	s.alive(t, sess.ExpiresAt.Add(-time.Microsecond), sess.ID)
	s.gone(t, sess.ExpiresAt, sess.ID)
	s.gone(t, sess.ExpiresAt.Add(1000*day), sess.ID)
	s.gone(t, at(0), random())
	s.gone(t, at(0), store.SessionID{})
}

func touchExtends(t *testing.T, s *suite) {
	sess := s.signIn(t, at(0))
	ok(t, "TouchSession", s.TouchSession(t.Context(), at(time.Minute), sess.ID, at(time.Hour)))
	want := sess
	want.ExpiresAt = at(time.Hour)
	if got := s.alive(t, at(time.Hour-time.Microsecond), sess.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("touched\n got %+v\nwant %+v", got, want)
	}
	ok(t, "TouchSession", s.TouchSession(t.Context(), at(time.Minute), sess.ID, at(2*time.Minute)))
	if got := s.alive(t, at(time.Minute), sess.ID).ExpiresAt; !got.Equal(at(time.Hour)) {
		t.Errorf("a late touch shortened the session to %v", got)
	}
}

func goneStaysGone(t *testing.T, s *suite) {
	expired, revoked := s.signIn(t, at(0)), s.signIn(t, at(0))
	ok(t, "RevokeSession", s.RevokeSession(t.Context(), at(0), revoked.ID))
	ok(t, "TouchSession", s.TouchSession(t.Context(), expired.ExpiresAt, expired.ID, at(day)))
	s.gone(t, expired.ExpiresAt, expired.ID)
	for _, id := range []store.SessionID{revoked.ID, random()} {
		ok(t, "TouchSession", s.TouchSession(t.Context(), at(0), id, at(day)))
		s.gone(t, at(0), id)
	}
}

func revokes(t *testing.T, s *suite) {
	a := s.signIn(t, at(0))
	b := s.signInto(t, a.Phone, at(0)) // the same user's other session
	for range 2 {
		ok(t, "RevokeSession", s.RevokeSession(t.Context(), at(0), a.ID))
		s.gone(t, at(0), a.ID)
	}
	s.alive(t, at(0), b.ID)
	ok(t, "RevokeSession", s.RevokeSession(t.Context(), at(0), random()))
}

func signingKeyChecks() []check {
	return []check{
		{name: "keys are listed oldest first, whole", run: listsKeys, alone: true},
		{name: "only who saw the newest may add", run: addsAfterNewest, alone: true},
		{name: "retire and delete", run: retiresKeys, alone: true},
	}
}

func signingKey(kid string, created time.Time) store.SigningKey {
	return store.SigningKey{
		KID: kid, Algorithm: "ES256", Public: []byte(`{"kty":"EC"}`), Sealed: []byte{0, 1, 0xff},
		CreatedAt: created, ActiveAt: created.Add(time.Hour),
	}
}

func (s *suite) keys(t *testing.T, want ...store.SigningKey) {
	t.Helper()
	got, err := s.SigningKeys(t.Context())
	ok(t, "SigningKeys", err)
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("SigningKeys\n got %+v\nwant %+v", got, want)
	}
}

func listsKeys(t *testing.T, s *suite) {
	s.keys(t)
	z, a := signingKey("z", at(time.Hour)), signingKey("a", at(0))
	a.Algorithm, a.RetireAt = "EdDSA", at(day)
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), z, ""))
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), a, "z"))
	s.keys(t, z, a) // by when they were added, whatever they say
}

func addsAfterNewest(t *testing.T, s *suite) {
	add := func(kid, after string) error { return s.AddSigningKey(t.Context(), signingKey(kid, at(0)), after) }
	refusal(t, "AddSigningKey", add("a", "never was"), fault.Conflict)
	ok(t, "AddSigningKey", add("a", ""))
	refusal(t, "AddSigningKey", add("b", ""), fault.Conflict)
	ok(t, "AddSigningKey", add("b", "a"))
	refusal(t, "AddSigningKey", add("c", "a"), fault.Conflict)
	if err := add("a", "b"); err == nil {
		t.Error("two keys got one id")
	}
	s.keys(t, signingKey("a", at(0)), signingKey("b", at(0)))
}

func retiresKeys(t *testing.T, s *suite) {
	a, b := signingKey("a", at(0)), signingKey("b", at(0))
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), a, ""))
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), b, "a"))
	for _, when := range []time.Duration{time.Hour, 2 * time.Hour} {
		ok(t, "RetireSigningKey", s.RetireSigningKey(t.Context(), "a", at(when)))
		a.RetireAt = at(when)
		s.keys(t, a, b)
	}
	refusal(t, "RetireSigningKey", s.RetireSigningKey(t.Context(), "c", at(0)), fault.NotFound)
	for range 2 {
		ok(t, "DeleteSigningKey", s.DeleteSigningKey(t.Context(), "a"))
		s.keys(t, b)
	}
	ok(t, "DeleteSigningKey", s.DeleteSigningKey(t.Context(), "b"))
	ok(t, "AddSigningKey", s.AddSigningKey(t.Context(), a, ""))
	s.keys(t, a)
}
