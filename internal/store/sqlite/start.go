package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// StartChallenge carries out the intent as one durable operation. Refusals:
// fault.LimitSMS, LimitOTP, LimitClient, OptedOut, Blocked, IdempotencyMismatch.
func (s *Store) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Started{}, err
	}
	var out store.Started
	err = s.writer.do(ctx, func(t *tx) error {
		out = store.Started{}
		return t.start(client, &in, &out)
	})
	if err != nil {
		return store.Started{}, err
	}
	return out, nil
}

func (t *tx) start(client int64, in *store.Start, out *store.Started) error {
	if in.Idempotency != nil {
		if done, err := t.replay(in, out); done || err != nil {
			return err
		}
	}
	p, err := t.findPhone(client, in.Phone, in.Former)
	if err != nil {
		return err
	}
	sent, err := p.Send(in, func(c *store.Charge) (guard.Decision, error) { return t.check(in.Now, c) })
	if err != nil {
		return err
	}
	if err := t.insertMessage(client, in, p.ID, &sent); err != nil {
		return err
	}
	if err := t.savePhone(client, in, &p); err != nil {
		return err
	}
	for i := range in.Charges {
		if !in.Charges[i].Bucket.Unlimited() {
			t.limits.store(in.Charges[i].Key, sent.Charges[i])
		}
	}
	out.Phone, out.Challenge = p.ID, sent.Challenge
	if in.Idempotency == nil {
		return nil
	}
	return prepare(t.conn, `INSERT OR REPLACE INTO idempotency (idempotency_key, body, phone_id, expires_at) VALUES (?, ?, ?, ?)`).
		blob(in.Idempotency.Key[:]).blob(in.Idempotency.Body[:]).blob(p.ID[:]).time(in.Idempotency.ExpiresAt).exec()
}

// replay answers a send whose idempotency key was used before.
func (t *tx) replay(in *store.Start, out *store.Started) (done bool, err error) {
	var body [32]byte
	var phone store.PhoneID
	done, err = prepare(t.conn, `SELECT body, phone_id FROM idempotency WHERE idempotency_key = ? AND expires_at > ?`).
		blob(in.Idempotency.Key[:]).time(in.Now).
		one(func(s *sqlite.Stmt) {
			s.ColumnBytes(0, body[:])
			phone = columnID(s, 1)
		})
	if !done || err != nil {
		return done, err
	}
	*out, err = intent.Replay(in, body, phone)
	return true, err
}

// findPhone looks under the primary id and then under those of older index
// keys; a phone that is not known yet gets the primary one.
func (t *tx) findPhone(client int64, primary store.PhoneID, formerIDs []store.PhoneID) (intent.Phone, error) {
	p, err := t.phone(client, primary)
	if err != nil || p.Known {
		return p, err
	}
	for _, id := range formerIDs {
		former, err := t.phone(client, id)
		if err != nil || former.Known {
			return former, err
		}
	}
	return p, nil
}

func (t *tx) phone(client int64, id store.PhoneID) (intent.Phone, error) {
	p := intent.Phone{ID: id}
	found, err := prepare(t.conn, `SELECT opted_out_at, user_id, burst_tat, day_log, failure_log, last_message, challenges, blocked_until, lanes, devices,
			CASE WHEN length(sealed) = 0 THEN last_send_at ELSE 0 END
		FROM phones WHERE phone_id = ? AND client_no = ?`).blob(id[:]).int(client).
		one(func(s *sqlite.Stmt) {
			p.OptedOut = s.ColumnInt64(0) != 0
			p.HasUser = !s.ColumnIsNull(1)
			p.User = columnID(s, 1)
			p.Burst = columnTime(s, 2)
			p.Day = columnBlob(s, 3)
			p.Failures = columnBlob(s, 4)
			p.LastMessage = columnBlob(s, 5)
			p.Challenges = columnBlob(s, 6)
			p.Blocked = columnTime(s, 7)
			p.Lanes = columnBlob(s, 8)
			p.Devices = store.Devices(columnBlob(s, 9))
			p.ErasedAt = columnTime(s, 10)
		})
	p.Known = found
	return p, err
}

func (t *tx) insertMessage(client int64, in *store.Start, phone store.PhoneID, sent *intent.Sent) error {
	ch := &sent.Challenge
	now := store.Micros(in.Now)
	return prepare(t.conn, `INSERT INTO messages
		(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, due_at, created_at, expires_at, locale)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(in.Message[:]).int(client).blob(phone[:]).blobOrNull(sent.Previous).blob(ch.ID[:]).
		int(int64(ch.KeyVersion)).int(int64(ch.Digits)).int(int64(store.MessageQueued)).int(now).int(now).
		time(ch.ExpiresAt).text(in.Locale).exec()
}

func (t *tx) savePhone(client int64, in *store.Start, p *intent.Phone) error {
	if !p.ErasedAt.IsZero() {
		sealed, err := in.SealedFor(p.ID)
		if err == nil {
			err = t.restore(p, sealed, in.Now)
		}
		if err != nil {
			return err
		}
	}
	if p.Known {
		return prepare(t.conn, `UPDATE phones SET burst_tat = ?, day_log = ?, lanes = ?, last_message = ?, last_send_at = ?, challenges = ?, challenges_until = ?
			WHERE phone_id = ?`).time(p.Burst).blobOrNull(p.Day).blobOrNull(p.Lanes).blob(in.Message[:]).time(in.Now).
			blobOrNull(p.Challenges).time(p.Challenges.Until()).blob(p.ID[:]).exec()
	}
	return prepare(t.conn, `INSERT INTO phones
		(phone_id, client_no, sealed, created_at, burst_tat, day_log, lanes, last_message, last_send_at, challenges, challenges_until)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(p.ID[:]).int(client).blob(in.Sealed).time(in.Now).time(p.Burst).blobOrNull(p.Day).blobOrNull(p.Lanes).blob(in.Message[:]).time(in.Now).
		blobOrNull(p.Challenges).time(p.Challenges.Until()).exec()
}
