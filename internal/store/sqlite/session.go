package sqlite

import (
	"context"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Session returns a live session, or fault.InvalidAuthorization when it is
// unknown, revoked or past its idle time.
func (s *Store) Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error) {
	var out store.Session
	err := s.read(ctx, func(conn *sqlite.Conn) (err error) {
		var found bool
		out, found, err = sessionByID(conn, now, id)
		if err == nil && !found {
			return fault.New(fault.InvalidAuthorization, "session is gone")
		}
		return err
	})
	return out, err
}

// sessionByID reads a session, if it lives.
func sessionByID(conn *sqlite.Conn, now time.Time, id store.SessionID) (out store.Session, found bool, err error) {
	found, err = prepare(conn, `SELECT c.client_id, s.user_id, s.phone_id, s.amr, s.auth_time, s.created_at, s.expires_at, s.issuer, s.subject
		FROM sessions s JOIN clients c USING (client_no) WHERE s.session_id = ? AND s.expires_at > ?`).
		blob(id[:]).time(now).one(func(st *sqlite.Stmt) {
		out = store.Session{
			ID:        id,
			Client:    st.ColumnText(0),
			User:      columnID(st, 1),
			Phone:     columnID(st, 2),
			AMR:       strings.Fields(st.ColumnText(3)),
			AuthTime:  columnTime(st, 4),
			CreatedAt: columnTime(st, 5),
			ExpiresAt: columnTime(st, 6),
			Issuer:    st.ColumnText(7),
			Subject:   st.ColumnText(8),
		}
	})
	return out, found, err
}

// TouchSession extends a live session to expires; it never shortens one, and a
// session that is gone stays gone.
func (s *Store) TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error {
	return s.writer.do(ctx, func(t *tx) error {
		return prepare(t.conn, `UPDATE sessions SET expires_at = ? WHERE session_id = ? AND expires_at > ? AND expires_at < ?`).
			time(expires).blob(id[:]).time(now).time(expires).exec()
	})
}

// RevokeSession ends a session for good. It is idempotent.
func (s *Store) RevokeSession(ctx context.Context, _ time.Time, id store.SessionID) error {
	return s.writer.do(ctx, func(t *tx) error {
		return prepare(t.conn, `DELETE FROM sessions WHERE session_id = ?`).blob(id[:]).exec()
	})
}

// SigningKeys lists all JWT keys, oldest first.
func (s *Store) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	var out []store.SigningKey
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, `SELECT kid, algorithm, public, sealed, created_at, active_at, retire_at FROM signing_keys ORDER BY key_no`).
			each(func(st *sqlite.Stmt) {
				out = append(out, store.SigningKey{
					KID:       st.ColumnText(0),
					Algorithm: st.ColumnText(1),
					Public:    columnBlob(st, 2),
					Sealed:    columnBlob(st, 3),
					CreatedAt: columnTime(st, 4),
					ActiveAt:  columnTime(st, 5),
					RetireAt:  columnTime(st, 6),
				})
			})
	})
	return out, err
}

// AddSigningKey adds a key unless another came after the one that the caller
// saw as newest; then it is fault.Conflict.
func (s *Store) AddSigningKey(ctx context.Context, key store.SigningKey, after string) error {
	return s.writer.do(ctx, func(t *tx) error {
		newest := ""
		_, err := prepare(t.conn, `SELECT kid FROM signing_keys ORDER BY key_no DESC LIMIT 1`).
			one(func(st *sqlite.Stmt) { newest = st.ColumnText(0) })
		if err != nil {
			return err
		}
		if newest != after {
			return fault.New(fault.Conflict, "another signing key was added first")
		}
		return prepare(t.conn, `INSERT INTO signing_keys (kid, algorithm, public, sealed, created_at, active_at, retire_at) VALUES (?, ?, ?, ?, ?, ?, ?)`).
			text(key.KID).text(key.Algorithm).blob(key.Public).blob(key.Sealed).
			time(key.CreatedAt).time(key.ActiveAt).time(key.RetireAt).exec()
	})
}

// RetireSigningKey sets when a key leaves the JWKS.
func (s *Store) RetireSigningKey(ctx context.Context, kid string, at time.Time) error {
	return s.writer.do(ctx, func(t *tx) error {
		err := prepare(t.conn, `UPDATE signing_keys SET retire_at = ? WHERE kid = ?`).time(at).text(kid).exec()
		if err == nil && t.conn.Changes() == 0 {
			return fault.New(fault.NotFound, "no such signing key")
		}
		return err
	})
}

// DeleteSigningKey removes a key.
func (s *Store) DeleteSigningKey(ctx context.Context, kid string) error {
	return s.writer.do(ctx, func(t *tx) error {
		return prepare(t.conn, `DELETE FROM signing_keys WHERE kid = ?`).text(kid).exec()
	})
}
