package sqlite

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
	return s.writer.do(ctx, func(t *tx) error { return t.mark(client, &in) })
}

func (t *tx) mark(client int64, in *store.PhoneMark) error {
	p, err := t.findPhone(client, in.Phone, in.Former)
	if err != nil {
		return err
	}
	if !p.Known && in.KnownOnly {
		return fault.New(fault.NotFound, "phone is not known")
	}
	if !p.Known {
		err := prepare(t.conn, `INSERT INTO phones (phone_id, client_no, sealed, created_at) VALUES (?, ?, ?, ?)`).
			blob(p.ID[:]).int(client).blob(in.Sealed).time(in.Now).exec()
		if err != nil {
			return err
		}
	}
	if in.Mark.OptedOut != nil {
		var since time.Time
		if *in.Mark.OptedOut {
			since = in.Now
		}
		err := prepare(t.conn, `UPDATE phones SET opted_out_at = ? WHERE phone_id = ?`).time(since).blob(p.ID[:]).exec()
		if err != nil {
			return err
		}
	}
	if in.Mark.BlockedUntil == nil {
		return nil
	}
	return prepare(t.conn, `UPDATE phones SET blocked_until = ? WHERE phone_id = ?`).
		time(*in.Mark.BlockedUntil).blob(p.ID[:]).exec()
}
