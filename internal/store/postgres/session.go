package postgres

import (
	"context"
	"strings"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// Session returns a live session, or fault.InvalidAuthorization when it is
// unknown, revoked or past its idle time.
func (s *Store) Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error) {
	var out store.Session
	err := s.query(ctx, func(c row) {
		out = scanSession(id, c)
		out.Client = c.text(9)
	}, `SELECT s.client_no, user_id, phone_id, amr, auth_time, s.created_at, expires_at, issuer, subject, client_id
		FROM sessions s JOIN clients c ON c.client_no = s.client_no WHERE session_id = $1 AND expires_at > $2`, [16]byte(id), micros(now))
	if err == nil && out.Client == "" {
		err = intent.Gone()
	}
	return out, err
}

// scanSession reads client_no, user_id, phone_id, amr, auth_time, created_at,
// expires_at, issuer and subject.
func scanSession(id store.SessionID, c row) store.Session {
	return store.Session{
		ID:        id,
		User:      c.id(1),
		Phone:     c.id(2),
		AMR:       strings.Fields(c.text(3)),
		AuthTime:  c.time(4),
		CreatedAt: c.time(5),
		ExpiresAt: c.time(6),
		Issuer:    c.text(7),
		Subject:   c.text(8),
	}
}

func (s *sessionRow) alive(now time.Time) bool {
	return (s.stored || s.dirty) && !s.gone && s.ExpiresAt.After(now)
}

// TouchSession extends a live session to expires; it never shortens one, and a
// session that is gone stays gone.
func (s *Store) TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error {
	return s.queue.Do(ctx, touchOp{id: id, now: now, expires: expires})
}

// RevokeSession ends a session for good. It is idempotent.
func (s *Store) RevokeSession(ctx context.Context, _ time.Time, id store.SessionID) error {
	return s.queue.Do(ctx, revokeOp{id: id})
}

type touchOp struct {
	id           store.SessionID
	now, expires time.Time
}

func (o touchOp) reads(r *rows) { want(r.sessions, o.id) }

func (o touchOp) decide(r *rows) error {
	if s := r.sessions[o.id]; s.alive(o.now) && o.expires.After(s.ExpiresAt) {
		s.ExpiresAt, s.dirty = o.expires, true
	}
	return nil
}

type revokeOp struct{ id store.SessionID }

func (o revokeOp) reads(r *rows) { want(r.sessions, o.id) }

func (o revokeOp) decide(r *rows) error {
	s := r.sessions[o.id]
	s.gone, s.dirty = true, true
	return nil
}

// SigningKeys lists all JWT keys, oldest first.
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	var out []store.SigningKey
	err := s.query(ctx, func(c row) {
		out = append(out, store.SigningKey{
			KID:       c.text(0),
			Algorithm: c.text(1),
			Public:    c.bytes(2),
			Sealed:    c.bytes(3),
			CreatedAt: c.time(4),
			ActiveAt:  c.time(5),
			RetireAt:  c.time(6),
		})
	}, `SELECT kid, algorithm, public, sealed, created_at, active_at, retire_at FROM signing_keys ORDER BY key_no`)
	return out, err
}

// AddSigningKey adds a key unless another came after the one that the caller
// saw as newest; then it is fault.Conflict.
func (s *Store) AddSigningKey(ctx context.Context, key store.SigningKey, after string) error {
	return s.transact(ctx, func(t *tx) error {
		newest := ""
		t.exec(`LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`)
		t.each(func(c row) { newest = c.text(0) }, `SELECT kid FROM signing_keys ORDER BY key_no DESC LIMIT 1`)
		if err := t.flush(); err != nil {
			return err
		}
		if newest != after {
			return fault.New(fault.Conflict, "another signing key was added first")
		}
		t.exec(`INSERT INTO signing_keys (kid, algorithm, public, sealed, created_at, active_at, retire_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			key.KID, key.Algorithm, key.Public, key.Sealed, micros(key.CreatedAt), micros(key.ActiveAt), micros(key.RetireAt))
		return nil
	})
}

// RetireSigningKey sets when a key leaves the JWKS.
func (s *Store) RetireSigningKey(ctx context.Context, kid string, at time.Time) error {
	return s.transact(ctx, func(t *tx) error {
		changed := int64(0)
		t.change(func(n int64) { changed = n }, `UPDATE signing_keys SET retire_at = $1 WHERE kid = $2`, micros(at), kid)
		if err := t.flush(); err != nil {
			return err
		}
		if changed == 0 {
			return fault.New(fault.NotFound, "no such signing key")
		}
		return nil
	})
}

// DeleteSigningKey removes a key.
func (s *Store) DeleteSigningKey(ctx context.Context, kid string) error {
	return s.transact(ctx, func(t *tx) error {
		t.exec(`DELETE FROM signing_keys WHERE kid = $1`, kid)
		return nil
	})
}
