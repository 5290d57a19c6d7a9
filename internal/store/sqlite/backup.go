package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// Backup writes a consistent copy of the database to a file that must not
// exist, while the service goes on.
func (s *Store) Backup(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	// The copy gets its own connection: read-pool connections may not write,
	// not even to another file.
	conn, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
	if err != nil {
		return fmt.Errorf("sqlite: backup: %w", err)
	}
	conn.SetInterrupt(ctx.Done())
	stmt, _, err := conn.PrepareTransient(`VACUUM INTO ?`)
	if err == nil {
		err = errors.Join(query{stmt: stmt}.text(path).exec(), stmt.Finalize())
	}
	conn.SetInterrupt(nil)
	if err = errors.Join(err, conn.Close()); err == nil {
		return syncFile(path)
	}
	return errors.Join(fmt.Errorf("sqlite: backup: %w", err), os.Remove(path))
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // just written
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Check reads a whole database file and reports damage, or that it is none of
// ours.
func Check(ctx context.Context, path string) error {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return err
	}
	conn.SetInterrupt(ctx.Done())
	app, verdict := int64(0), ""
	_, err = prepare(conn, `PRAGMA application_id`).one(func(s *sqlite.Stmt) { app = s.ColumnInt64(0) })
	if err == nil {
		_, err = prepare(conn, `PRAGMA integrity_check(1)`).one(func(s *sqlite.Stmt) { verdict = s.ColumnText(0) })
	}
	conn.SetInterrupt(nil)
	if err = errors.Join(err, conn.Close()); err != nil {
		return err
	}
	if app != appID {
		return errors.New("not a codeword database")
	}
	if verdict != "ok" {
		return fmt.Errorf("damaged: %s", verdict)
	}
	return nil
}

// longestCode bounds how long a code can live.
const longestCode = time.Hour

// forgetSlice is how many rows ForgetEphemeral changes in one operation.
const forgetSlice = 5000

// ForgetEphemeral ends what a copy of the past must not bring back: sessions
// and challenges, which may have been revoked or used since, queued messages,
// whose codes are dead with them, the wait for receipts, which could queue such
// messages again, idempotency keys, which would replay sends of such codes, and
// what the nodes told each other. It works in slices and is not atomic as a whole;
// nobody else may use the store meanwhile.
func (s *Store) ForgetEphemeral(ctx context.Context, now time.Time) error {
	recent := firstID(now.Add(-longestCode - idSkew))
	for _, slice := range []string{ // parameters: now, the status, the first message whose code may live, limit
		`DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions LIMIT ?4)`,
		`DELETE FROM idempotency WHERE idempotency_key IN (SELECT idempotency_key FROM idempotency LIMIT ?4)`,
		`DELETE FROM notes WHERE note_no IN (SELECT note_no FROM notes LIMIT ?4)`,
		`DELETE FROM line_facts WHERE phone IN (SELECT phone FROM line_facts LIMIT ?4)`,
		`UPDATE messages SET status = ?2, due_at = NULL, leased_until = 0, updated_at = ?1 WHERE message_id IN
			(SELECT message_id FROM messages INDEXED BY messages_due WHERE due_at IS NOT NULL LIMIT ?4)`,
		`UPDATE messages SET check_at = NULL, leased_until = 0 WHERE message_id IN
			(SELECT message_id FROM messages INDEXED BY messages_check WHERE check_at IS NOT NULL LIMIT ?4)`,
		`UPDATE messages SET expires_at = ?1 WHERE message_id IN
			(SELECT message_id FROM messages WHERE message_id >= ?3 AND expires_at > ?1 LIMIT ?4)`,
		`UPDATE phones SET challenges = NULL, challenges_until = 0 WHERE phone_id IN
			(SELECT phone_id FROM phones WHERE challenges IS NOT NULL LIMIT ?4)`,
	} {
		for changed := forgetSlice; changed == forgetSlice; {
			err := s.writer.do(ctx, func(t *tx) error {
				err := prepare(t.conn, slice).time(now).int(int64(store.MessageExpired)).blob(recent).int(forgetSlice).exec()
				changed = t.conn.Changes()
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// CodeKeyUses counts what could still need that version of the code key: phones
// with a live challenge (of any version, since they are packed), and messages
// that are queued or may be sent over another route.
func (s *Store) CodeKeyUses(ctx context.Context, now time.Time, version uint32) (n int, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		_, err := prepare(conn, `SELECT
				(SELECT COUNT(*) FROM phones WHERE challenges_until > ?2) +
				(SELECT COUNT(*) FROM messages INDEXED BY messages_due WHERE due_at IS NOT NULL AND key_version = ?1 AND status = ?3) +
				(SELECT COUNT(*) FROM messages INDEXED BY messages_check WHERE check_at IS NOT NULL AND key_version = ?1 AND expires_at > ?2)`).
			int(int64(version)).time(now).int(int64(store.MessageQueued)).
			one(func(st *sqlite.Stmt) { n = st.ColumnInt(0) })
		return err
	})
	return n, err
}
