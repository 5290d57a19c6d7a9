package postgres

import (
	"context"
	"fmt"

	"codeword/internal/store"
)

// CopyPhones reads phones in the order of their ids, after one of them.
func (s *Store) CopyPhones(ctx context.Context, after store.PhoneID, limit int) ([]store.PhoneRow, error) {
	var out []store.PhoneRow
	err := s.query(ctx, func(c row) {
		out = append(out, store.PhoneRow{
			ID: c.id(0), Client: c.text(1), Sealed: c.bytes(2), CreatedAt: c.time(3), OptedOutAt: c.time(4), BlockedUntil: c.time(5),
			User: c.id(6), VerifiedAt: c.time(7), Burst: c.time(8), Day: c.bytes(9), Failures: c.bytes(10),
			LastMessage: c.id(11), LastSendAt: c.time(12), Lanes: c.bytes(13), Devices: c.bytes(14),
		})
	}, `SELECT p.phone_id, COALESCE(c.client_id, ''), p.sealed, p.created_at, p.opted_out_at, p.blocked_until, p.user_id,
			p.verified_at, p.burst_tat, p.day_log, p.failure_log, p.last_message, p.last_send_at, p.lanes, p.devices
		FROM phones p LEFT JOIN clients c ON c.client_no = p.client_no WHERE p.phone_id > $1 ORDER BY p.phone_id LIMIT $2`, [16]byte(after), limit)
	return out, err
}

// CopyUsers reads users in the order of their ids, after one of them.
func (s *Store) CopyUsers(ctx context.Context, after store.UserID, limit int) ([]store.UserRow, error) {
	var out []store.UserRow
	err := s.query(ctx, func(c row) {
		out = append(out, store.UserRow{ID: c.id(0), Client: c.text(1), Phone: c.id(2)})
	}, `SELECT u.user_id, COALESCE(c.client_id, ''), u.phone_id
		FROM users u LEFT JOIN clients c ON c.client_no = u.client_no WHERE u.user_id > $1 ORDER BY u.user_id LIMIT $2`, [16]byte(after), limit)
	return out, err
}

// CopyMessages reads messages with their history in the order of their ids, after one
// of them.
func (s *Store) CopyMessages(ctx context.Context, after store.MessageID, limit int) ([]store.MessageRow, error) {
	var out []store.MessageRow
	err := s.snapshot(ctx, func(t *tx) error {
		out = nil
		t.each(func(c row) {
			out = append(out, store.MessageRow{
				ID: c.id(0), Client: c.text(1), Phone: c.id(2), Previous: c.id(3), Challenge: c.id(4),
				KeyVersion: uint32(c.int(5)), Digits: int(c.int(6)),
				Status: store.MessageStatus(c.int(7)), Claims: int(c.int(8)),
				CreatedAt: c.time(9), ExpiresAt: c.time(10), UpdatedAt: c.time(11), VerifiedAt: c.time(12),
				Route: c.text(13), CarrierRef: c.text(14), Error: c.text(15), Locale: c.text(16), Area: int(c.int(17)),
			})
		}, `SELECT m.message_id, COALESCE(c.client_id, ''), m.phone_id, m.previous, m.challenge_id, m.key_version, m.digits, m.status,
				m.claims, m.created_at, m.expires_at, m.updated_at, m.verified_at, m.route, m.carrier_ref, m.error, m.locale, m.area
			FROM messages m LEFT JOIN clients c ON c.client_no = m.client_no WHERE m.message_id > $1 ORDER BY m.message_id LIMIT $2`,
			[16]byte(after), limit)
		if err := t.flush(); err != nil || len(out) == 0 {
			return err
		}
		return t.copyHistory(out)
	})
	return out, err
}

// copyHistory adds the dispatches and receipts of messages in order.
func (t *tx) copyHistory(messages []store.MessageRow) error {
	byID := make(map[[16]byte]*store.MessageRow, len(messages))
	for i := range messages {
		byID[messages[i].ID] = &messages[i]
	}
	first, last := [16]byte(messages[0].ID), [16]byte(messages[len(messages)-1].ID)
	t.each(func(c row) {
		if m := byID[c.id(9)]; m != nil {
			m.Dispatches = append(m.Dispatches, store.DispatchRow{N: int(c.int(10)), Dispatch: scanDispatch(c)})
		}
	}, `SELECT at, claim, route, decision, status, carrier_ref, error, segments, price_micros, message_id, n
		FROM dispatches WHERE message_id BETWEEN $1 AND $2 ORDER BY message_id, n`, first, last)
	t.each(func(c row) {
		if m := byID[c.id(6)]; m != nil {
			r := scanReceipt(c)
			m.Receipts = append(m.Receipts, store.ReceiptRow{
				N: int(c.int(7)), Status: r.Status, Error: r.Error, Retry: r.Retry, OptOut: r.OptOut, At: r.At, ReceivedAt: r.ReceivedAt,
			})
		}
	}, `SELECT status, error, retry, opt_out, at, received_at, message_id, n
		FROM receipts WHERE message_id BETWEEN $1 AND $2 ORDER BY message_id, n, status, error COLLATE "C"`, first, last)
	return t.flush()
}

// TakeAccounts makes the clients and the signing keys those given, with all that is
// kept of them. Clients that are not given stay.
func (s *Store) TakeAccounts(ctx context.Context, clients []store.Client, keys []store.SigningKey) error {
	return s.transact(ctx, func(t *tx) error {
		for i := range clients {
			if err := t.takeClient(&clients[i]); err != nil {
				return err
			}
		}
		kept := make([]string, 0, len(keys))
		for _, k := range keys {
			kept = append(kept, k.KID)
			t.exec(`INSERT INTO signing_keys (kid, algorithm, public, sealed, created_at, active_at, retire_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (kid) DO UPDATE SET algorithm = excluded.algorithm, public = excluded.public, sealed = excluded.sealed,
					created_at = excluded.created_at, active_at = excluded.active_at, retire_at = excluded.retire_at`,
				k.KID, k.Algorithm, notNull(k.Public), notNull(k.Sealed), micros(k.CreatedAt), micros(k.ActiveAt), micros(k.RetireAt))
		}
		t.exec(`DELETE FROM signing_keys WHERE kid <> ALL ($1)`, kept)
		return nil
	})
}

func (t *tx) takeClient(c *store.Client) error {
	var no int64
	t.each(func(r row) { no = r.int(0) },
		`INSERT INTO clients (client_id, name, live, settings, created_at, disabled_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (client_id) DO UPDATE SET name = excluded.name, live = excluded.live, settings = excluded.settings,
				created_at = excluded.created_at, disabled_at = excluded.disabled_at, revision = excluded.revision
			RETURNING client_no`,
		c.ID, c.Name, c.Live, notNull(c.Settings), micros(c.CreatedAt), micros(c.DisabledAt), c.Revision)
	if err := t.flush(); err != nil {
		return err
	}
	t.exec(`DELETE FROM client_secrets WHERE client_no = $1`, no)
	for _, sec := range c.Secrets {
		t.exec(`INSERT INTO client_secrets (client_no, secret_id, key_version, hash, created_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6)`,
			no, sec.ID, int64(sec.KeyVersion), notNull(sec.Hash), micros(sec.CreatedAt), micros(sec.LastUsedAt))
	}
	return nil
}

// clientOf is the number of a client that was copied before.
func (s *Store) clientOf(ctx context.Context, id string) (int64, error) {
	no, err := s.clientNo(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("postgres: a row of client %q: %w", id, err)
	}
	return no, nil
}

// TakePhones stores phones as they are, and removes others.
func (s *Store) TakePhones(ctx context.Context, put []store.PhoneRow, drop []store.PhoneID) error {
	return s.take(ctx, len(put), func(i int) string { return put[i].Client }, func(t *tx, no []int64) {
		if len(drop) > 0 {
			ids, _, _ := span(drop)
			t.exec(`DELETE FROM phones WHERE phone_id = ANY($1)`, ids)
		}
		for i := range put {
			p := &put[i]
			t.exec(`INSERT INTO phones (phone_id, client_no, sealed, created_at, opted_out_at, blocked_until, user_id, verified_at, burst_tat,
					day_log, failure_log, last_message, last_send_at, lanes, devices)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
				ON CONFLICT (phone_id) DO UPDATE SET client_no = excluded.client_no, sealed = excluded.sealed, created_at = excluded.created_at,
					opted_out_at = excluded.opted_out_at, blocked_until = excluded.blocked_until, user_id = excluded.user_id,
					verified_at = excluded.verified_at, burst_tat = excluded.burst_tat, day_log = excluded.day_log,
					failure_log = excluded.failure_log, last_message = excluded.last_message, last_send_at = excluded.last_send_at,
					lanes = excluded.lanes, devices = excluded.devices, challenges = NULL, challenges_until = 0`,
				[16]byte(p.ID), no[i], notNull(p.Sealed), micros(p.CreatedAt), micros(p.OptedOutAt), micros(p.BlockedUntil), knownID(p.User),
				micros(p.VerifiedAt), micros(p.Burst), bytesOrNull(p.Day), bytesOrNull(p.Failures), knownID(p.LastMessage), micros(p.LastSendAt),
				bytesOrNull(p.Lanes), bytesOrNull(p.Devices))
		}
	})
}

// notNull is a bytea as a parameter of a column that cannot be NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// knownID is an id as a parameter, NULL for the zero one.
func knownID(id [16]byte) any {
	if id == ([16]byte{}) {
		return nil
	}
	return id
}

// take runs f in a transaction, with the numbers of the clients of n rows.
func (s *Store) take(ctx context.Context, n int, client func(i int) string, f func(t *tx, no []int64)) error {
	nos := make([]int64, n)
	for i := range nos {
		no, err := s.clientOf(ctx, client(i))
		if err != nil {
			return err
		}
		nos[i] = no
	}
	return s.transact(ctx, func(t *tx) error {
		f(t, nos)
		return nil
	})
}

// TakeUsers stores users as they are, and removes others.
func (s *Store) TakeUsers(ctx context.Context, put []store.UserRow, drop []store.UserID) error {
	return s.take(ctx, len(put), func(i int) string { return put[i].Client }, func(t *tx, no []int64) {
		if len(drop) > 0 {
			ids, _, _ := span(drop)
			t.exec(`DELETE FROM users WHERE user_id = ANY($1)`, ids)
		}
		for i := range put {
			t.exec(`INSERT INTO users (user_id, client_no, phone_id) VALUES ($1, $2, $3)
				ON CONFLICT (user_id) DO UPDATE SET client_no = excluded.client_no, phone_id = excluded.phone_id`,
				[16]byte(put[i].ID), no[i], [16]byte(put[i].Phone))
		}
	})
}

// TakeMessages stores messages with their history as they are, none of them due, and
// removes others.
func (s *Store) TakeMessages(ctx context.Context, put []store.MessageRow, drop []store.MessageID) error {
	gone := append([]store.MessageID(nil), drop...)
	for i := range put {
		gone = append(gone, put[i].ID)
	}
	if len(gone) == 0 {
		return nil
	}
	ids, lowest, highest := span(gone)
	return s.take(ctx, len(put), func(i int) string { return put[i].Client }, func(t *tx, no []int64) {
		for _, table := range loggedTables {
			t.exec(`DELETE FROM `+table+` WHERE `+theseMessages, ids, lowest, highest)
		}
		for i := range put {
			t.takeMessage(&put[i], no[i])
		}
	})
}

func (t *tx) takeMessage(m *store.MessageRow, client int64) {
	id := [16]byte(m.ID)
	t.exec(`INSERT INTO messages (message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, claims,
			created_at, expires_at, updated_at, verified_at, route, carrier_ref, error, locale, area)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		id, client, [16]byte(m.Phone), knownID(m.Previous), [16]byte(m.Challenge), int64(m.KeyVersion), m.Digits, int16(m.Status), m.Claims,
		micros(m.CreatedAt), micros(m.ExpiresAt), micros(m.UpdatedAt), micros(m.VerifiedAt), m.Route, m.CarrierRef, m.Error, m.Locale, int16(m.Area))
	for i := range m.Dispatches {
		d := &m.Dispatches[i]
		t.exec(`INSERT INTO dispatches (message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			id, d.N, micros(d.At), d.Claim, d.Route, d.Decision, int16(d.Status), d.CarrierRef, d.Error, d.Segments, d.PriceMicros)
	}
	for i := range m.Receipts {
		r := &m.Receipts[i]
		t.exec(`INSERT INTO receipts (message_id, n, status, error, retry, opt_out, at, received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			id, r.N, int16(r.Status), r.Error, r.Retry, r.OptOut, micros(r.At), micros(r.ReceivedAt))
	}
}

// copyTable remembers, in a ledger that is a copy, what it is a copy of.
const copyTable = `CREATE TABLE IF NOT EXISTS copied (
	id          integer PRIMARY KEY CHECK (id = 1),
	origin      text NOT NULL,
	started_at  bigint NOT NULL,
	finished_at bigint NOT NULL
)`

// CopyState tells what this ledger is a copy of; zero when it is none.
func (s *Store) CopyState(ctx context.Context) (out store.CopyState, err error) {
	found := false
	err = s.query(ctx, func(c row) { found = c.bool(0) }, `SELECT to_regclass('copied') IS NOT NULL`)
	if err != nil || !found {
		return out, err
	}
	err = s.query(ctx, func(c row) {
		out = store.CopyState{Origin: c.text(0), StartedAt: c.time(1), FinishedAt: c.time(2)}
	}, `SELECT origin, started_at, finished_at FROM copied`)
	return out, err
}

// SetCopyState makes the ledger remember what it is a copy of.
func (s *Store) SetCopyState(ctx context.Context, in store.CopyState) error {
	return s.transact(ctx, func(t *tx) error {
		t.exec(copyTable)
		if err := t.flush(); err != nil { // the next statement is prepared against it
			return err
		}
		t.exec(`INSERT INTO copied (id, origin, started_at, finished_at) VALUES (1, $1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, started_at = excluded.started_at, finished_at = excluded.finished_at`,
			in.Origin, micros(in.StartedAt), micros(in.FinishedAt))
		return nil
	})
}
