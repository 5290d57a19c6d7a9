package postgres

import (
	"context"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// MarkPhone carries out the intent as one durable operation. Refusal:
// fault.NotFound for a client that is not stored and, with KnownOnly, for a phone
// that is not known; then nothing was written.
func (s *Store) MarkPhone(ctx context.Context, in store.PhoneMark) error {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return err
	}
	ids := make([][16]byte, 0, 1+len(in.Former))
	ids = append(ids, in.Phone)
	for _, id := range in.Former {
		ids = append(ids, id)
	}
	return s.transact(ctx, func(t *tx) error {
		known := make(map[[16]byte]bool, len(ids))
		t.each(func(c row) { known[c.id(0)] = true },
			`SELECT phone_id FROM phones WHERE phone_id = ANY($1) AND client_no = $2 ORDER BY phone_id FOR NO KEY UPDATE`, ids, client)
		if err := t.flush(); err != nil {
			return err
		}
		phone, found := ids[0], false
		for i := 0; !found && i < len(ids); i++ {
			if found = known[ids[i]]; found {
				phone = ids[i]
			}
		}
		if !found && in.KnownOnly {
			return fault.New(fault.NotFound, "phone is not known")
		}
		if !found {
			t.exec(`INSERT INTO phones (phone_id, client_no, sealed, created_at) VALUES ($1, $2, $3, $4)`, phone, client, in.Sealed, micros(in.Now))
		}
		if in.Mark.OptedOut != nil {
			var since time.Time
			if *in.Mark.OptedOut {
				since = in.Now
			}
			t.exec(`UPDATE phones SET opted_out_at = $1 WHERE phone_id = $2`, micros(since), phone)
		}
		if in.Mark.BlockedUntil != nil {
			t.exec(`UPDATE phones SET blocked_until = $1 WHERE phone_id = $2`, micros(*in.Mark.BlockedUntil), phone)
		}
		return nil
	})
}
