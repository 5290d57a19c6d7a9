package sqlite

import (
	"context"
	"time"
)

// EndLeases makes the messages that a server had claimed when it died due again
// at once, and tells how many those were; and the webhooks as well. Only the one server on the database
// may call it, before it claims anything: nobody else can hold a claim then, and
// to wait for the leases would tell nothing about what became of the messages.
func (s *Store) EndLeases(ctx context.Context, now time.Time) (n int, err error) {
	err = s.writer.do(ctx, func(t *tx) error {
		n = 0
		// A claimed message is due when its lease ends, so that both indexes have
		// it behind those that are due by now.
		for _, sql := range [...]string{
			`UPDATE messages INDEXED BY messages_due SET due_at = ?1, leased_until = 0 WHERE due_at > ?1 AND leased_until > 0`,
			`UPDATE messages INDEXED BY messages_check SET check_at = ?1, leased_until = 0 WHERE check_at > ?1 AND leased_until > 0`,
		} {
			if err := prepare(t.conn, sql).time(now).exec(); err != nil {
				return err
			}
			n += t.conn.Changes()
		}
		return prepare(t.conn, `UPDATE webhook_deliveries SET due_at = ?1, leased = 0 WHERE due_at > ?1 AND leased = 1`).time(now).exec()
	})
	return n, err
}
