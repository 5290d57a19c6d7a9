package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"codeword/internal/store"
)

// longestCode bounds how long a code can live.
const longestCode = time.Hour

// atLength runs f in a transaction that may take long and read whole tables. It is
// tried once.
func (s *Store) atLength(ctx context.Context, f func(*tx) error) error {
	return s.atLeisure(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		t := begin(ctx, conn.Conn())
		t.exec(`SET LOCAL statement_timeout = 0`)
		t.exec(`SET LOCAL enable_seqscan = on`)
		err := f(t)
		if err == nil {
			err = t.commit()
		}
		if err != nil {
			t.rollback()
		}
		return err
	})
}

// ForgetEphemeral ends what a copy of the past must not bring back: sessions
// and challenges, which may have been revoked or used since, queued messages,
// whose codes are dead with them, the wait for receipts, which could queue such
// messages again, idempotency keys, which would replay sends of such codes, and
// what the nodes told each other.
// Nobody else may use the store meanwhile.
func (s *Store) ForgetEphemeral(ctx context.Context, now time.Time) error {
	return s.atLength(ctx, func(t *tx) error {
		t.exec(`TRUNCATE sessions, idempotency, notes, line_facts`)
		t.exec(`UPDATE messages SET status = $2, due_at = NULL, leased_until = 0, updated_at = $1 WHERE due_at IS NOT NULL`,
			micros(now), int16(store.MessageExpired))
		t.exec(`UPDATE messages SET check_at = NULL, leased_until = 0 WHERE check_at IS NOT NULL`)
		t.exec(`UPDATE messages SET expires_at = $1 WHERE message_id >= $2 AND expires_at > $1`,
			micros(now), firstID(now.Add(-longestCode-idSkew)))
		t.exec(`UPDATE phones SET challenges = NULL, challenges_until = 0 WHERE challenges IS NOT NULL`)
		return nil
	})
}

// CodeKeyUses counts what could still need that version of the code key: phones
// with a live challenge (of any version, since they are packed), and messages
// that are queued or may be sent over another route.
func (s *Store) CodeKeyUses(ctx context.Context, now time.Time, version uint32) (n int, err error) {
	err = s.atLength(ctx, func(t *tx) error {
		n = 0
		add := func(c row) { n += int(c.int(0)) }
		t.each(add, `SELECT count(*) FROM messages WHERE due_at IS NOT NULL AND key_version = $1 AND status = $2`,
			int64(version), int16(store.MessageQueued))
		t.each(add, `SELECT count(*) FROM messages WHERE check_at IS NOT NULL AND key_version = $1 AND expires_at > $2`,
			int64(version), micros(now))
		t.each(add, `SELECT count(*) FROM phones WHERE challenges_until > $1`, micros(now))
		return nil
	})
	return n, err
}
