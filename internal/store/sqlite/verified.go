package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// RecordVerified notes that the codes of the phones' last messages were used, in
// one durable operation, and returns those messages. Phones without a message,
// and messages that were noted before, are left out.
func (s *Store) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	var out []store.Verified
	err := s.writer.do(ctx, func(t *tx) error {
		out = out[:0]
		for i := range phones {
			v, found, err := t.verify(now, phones[i])
			if err != nil {
				return err
			}
			if found {
				out = append(out, v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// verify notes it of the last message of one phone, if that is not noted yet.
func (t *tx) verify(now time.Time, phone store.PhoneID) (v store.Verified, found bool, err error) {
	var m intent.Message
	found, err = prepare(t.conn, `SELECT m.message_id, m.route, m.created_at, m.client_no, m.area FROM phones p
		JOIN messages m ON m.message_id = p.last_message WHERE p.phone_id = ? AND m.verified_at = 0`).blob(phone[:]).
		one(func(st *sqlite.Stmt) {
			m.ID, m.Stored, m.CreatedAt = columnID(st, 0), st.ColumnText(1), columnTime(st, 2)
			m.Client, m.Area = st.ColumnInt64(3), st.ColumnInt(4)
		})
	if err != nil || !found {
		return v, false, err
	}
	t.figures.Verified(now, &m)
	v = store.Verified{ID: m.ID, Route: m.Stored, CreatedAt: m.CreatedAt}
	return v, true, prepare(t.conn, `UPDATE messages SET verified_at = ? WHERE message_id = ?`).time(now).blob(m.ID[:]).exec()
}
