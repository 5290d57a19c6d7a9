package redis_test

import (
	"context"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// TestSentinel: the sentinels name another primary, and the engine follows. What was
// used in the life before stays used, and all goes on.
func TestSentinel(t *testing.T) {
	t.Parallel()
	w := redistest.StartWatched(t)
	s := open(t, redis.Config{URL: w.URL() + "&timeout=1s", Ledger: withClient(t)})
	phone, other := store.PhoneID(random()), store.PhoneID(random())
	code, unused := mustSend(t, s, phone), mustSend(t, s, other)
	sess := mustPass(t, s, phone, code)
	for _, f := range s.Check(t.Context(), time.Now) {
		if f.Err != nil {
			t.Errorf("%s: %s (%v)", f.What, f.Note, f.Err)
		}
	}
	eventually(t, "the replica has everything", func() bool { return w.Replica.CaughtUp(t) })
	w.Primary.Kill()
	_, err := s.StartChallenge(context.Background(), sendTo(phone, moment(0)))
	wants(t, "a send without a primary", err, fault.Unavailable)
	w.Replica.AwaitLead(t)
	answersAgain(t, s)
	_, err = s.Session(t.Context(), moment(0), sess.ID)
	wants(t, "a session of the life before", err, fault.InvalidAuthorization)
	for p, c := range map[store.PhoneID]store.ChallengeID{phone: code, other: unused} {
		_, err = s.Attempt(t.Context(), guessAt(p, moment(0), c))
		wants(t, "a code of the life before", err, fault.WrongCode)
		mustPass(t, s, p, mustSend(t, s, p))
	}
}

// TestTLS: the server's certificate has to be good, and the server wants the client's.
func TestTLS(t *testing.T) {
	t.Parallel()
	url, ca, cert, key := redistest.TLS(t)
	s := open(t, redis.Config{URL: url + "?cacert=" + ca + "&cert=" + cert + "&key=" + key, Ledger: withClient(t)})
	phone := store.PhoneID(random())
	mustPass(t, s, phone, mustSend(t, s, phone))
	for what, parameters := range map[string]string{
		"a server that nobody vouches for": "?cert=" + cert + "&key=" + key,
		"a client without certificate":     "?cacert=" + ca,
	} {
		l := ledger(t)
		if s, err := redis.Open(t.Context(), redis.Config{URL: url + parameters + "&timeout=1s", Ledger: l}); err == nil {
			t.Errorf("%s is taken", what)
			_ = s.Close() // the test has failed
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, wrong := range []string{"?cacert=" + key, "?cacert=/nowhere", "?cert=" + cert, "?cert=" + key + "&key=" + key} {
		if redis.Validate(url+wrong) == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}
