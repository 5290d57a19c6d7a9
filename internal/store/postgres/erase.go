package postgres

import (
	"context"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// traces are rows that name a phone but are not found by its id: the tables have no
// index of phones, which every send would have to write.
type traces struct {
	sessions, webhooks [][16]byte
	keys               [][]byte
	// What is kept in them, for who only reads.
	live []store.Session
	ends []time.Time
}

func (f *traces) none() bool { return len(f.sessions)+len(f.keys)+len(f.webhooks) == 0 }

// findTraces reads the tables whole and locks nothing. Of sessions it finds those that
// were created until born, of webhooks those that were queued until told.
func (s *Store) findTraces(ctx context.Context, client int64, name string, phones [][16]byte, born, told time.Time) (out traces, err error) {
	err = s.atLength(ctx, func(t *tx) error {
		out = traces{}
		t.each(func(c row) {
			id := c.id(9)
			sess := scanSession(id, c)
			sess.Client = name
			out.sessions, out.live = append(out.sessions, id), append(out.live, sess)
		}, `SELECT client_no, user_id, phone_id, amr, auth_time, created_at, expires_at, issuer, subject, session_id
			FROM sessions WHERE phone_id = ANY($1) AND client_no = $2 AND created_at <= $3 ORDER BY session_id`, phones, client, micros(born))
		t.each(func(c row) {
			out.keys, out.ends = append(out.keys, c.bytes(0)), append(out.ends, c.time(1))
		}, `SELECT idempotency_key, expires_at FROM idempotency WHERE phone_id = ANY($1) ORDER BY idempotency_key`, phones)
		// Bodies name a phone as callers see it, which ends with its id.
		names := make([][]byte, len(phones))
		for i := range phones {
			names[i] = []byte(store.PhoneID(phones[i]).String())
		}
		t.each(func(c row) { out.webhooks = append(out.webhooks, c.id(0)) }, `SELECT event_id FROM webhooks w
			WHERE client = $1 AND queued_at <= $2 AND EXISTS (SELECT 1 FROM unnest($3::bytea[]) AS p(name) WHERE position(p.name IN w.body) > 0)
			ORDER BY event_id`, []byte(name), micros(told), names)
		return nil
	})
	return out, err
}

// farAway is after every time that is stored.
var farAway = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// ErasePhone erases what is kept of a number as one durable operation. Sessions,
// idempotency records and webhooks that were made meanwhile are looked for once more. It
// may be repeated. Refusal: fault.NotFound for a client that is not stored.
func (s *Store) ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Erased{}, err
	}
	if len(in.Phones) == 0 {
		return store.Erased{}, fault.New(fault.Internal, "a number without ids")
	}
	phones, _, _ := span(in.Phones)
	var out store.Erased
	begun, born, told := time.Now(), farAway, farAway
	for round := range 2 {
		found, err := s.findTraces(ctx, client, in.Client, phones, born, told)
		if err != nil {
			return store.Erased{}, err
		}
		if round > 0 && found.none() {
			break
		}
		var step store.Erased
		err = s.transact(ctx, func(t *tx) error {
			step = store.Erased{}
			t.eraseTraces(&found, &step)
			if round > 0 {
				return nil
			}
			return t.erase(client, phones, &in, &step)
		})
		if err != nil {
			return store.Erased{}, err
		}
		out.Add(step)
		born = in.Now // who signs in from now on stays
		told = in.Gone(begun)
	}
	return out, nil
}

// eraseTraces queues the removal of traces, in the order in which everybody locks.
func (t *tx) eraseTraces(found *traces, out *store.Erased) {
	if len(found.sessions) > 0 {
		t.change(adds(&out.Sessions), `DELETE FROM sessions WHERE session_id IN
			(SELECT session_id FROM sessions WHERE session_id = ANY($1) ORDER BY session_id FOR UPDATE)`, found.sessions)
	}
	if len(found.keys) > 0 {
		t.change(adds(&out.Idempotency), `DELETE FROM idempotency WHERE idempotency_key IN
			(SELECT idempotency_key FROM idempotency WHERE idempotency_key = ANY($1) ORDER BY idempotency_key FOR UPDATE)`, found.keys)
	}
	if len(found.webhooks) > 0 {
		t.eraseWebhooks(found.webhooks, out)
	}
}

func (t *tx) eraseWebhooks(ids [][16]byte, out *store.Erased) {
	t.exec(`DELETE FROM webhook_deliveries WHERE (endpoint_id, event_id) IN (SELECT endpoint_id, event_id FROM webhook_deliveries
		WHERE event_id = ANY($1) ORDER BY endpoint_id, event_id FOR UPDATE)`, ids)
	t.change(adds(&out.Webhooks), `DELETE FROM webhooks WHERE event_id = ANY($1)`, ids)
}

// EraseWebhooks removes webhooks with their deliveries.
func (s *Store) EraseWebhooks(ctx context.Context, events []store.EventID) error {
	if len(events) == 0 {
		return nil
	}
	ids := make([][16]byte, len(events))
	for i := range events {
		ids[i] = events[i]
	}
	return s.transact(ctx, func(t *tx) error {
		t.eraseWebhooks(ids, &store.Erased{})
		return nil
	})
}

func adds(to *int) func(int64) { return func(n int64) { *to += int(n) } }

// erase removes what is kept of phones, and keeps what has to stay.
func (t *tx) erase(client int64, phones [][16]byte, in *store.Erase, out *store.Erased) error {
	var rows []*phoneRow
	for _, id := range phones {
		t.each(func(c row) {
			p := new(phoneRow)
			p.scan(c)
			if p.ID = id; p.client == client {
				rows = append(rows, p)
			}
		}, lockPhone, id)
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, p := range rows {
		if err := t.eraseMessages(p, out); err != nil {
			return err
		}
		if p.HasUser {
			t.change(adds(&out.Users), `DELETE FROM users WHERE user_id = $1 AND phone_id = $2`, [16]byte(p.User), [16]byte(p.ID))
		}
		stays := p.Erase(in, out)
		if !stays.Row {
			t.exec(`DELETE FROM phones WHERE phone_id = $1`, [16]byte(p.ID))
			continue
		}
		t.exec(`UPDATE phones SET sealed = '', created_at = 0, user_id = NULL, verified_at = 0, burst_tat = 0, day_log = NULL,
				failure_log = $2, lanes = $3, devices = NULL, last_message = NULL, last_send_at = $4, challenges = NULL, challenges_until = 0,
				blocked_until = CASE WHEN blocked_until > $4 THEN blocked_until ELSE 0 END
			WHERE phone_id = $1`,
			[16]byte(p.ID), bytesOrNull(stays.Failures), bytesOrNull(stays.Lanes), micros(in.Now))
	}
	if len(in.Lines) > 0 {
		t.change(adds(&out.LineFacts), `DELETE FROM line_facts WHERE phone = ANY($1)`, in.Lines)
	}
	return t.flush()
}

// eraseMessages follows a phone's chain and removes its messages with their history,
// and the receipts that wait for a dispatch of theirs. Nobody adds to the chain of a phone
// that is locked.
func (t *tx) eraseMessages(p *phoneRow, out *store.Erased) error {
	if len(p.LastMessage) == 0 {
		return nil
	}
	var ids [][16]byte
	t.each(func(c row) { ids = append(ids, c.id(0)) }, `WITH RECURSIVE chain AS (
			SELECT message_id, previous FROM messages WHERE message_id = $1 AND phone_id = $2
		UNION
			SELECT m.message_id, m.previous FROM chain c JOIN messages m ON m.message_id = c.previous WHERE m.phone_id = $2
		) SELECT message_id FROM chain ORDER BY message_id`, idOrNull(p.LastMessage), [16]byte(p.ID))
	if err := t.flush(); err != nil || len(ids) == 0 {
		return err
	}
	lowest, highest := ids[0], ids[len(ids)-1]
	// Who records an outcome locks the message first.
	t.exec(`SELECT 1 FROM messages WHERE `+theseMessages+` ORDER BY message_id FOR UPDATE`, ids, lowest, highest)
	t.change(adds(&out.Receipts), `DELETE FROM early_receipts e USING dispatches d WHERE e.carrier_ref = d.carrier_ref AND e.route = d.route
		AND d.carrier_ref <> '' AND d.`+theseMessages, ids, lowest, highest)
	t.change(adds(&out.Receipts), `DELETE FROM receipts WHERE `+theseMessages, ids, lowest, highest)
	t.change(adds(&out.Dispatches), `DELETE FROM dispatches WHERE `+theseMessages, ids, lowest, highest)
	t.change(adds(&out.Messages), `DELETE FROM messages WHERE `+theseMessages, ids, lowest, highest)
	return nil
}

// PhoneRecord reads what is kept of a number: the row under the first of its ids that
// is known, and what names any of them. Refusal: fault.NotFound for a client that is not
// stored.
func (s *Store) PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.PhoneRecord{}, err
	}
	if len(in.Phones) == 0 {
		return store.PhoneRecord{}, fault.New(fault.Internal, "a number without ids")
	}
	var found traces
	if !in.RowOnly {
		phones, _, _ := span(in.Phones)
		if found, err = s.findTraces(ctx, client, in.Client, phones, farAway, farAway); err != nil {
			return store.PhoneRecord{}, err
		}
	}
	all := make([]store.PhoneRecord, len(in.Phones))
	err = s.snapshot(ctx, func(t *tx) error {
		for i, id := range in.Phones {
			all[i] = store.PhoneRecord{}
			t.readPhone(client, id, &in, &all[i])
		}
		return t.flush()
	})
	if err != nil {
		return store.PhoneRecord{}, err
	}
	out := intent.First(all)
	for i := range found.live {
		if found.live[i].ExpiresAt.After(in.Now) {
			out.Sessions = append(out.Sessions, found.live[i])
		}
	}
	for _, end := range found.ends {
		if end.After(in.Now) {
			out.Keys = append(out.Keys, end)
		}
	}
	return out, nil
}

func (t *tx) readPhone(client int64, id store.PhoneID, in *store.PhoneQuery, r *store.PhoneRecord) {
	t.each(func(c row) {
		r.Known = true
		r.PhoneRow = store.PhoneRow{
			ID: id, Client: in.Client, Sealed: c.bytes(0), CreatedAt: c.time(1), OptedOutAt: c.time(2), BlockedUntil: c.time(3),
			User: c.id(4), VerifiedAt: c.time(5), Burst: c.time(6), Day: c.bytes(7), Failures: c.bytes(8),
			LastMessage: c.id(9), LastSendAt: c.time(10), Lanes: c.bytes(11), Devices: c.bytes(12),
		}
		intent.Fill(r, c.bytes(13), in.Now)
	}, `SELECT sealed, created_at, opted_out_at, blocked_until, user_id, verified_at, burst_tat, day_log, failure_log,
			last_message, last_send_at, lanes, devices, challenges FROM phones WHERE phone_id = $1 AND client_no = $2`, [16]byte(id), client)
}
