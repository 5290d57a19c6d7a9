package sqlite

import (
	"bytes"
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// traces are rows that name a phone but are not found by its id: the tables have no
// index of phones, which every send would have to write.
type traces struct {
	sessions, keys, webhooks [][]byte
}

func (f *traces) none() bool { return len(f.sessions)+len(f.keys)+len(f.webhooks) == 0 }

// traceSlice is how many rows one look for traces reads.
const traceSlice = 2000

// findTraces reads the tables in slices, so that it holds up nobody.
func (s *Store) findTraces(ctx context.Context, client int64, phones []store.PhoneID, born time.Time) (traces, error) {
	var out traces
	for _, table := range []struct {
		sql   string
		found *[][]byte
	}{
		{`SELECT session_id, phone_id, client_no, created_at FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT ?`, &out.sessions},
		{`SELECT idempotency_key, phone_id, 0, 0 FROM idempotency WHERE idempotency_key > ? ORDER BY idempotency_key LIMIT ?`, &out.keys},
	} {
		var cursor []byte
		for seen := traceSlice; seen == traceSlice; {
			err := s.read(ctx, func(conn *sqlite.Conn) error {
				seen = 0
				return prepare(conn, table.sql).blob(cursor).int(traceSlice).each(func(st *sqlite.Stmt) {
					seen++
					cursor = columnBlob(st, 0)
					of := st.ColumnInt64(2)
					if among(phones, columnID(st, 1)) && (of == client || of == 0) && !columnTime(st, 3).After(born) {
						*table.found = append(*table.found, cursor)
					}
				})
			})
			if err != nil {
				return traces{}, err
			}
		}
	}
	return out, nil
}

// findWebhooks finds events of a client that tell of a phone and were queued until told:
// their bodies name it as callers see it, which ends with its id.
func (s *Store) findWebhooks(ctx context.Context, in *store.Erase, told time.Time) (out [][]byte, err error) {
	var cursor []byte
	for seen := traceSlice; seen == traceSlice; {
		err := s.read(ctx, func(conn *sqlite.Conn) error {
			seen = 0
			return prepare(conn, `SELECT event_id, client, queued_at, body FROM webhooks WHERE event_id > ? ORDER BY event_id LIMIT ?`).
				blob(cursor).int(traceSlice).each(func(st *sqlite.Stmt) {
				seen++
				cursor = columnBlob(st, 0)
				if columnName(st, 1) == in.Client && !columnTime(st, 2).After(told) && tells(columnBlob(st, 3), in.Phones) {
					out = append(out, cursor)
				}
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func tells(body []byte, phones []store.PhoneID) bool {
	for i := range phones {
		if bytes.Contains(body, []byte(phones[i].String())) {
			return true
		}
	}
	return false
}

func among(phones []store.PhoneID, id store.PhoneID) bool {
	for i := range phones {
		if phones[i] == id {
			return true
		}
	}
	return false
}

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
	var out store.Erased
	begun, born, told := time.Now(), farAway, farAway
	for round := range 2 {
		found, err := s.findTraces(ctx, client, in.Phones, born)
		if err == nil {
			found.webhooks, err = s.findWebhooks(ctx, &in, told)
		}
		if err != nil {
			return store.Erased{}, err
		}
		if round > 0 && found.none() {
			break
		}
		var step store.Erased
		err = s.writer.do(ctx, func(t *tx) error {
			step = store.Erased{}
			return t.overwriting(func() error { return t.erase(client, &in, &found, round > 0, &step) })
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

// farAway is after every time that is stored.
var farAway = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// EraseWebhooks removes webhooks with their deliveries, and overwrites them in the file.
func (s *Store) EraseWebhooks(ctx context.Context, events []store.EventID) error {
	if len(events) == 0 {
		return nil
	}
	ids := make([][]byte, len(events))
	for i := range events {
		ids[i] = events[i][:]
	}
	return s.writer.do(ctx, func(t *tx) error {
		return t.overwriting(func() error { return t.eraseWebhooks(ids, &store.Erased{}) })
	})
}

// overwriting has what f removes overwritten in the file.
func (t *tx) overwriting(f func() error) error {
	if err := pragma(t.conn, "PRAGMA secure_delete = ON"); err != nil {
		return err
	}
	defer func() { _ = pragma(t.conn, "PRAGMA secure_delete = FAST") }() // as open has it
	return f()
}

func (t *tx) eraseWebhooks(ids [][]byte, out *store.Erased) error {
	for _, id := range ids {
		if err := prepare(t.conn, `DELETE FROM webhook_deliveries WHERE event_id = ?`).blob(id).exec(); err != nil {
			return err
		}
		if err := prepare(t.conn, `DELETE FROM webhooks WHERE event_id = ?`).blob(id).exec(); err != nil {
			return err
		}
		out.Webhooks += t.conn.Changes()
	}
	return nil
}

// erase removes traces and, unless only these are left, the phones.
func (t *tx) erase(client int64, in *store.Erase, found *traces, tracesOnly bool, out *store.Erased) error {
	for _, id := range found.sessions {
		if err := prepare(t.conn, `DELETE FROM sessions WHERE session_id = ?`).blob(id).exec(); err != nil {
			return err
		}
		out.Sessions += t.conn.Changes()
	}
	for _, key := range found.keys {
		if err := prepare(t.conn, `DELETE FROM idempotency WHERE idempotency_key = ?`).blob(key).exec(); err != nil {
			return err
		}
		out.Idempotency += t.conn.Changes()
	}
	if err := t.eraseWebhooks(found.webhooks, out); err != nil {
		return err
	}
	if tracesOnly {
		return nil
	}
	for _, line := range in.Lines {
		if err := prepare(t.conn, `DELETE FROM line_facts WHERE phone = ?`).blob(line[:]).exec(); err != nil {
			return err
		}
		out.LineFacts += t.conn.Changes()
	}
	for _, id := range in.Phones {
		if err := t.erasePhone(client, id, in, out); err != nil {
			return err
		}
	}
	return nil
}

// erasePhone erases what is kept under one id, and keeps what has to stay.
func (t *tx) erasePhone(client int64, id store.PhoneID, in *store.Erase, out *store.Erased) error {
	p, err := t.phone(client, id)
	if err != nil || !p.Known {
		return err
	}
	if err := t.eraseMessages(id, p.LastMessage, out); err != nil {
		return err
	}
	if p.HasUser {
		if err := prepare(t.conn, `DELETE FROM users WHERE user_id = ? AND phone_id = ?`).blob(p.User[:]).blob(id[:]).exec(); err != nil {
			return err
		}
		out.Users += t.conn.Changes()
	}
	stays := p.Erase(in, out)
	if !stays.Row {
		return prepare(t.conn, `DELETE FROM phones WHERE phone_id = ?`).blob(id[:]).exec()
	}
	return prepare(t.conn, `UPDATE phones SET sealed = x'', created_at = 0, user_id = NULL, verified_at = 0, burst_tat = 0, day_log = NULL,
			failure_log = ?, lanes = ?, devices = NULL, last_message = NULL, last_send_at = ?, challenges = NULL, challenges_until = 0,
			blocked_until = CASE WHEN blocked_until > ? THEN blocked_until ELSE 0 END
		WHERE phone_id = ?`).
		blobOrNull(stays.Failures).blobOrNull(stays.Lanes).time(in.Now).time(in.Now).blob(id[:]).exec()
}

// eraseMessages follows a phone's chain and removes its messages with their history,
// and the receipts that wait for a dispatch of theirs.
func (t *tx) eraseMessages(phone store.PhoneID, newest []byte, out *store.Erased) error {
	for id := newest; len(id) > 0; {
		var previous []byte
		found, err := prepare(t.conn, `SELECT previous FROM messages WHERE message_id = ? AND phone_id = ?`).blob(id).blob(phone[:]).
			one(func(st *sqlite.Stmt) { previous = columnBlob(st, 0) })
		if err != nil || !found {
			return err
		}
		for _, step := range []struct {
			sql   string
			count *int
		}{
			{`DELETE FROM early_receipts WHERE (carrier_ref, route) IN
				(SELECT carrier_ref, route FROM dispatches WHERE message_id = ? AND carrier_ref <> '')`, &out.Receipts},
			{`DELETE FROM receipts WHERE message_id = ?`, &out.Receipts},
			{`DELETE FROM dispatches WHERE message_id = ?`, &out.Dispatches},
			{`DELETE FROM messages WHERE message_id = ?`, &out.Messages},
		} {
			if err := prepare(t.conn, step.sql).blob(id).exec(); err != nil {
				return err
			}
			*step.count += t.conn.Changes()
		}
		id = previous
	}
	return nil
}

// restore stores the number of a phone that was erased and is sent to again.
func (t *tx) restore(p *intent.Phone, sealed []byte, now time.Time) error {
	if p.ErasedAt.IsZero() {
		return nil
	}
	return prepare(t.conn, `UPDATE phones SET sealed = ?, created_at = ? WHERE phone_id = ?`).blob(sealed).time(now).blob(p.ID[:]).exec()
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
		if found, err = s.findTraces(ctx, client, in.Phones, farAway); err != nil {
			return store.PhoneRecord{}, err
		}
	}
	var out store.PhoneRecord
	err = s.snapshot(ctx, func(conn *sqlite.Conn) error {
		all := make([]store.PhoneRecord, len(in.Phones))
		for i, id := range in.Phones {
			if err := readPhone(conn, client, id, &in, &all[i]); err != nil {
				return err
			}
		}
		out = intent.First(all)
		return readTraces(conn, &in, &found, &out)
	})
	if err != nil {
		return store.PhoneRecord{}, err
	}
	return out, nil
}

func readPhone(conn *sqlite.Conn, client int64, id store.PhoneID, in *store.PhoneQuery, r *store.PhoneRecord) (err error) {
	var challenges intent.Challenges
	r.Known, err = prepare(conn, `SELECT sealed, created_at, opted_out_at, blocked_until, user_id, verified_at, burst_tat, day_log, failure_log,
			last_message, last_send_at, lanes, devices, challenges FROM phones WHERE phone_id = ? AND client_no = ?`).
		blob(id[:]).int(client).one(func(st *sqlite.Stmt) {
		r.PhoneRow = store.PhoneRow{
			ID: id, Client: in.Client, Sealed: columnBlob(st, 0),
			CreatedAt: columnTime(st, 1), OptedOutAt: columnTime(st, 2), BlockedUntil: columnTime(st, 3),
			User: columnID(st, 4), VerifiedAt: columnTime(st, 5),
			Burst: columnTime(st, 6), Day: columnBlob(st, 7), Failures: columnBlob(st, 8),
			LastMessage: columnID(st, 9), LastSendAt: columnTime(st, 10), Lanes: columnBlob(st, 11), Devices: columnBlob(st, 12),
		}
		challenges = columnBlob(st, 13)
	})
	if r.Known {
		intent.Fill(r, challenges, in.Now)
	}
	return err
}

func readTraces(conn *sqlite.Conn, in *store.PhoneQuery, found *traces, out *store.PhoneRecord) error {
	for _, id := range found.sessions {
		sess, alive, err := sessionByID(conn, in.Now, store.SessionID(id))
		if err != nil {
			return err
		}
		if alive {
			out.Sessions = append(out.Sessions, sess)
		}
	}
	for _, key := range found.keys {
		_, err := prepare(conn, `SELECT expires_at FROM idempotency WHERE idempotency_key = ? AND expires_at > ?`).blob(key).time(in.Now).
			one(func(st *sqlite.Stmt) { out.Keys = append(out.Keys, columnTime(st, 0)) })
		if err != nil {
			return err
		}
	}
	return nil
}
