package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// RecordVerified notes that the codes of the phones' last messages were used, in
// one durable operation, and returns those messages. Phones without a message,
// and messages that were noted before, are left out.
func (s *Store) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	var out []store.Verified
	err := s.writer.do(ctx, func(t *tx) error {
		out = out[:0]
		for i := range phones {
			found, err := prepare(t.conn, `SELECT m.message_id, m.route, m.created_at FROM phones p
				JOIN messages m ON m.message_id = p.last_message WHERE p.phone_id = ? AND m.verified_at = 0`).blob(phones[i][:]).
				one(func(st *sqlite.Stmt) {
					out = append(out, store.Verified{ID: columnID(st, 0), Route: st.ColumnText(1), CreatedAt: columnTime(st, 2)})
				})
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			id := out[len(out)-1].ID
			if err := prepare(t.conn, `UPDATE messages SET verified_at = ? WHERE message_id = ?`).time(now).blob(id[:]).exec(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
