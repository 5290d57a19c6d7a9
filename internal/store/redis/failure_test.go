package redis_test

import (
	"context"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/waittest"
)

// TestFailover: replicas stand still while codes are used and sessions revoked, and
// then become primaries, one after the other, that know nothing of it. No code is
// accepted twice, and no session that was revoked lives again.
func TestFailover(t *testing.T) {
	t.Parallel()
	const phones = 60
	c := redistest.StartCluster(t)
	s := open(t, redis.Config{URL: c.URL() + "&timeout=1s", Ledger: withClient(t)})
	codes := make(map[store.PhoneID]store.ChallengeID)
	revoked := make([]store.SessionID, 0, phones)
	for range phones {
		phone := store.PhoneID(random())
		sess := mustPass(t, s, phone, mustSend(t, s, phone))
		revoked = append(revoked, sess.ID)
		codes[phone] = mustSend(t, s, phone)
	}
	for i, r := range c.Replicas { // the codes have to be there before they stand still
		eventually(t, "the replica has everything", func() bool { return r.CaughtUp(t) })
		r.Pause()
		// Else what follows waits for the replica in the connection.
		c.Primaries[i].Do(t, "CLIENT", "KILL", "TYPE", "replica")
	}
	for phone, code := range codes {
		mustPass(t, s, phone, code)
	}
	for _, id := range revoked {
		if err := s.RevokeSession(t.Context(), moment(0), id); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range c.Replicas {
		c.Primaries[i].Kill()
		r.Resume()
	}
	for _, r := range c.Replicas {
		c.Promote(t, r)
	}
	unavailable, refused := 0, 0
	for phone, code := range codes {
		eventually(t, "the phone is answered", func() bool {
			_, err := s.Attempt(context.Background(), guessAt(phone, moment(0), code))
			switch {
			case err == nil:
				t.Fatalf("a code of %v was accepted twice", phone)
			case fault.Is(err, fault.WrongCode):
				refused++
				return true
			case fault.Is(err, fault.Unavailable):
				unavailable++
				return false
			}
			t.Fatalf("Attempt: %v", err)
			return true
		})
	}
	for _, id := range revoked {
		_, err := s.Session(t.Context(), moment(0), id)
		wants(t, "a revoked session", err, fault.InvalidAuthorization)
	}
	t.Logf("%d used codes were refused again; %d calls were unavailable meanwhile", refused, unavailable)
	for phone := range codes { // and all goes on
		mustPass(t, s, phone, mustSend(t, s, phone))
	}
}

// TestRestart: a server that comes back with what it saved is another life. What was
// written in the one before may lack its end.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t, "appendonly yes", "appendfsync always")
	s := open(t, redis.Config{URL: server.URL() + "?timeout=1s", Ledger: withClient(t)})
	phone, key := store.PhoneID(random()), &store.Idempotency{ExpiresAt: moment(24 * time.Hour)}
	limited := sendTo(phone, moment(0))
	limited.Idempotency = key
	limited.PhoneLimits = &store.PhoneLimits{Burst: guard.Bucket{Burst: 1, Every: time.Hour}}
	out, err := s.StartChallenge(t.Context(), limited)
	if err != nil {
		t.Fatal(err)
	}
	other := store.PhoneID(random())
	sess := mustPass(t, s, other, mustSend(t, s, other))

	server.Kill()
	server.Restart(t)
	answersAgain(t, s)
	_, err = s.Session(t.Context(), moment(0), sess.ID)
	wants(t, "a session of the life before", err, fault.InvalidAuthorization)
	_, err = s.Attempt(t.Context(), guessAt(phone, moment(0), out.Challenge.ID))
	wants(t, "a code of the life before", err, fault.WrongCode)
	// Limits and idempotency keys are no secret to be found twice: they count on.
	if out, err := s.StartChallenge(t.Context(), limited); err != nil || !out.Replayed {
		t.Errorf("a repeated send: %+v, %v", out, err)
	}
	limited.Idempotency = nil
	_, err = s.StartChallenge(t.Context(), limited)
	wants(t, "a send beyond the limit", err, fault.LimitSMS)
	mustPass(t, s, phone, mustSend(t, s, phone))
}

// TestPause: a server that stands still is unavailable, soon, and is back by itself.
func TestPause(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL() + "?timeout=1s", Ledger: withClient(t)})
	phone := store.PhoneID(random())
	code := mustSend(t, s, phone)
	server.Pause()
	began := time.Now()
	_, err := s.StartChallenge(t.Context(), sendTo(phone, moment(0)))
	wants(t, "a send", err, fault.Unavailable)
	_, err = s.Attempt(t.Context(), guessAt(phone, moment(0), code))
	wants(t, "an attempt", err, fault.Unavailable)
	_, err = s.Session(t.Context(), moment(0), random())
	wants(t, "a session", err, fault.Unavailable)
	wants(t, "a ping", s.Ping(t.Context()), fault.Unavailable)
	if took := time.Since(began); took > waittest.Slack*5*time.Second {
		t.Errorf("four calls took %v", took)
	}
	server.Resume()
	answersAgain(t, s)
	// The attempt may have got its ticket, which stays spent; two are left.
	mustPass(t, s, phone, code)
}

// TestEvicting: a server that may drop what is alive is refused.
func TestEvicting(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t, "maxmemory 100mb", "maxmemory-policy allkeys-lru")
	l := ledger(t)
	s, err := redis.Open(t.Context(), redis.Config{URL: server.URL(), Ledger: l})
	if err == nil {
		_ = s.Close() // the test has failed
		t.Fatal("a server that evicts was taken")
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullMemory: a server whose memory is full takes no sends, and says so.
func TestFullMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL(), Ledger: withClient(t)})
	phone := store.PhoneID(random())
	code := mustSend(t, s, phone)
	sess := mustPass(t, s, phone, code)
	server.Do(t, "CONFIG", "SET", "maxmemory", "1mb")
	_, err := s.StartChallenge(t.Context(), sendTo(phone, moment(0)))
	wants(t, "a send", err, fault.Unavailable)
	if err := s.RevokeSession(t.Context(), moment(0), sess.ID); err != nil {
		t.Errorf("revoking needs no memory: %v", err)
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	mustPass(t, s, phone, mustSend(t, s, phone))
}

// TestForgottenLibrary: a primary without the library gets it with the first call.
func TestForgottenLibrary(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL(), Ledger: withClient(t)})
	phone := store.PhoneID(random())
	code := mustSend(t, s, phone)
	server.Do(t, "FUNCTION", "FLUSH")
	mustPass(t, s, phone, code)
}

// TestLives: a primary that was a replica meanwhile begins another life, even if it
// never stopped; one that only gets its first replica does not.
func TestLives(t *testing.T) {
	t.Parallel()
	a, b := redistest.Single(t, "repl-diskless-sync-delay 0"), redistest.Single(t)
	s := open(t, redis.Config{URL: a.URL() + "?timeout=1s", Ledger: withClient(t)})
	phone := store.PhoneID(random())
	sess := mustPass(t, s, phone, mustSend(t, s, phone))
	code := mustSend(t, s, phone)
	b.Follow(t, a)
	if _, err := s.Session(t.Context(), moment(0), sess.ID); err != nil {
		t.Errorf("a session, after a replica came: %v", err)
	}
	b.Lead(t)
	a.Follow(t, b)
	time.Sleep(100 * time.Millisecond) // as long as clients take at least to change
	a.Lead(t)
	answersAgain(t, s)
	_, err := s.Session(t.Context(), moment(0), sess.ID)
	wants(t, "a session of the life before", err, fault.InvalidAuthorization)
	_, err = s.Attempt(t.Context(), guessAt(phone, moment(0), code))
	wants(t, "a code of the life before", err, fault.WrongCode)
}

// TestCheck: a healthy server has nothing to hide but that it keeps nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, "appendonly yes")
	s := open(t, redis.Config{URL: c.URL() + "&wait=1", Ledger: withClient(t)})
	for _, f := range s.Check(t.Context(), time.Now) {
		if f.Err != nil || f.Warning {
			t.Errorf("%s: %s (%v)", f.What, f.Note, f.Err)
		}
		t.Log(f.What, "-", f.Note)
	}
	for _, f := range s.Check(t.Context(), func() time.Time { return time.Now().Add(time.Minute) }) {
		if (f.What == "redis clock skew") != (f.Err != nil) {
			t.Errorf("with another clock, %s: %s (%v)", f.What, f.Note, f.Err)
		}
	}
	n, err := s.CodeKeyUses(t.Context(), moment(0), 7)
	if err != nil || n != 0 {
		t.Errorf("%d uses of a key that nothing used: %v", n, err)
	}
	for range 5 {
		mustSend(t, s, random())
	}
	if n, err := s.CodeKeyUses(t.Context(), moment(0), 7); err != nil || n < 5 {
		t.Errorf("%d uses of the key of five challenges: %v", n, err)
	}
	if n, err := s.CodeKeyUses(t.Context(), moment(ttl), 7); err != nil || n > 5 { // messages may be queued
		t.Errorf("%d uses after all have expired: %v", n, err)
	}
}

// answersAgain waits until the engine answers on all of its connections: those that
// were made before the server ended learn of it one by one.
func answersAgain(t *testing.T, s *redis.Store) {
	t.Helper()
	const calls = 64 // some on each
	eventually(t, "the engine answers", func() bool {
		for range calls {
			if _, err := s.Session(context.Background(), moment(0), store.SessionID(random())); fault.Is(err, fault.Unavailable) {
				return false
			}
		}
		return true
	})
}
