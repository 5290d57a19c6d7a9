package postgres

import (
	"context"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// RecordVerified notes that the codes of the phones' last messages were used, in
// one durable operation, and returns those messages. Phones without a message,
// and messages that were noted before, are left out.
func (s *Store) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	if len(phones) == 0 {
		return nil, s.usable()
	}
	ids, _, _ := span(phones)
	var noted map[store.PhoneID]store.Verified
	err := s.transact(ctx, func(t *tx) error {
		noted = make(map[store.PhoneID]store.Verified)
		var figures intent.Figures
		// A message that somebody else notes at this moment is looked at again
		// after its lock, and left out then.
		t.each(func(c row) {
			m := intent.Message{ID: c.id(1), Stored: c.text(2), CreatedAt: c.time(3), Client: c.int(4), Area: int(c.int(5))}
			noted[c.id(0)] = store.Verified{ID: m.ID, Route: m.Stored, CreatedAt: m.CreatedAt}
			figures.Verified(now, &m)
		}, `WITH fresh AS MATERIALIZED (
				SELECT m.message_id FROM unnest($1::uuid[]) AS u(phone_id) JOIN phones p ON p.phone_id = u.phone_id
					JOIN messages m ON m.message_id = p.last_message
				WHERE m.verified_at = 0 ORDER BY m.message_id FOR NO KEY UPDATE OF m
			)
			UPDATE messages m SET verified_at = $2 FROM fresh WHERE m.message_id = fresh.message_id
			RETURNING m.phone_id, m.message_id, m.route, m.created_at, m.client_no, m.area`, ids, micros(now))
		if err := t.flush(); err != nil {
			return err
		}
		t.writeFigures(figures)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]store.Verified, 0, len(noted))
	for _, phone := range phones {
		if v, ok := noted[phone]; ok {
			out = append(out, v)
			delete(noted, phone)
		}
	}
	return out, nil
}
