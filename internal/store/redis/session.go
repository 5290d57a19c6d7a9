package redis

import (
	"context"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// Session returns a live session, or fault.InvalidAuthorization when it is unknown,
// revoked, past its idle time, or from another life of the primary.
func (s *Store) Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error) {
	got, err := s.array(ctx, invocation{"session_get", []string{s.sessionKey(id)}, []string{micros(now)}})
	if err != nil {
		return store.Session{}, err
	}
	out, alive := readSession(id, got)
	if !alive {
		return store.Session{}, intent.Gone()
	}
	return out, nil
}

// readSession reads the answer of "session_get".
func readSession(id store.SessionID, got []rueidis.RedisMessage) (out store.Session, alive bool) {
	const fields = 10
	if len(got) < fields {
		return out, false
	}
	out = store.Session{
		ID:        id,
		ExpiresAt: store.FromMicros(integer(got[1])),
		Client:    text(got[2]),
		AMR:       strings.Fields(text(got[5])),
		AuthTime:  store.FromMicros(integer(got[6])),
		CreatedAt: store.FromMicros(integer(got[7])),
		Issuer:    text(got[8]),
		Subject:   text(got[9]),
	}
	copy(out.User[:], text(got[3]))
	copy(out.Phone[:], text(got[4]))
	return out, true
}

// TouchSession extends a live session to expires; it never shortens one, and a
// session that is gone stays gone.
func (s *Store) TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error {
	_, err := s.call(ctx, "session_touch", s.sessionKey(id), micros(now), micros(expires))
	return err
}

// RevokeSession ends a session for good. It is idempotent.
func (s *Store) RevokeSession(ctx context.Context, _ time.Time, id store.SessionID) error {
	_, err := s.call(ctx, "session_revoke", s.sessionKey(id))
	return err
}
