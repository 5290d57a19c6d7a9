package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// CopyPhones reads phones in the order of their ids, after one of them.
func (s *Store) CopyPhones(ctx context.Context, after store.PhoneID, limit int) (out []store.PhoneRow, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		return prepare(conn, `SELECT p.phone_id, COALESCE(c.client_id, ''), p.sealed, p.created_at, p.opted_out_at, p.blocked_until, p.user_id,
				p.verified_at, p.burst_tat, p.day_log, p.failure_log, p.last_message, p.last_send_at, p.lanes, p.devices
			FROM phones p LEFT JOIN clients c ON c.client_no = p.client_no WHERE p.phone_id > ? ORDER BY p.phone_id LIMIT ?`).
			blob(after[:]).int(int64(limit)).each(func(st *sqlite.Stmt) {
			out = append(out, store.PhoneRow{
				ID: columnID(st, 0), Client: st.ColumnText(1), Sealed: columnBlob(st, 2),
				CreatedAt: columnTime(st, 3), OptedOutAt: columnTime(st, 4), BlockedUntil: columnTime(st, 5),
				User: columnID(st, 6), VerifiedAt: columnTime(st, 7),
				Burst: columnTime(st, 8), Day: columnBlob(st, 9), Failures: columnBlob(st, 10),
				LastMessage: columnID(st, 11), LastSendAt: columnTime(st, 12), Lanes: columnBlob(st, 13), Devices: columnBlob(st, 14),
			})
		})
	})
	return out, err
}

// CopyUsers reads users in the order of their ids, after one of them.
func (s *Store) CopyUsers(ctx context.Context, after store.UserID, limit int) (out []store.UserRow, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		return prepare(conn, `SELECT u.user_id, COALESCE(c.client_id, ''), u.phone_id
			FROM users u LEFT JOIN clients c ON c.client_no = u.client_no WHERE u.user_id > ? ORDER BY u.user_id LIMIT ?`).
			blob(after[:]).int(int64(limit)).each(func(st *sqlite.Stmt) {
			out = append(out, store.UserRow{ID: columnID(st, 0), Client: st.ColumnText(1), Phone: columnID(st, 2)})
		})
	})
	return out, err
}

// CopyMessages reads messages with their history in the order of their ids, after one
// of them.
func (s *Store) CopyMessages(ctx context.Context, after store.MessageID, limit int) (out []store.MessageRow, err error) {
	err = s.snapshot(ctx, func(conn *sqlite.Conn) error {
		out = nil
		err := prepare(conn, `SELECT m.message_id, COALESCE(c.client_id, ''), m.phone_id, m.previous, m.challenge_id, m.key_version, m.digits, m.status,
				m.claims, m.created_at, m.expires_at, m.updated_at, m.verified_at, m.route, m.carrier_ref, m.error, m.locale, m.area
			FROM messages m LEFT JOIN clients c ON c.client_no = m.client_no WHERE m.message_id > ? ORDER BY m.message_id LIMIT ?`).
			blob(after[:]).int(int64(limit)).each(func(st *sqlite.Stmt) {
			out = append(out, store.MessageRow{
				ID: columnID(st, 0), Client: st.ColumnText(1), Phone: columnID(st, 2), Previous: columnID(st, 3),
				Challenge: columnID(st, 4), KeyVersion: uint32(st.ColumnInt64(5)), Digits: st.ColumnInt(6),
				Status: store.MessageStatus(st.ColumnInt64(7)), Claims: st.ColumnInt(8),
				CreatedAt: columnTime(st, 9), ExpiresAt: columnTime(st, 10), UpdatedAt: columnTime(st, 11), VerifiedAt: columnTime(st, 12),
				Route: st.ColumnText(13), CarrierRef: st.ColumnText(14), Error: st.ColumnText(15), Locale: st.ColumnText(16), Area: st.ColumnInt(17),
			})
		})
		if err != nil || len(out) == 0 {
			return err
		}
		return copyHistory(conn, out)
	})
	return out, err
}

// copyHistory adds the dispatches and receipts of messages in order.
func copyHistory(conn *sqlite.Conn, messages []store.MessageRow) error {
	byID := make(map[store.MessageID]*store.MessageRow, len(messages))
	for i := range messages {
		byID[messages[i].ID] = &messages[i]
	}
	first, last := messages[0].ID, messages[len(messages)-1].ID
	err := prepare(conn, `SELECT message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros
		FROM dispatches WHERE message_id BETWEEN ? AND ? ORDER BY message_id, n`).blob(first[:]).blob(last[:]).
		each(func(st *sqlite.Stmt) {
			if m := byID[columnID(st, 0)]; m != nil {
				m.Dispatches = append(m.Dispatches, store.DispatchRow{N: st.ColumnInt(1), Dispatch: store.Dispatch{
					At: columnTime(st, 2), Claim: st.ColumnInt(3), Route: st.ColumnText(4), Decision: st.ColumnText(5),
					Status: store.MessageStatus(st.ColumnInt64(6)), CarrierRef: st.ColumnText(7), Error: st.ColumnText(8),
					Segments: st.ColumnInt(9), PriceMicros: st.ColumnInt64(10),
				}})
			}
		})
	if err != nil {
		return err
	}
	return prepare(conn, `SELECT message_id, n, status, error, retry, opt_out, at, received_at
		FROM receipts WHERE message_id BETWEEN ? AND ? ORDER BY message_id, n, status, error`).blob(first[:]).blob(last[:]).
		each(func(st *sqlite.Stmt) {
			if m := byID[columnID(st, 0)]; m != nil {
				m.Receipts = append(m.Receipts, store.ReceiptRow{
					N: st.ColumnInt(1), Status: store.ReceiptStatus(st.ColumnInt64(2)), Error: st.ColumnText(3),
					Retry: st.ColumnBool(4), OptOut: st.ColumnBool(5), At: columnTime(st, 6), ReceivedAt: columnTime(st, 7),
				})
			}
		})
}

// TakeAccounts makes the clients and the signing keys those given, with all that is
// kept of them. Clients that are not given stay.
func (s *Store) TakeAccounts(ctx context.Context, clients []store.Client, keys []store.SigningKey) error {
	return s.writer.do(ctx, func(t *tx) error {
		for i := range clients {
			if err := t.takeClient(&clients[i]); err != nil {
				return err
			}
		}
		kept := make(map[string]bool, len(keys))
		for _, k := range keys {
			kept[k.KID] = true
			err := prepare(t.conn, `INSERT INTO signing_keys (kid, algorithm, public, sealed, created_at, active_at, retire_at) VALUES (?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (kid) DO UPDATE SET algorithm = excluded.algorithm, public = excluded.public, sealed = excluded.sealed,
					created_at = excluded.created_at, active_at = excluded.active_at, retire_at = excluded.retire_at`).
				text(k.KID).text(k.Algorithm).blob(k.Public).blob(k.Sealed).time(k.CreatedAt).time(k.ActiveAt).time(k.RetireAt).exec()
			if err != nil {
				return err
			}
		}
		return t.dropOthers(`SELECT kid FROM signing_keys`, `DELETE FROM signing_keys WHERE kid = ?`, kept)
	})
}

func (t *tx) takeClient(c *store.Client) error {
	err := prepare(t.conn, `INSERT INTO clients (client_id, name, live, settings, created_at, disabled_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (client_id) DO UPDATE SET name = excluded.name, live = excluded.live, settings = excluded.settings,
			created_at = excluded.created_at, disabled_at = excluded.disabled_at, revision = excluded.revision`).
		text(c.ID).text(c.Name).int(boolInt(c.Live)).blob(c.Settings).time(c.CreatedAt).time(c.DisabledAt).int(c.Revision).exec()
	if err != nil {
		return err
	}
	no, err := t.clientOf(c.ID)
	if err != nil {
		return err
	}
	if err := prepare(t.conn, `DELETE FROM client_secrets WHERE client_no = ?`).int(no).exec(); err != nil {
		return err
	}
	for _, sec := range c.Secrets {
		err := prepare(t.conn, `INSERT INTO client_secrets (client_no, secret_id, key_version, hash, created_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?)`).
			int(no).text(sec.ID).int(int64(sec.KeyVersion)).blob(sec.Hash).time(sec.CreatedAt).time(sec.LastUsedAt).exec()
		if err != nil {
			return err
		}
	}
	return nil
}

// dropOthers deletes the rows whose key is not among those to keep.
func (t *tx) dropOthers(list, drop string, keep map[string]bool) error {
	var others []string
	err := prepare(t.conn, list).each(func(st *sqlite.Stmt) {
		if key := st.ColumnText(0); !keep[key] {
			others = append(others, key)
		}
	})
	for i := 0; err == nil && i < len(others); i++ {
		err = prepare(t.conn, drop).text(others[i]).exec()
	}
	return err
}

// clientOf is the number of a client that was copied before.
func (t *tx) clientOf(id string) (no int64, err error) {
	found, err := prepare(t.conn, `SELECT client_no FROM clients WHERE client_id = ?`).text(id).
		one(func(st *sqlite.Stmt) { no = st.ColumnInt64(0) })
	if err == nil && !found {
		err = fmt.Errorf("sqlite: a row of client %q, which is not there", id)
	}
	return no, err
}

// TakePhones stores phones as they are, and removes others.
func (s *Store) TakePhones(ctx context.Context, put []store.PhoneRow, drop []store.PhoneID) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, id := range drop {
			if err := prepare(t.conn, `DELETE FROM phones WHERE phone_id = ?`).blob(id[:]).exec(); err != nil {
				return err
			}
		}
		for i := range put {
			p := &put[i]
			no, err := t.clientOf(p.Client)
			if err != nil {
				return err
			}
			err = prepare(t.conn, `INSERT OR REPLACE INTO phones (phone_id, client_no, sealed, created_at, opted_out_at, blocked_until, user_id,
					verified_at, burst_tat, day_log, failure_log, last_message, last_send_at, lanes, devices)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
				blob(p.ID[:]).int(no).blob(p.Sealed).time(p.CreatedAt).time(p.OptedOutAt).time(p.BlockedUntil).idOrNull(p.User).
				time(p.VerifiedAt).time(p.Burst).blobOrNull(p.Day).blobOrNull(p.Failures).idOrNull(p.LastMessage).time(p.LastSendAt).
				blobOrNull(p.Lanes).blobOrNull(p.Devices).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// idOrNull binds the zero id as NULL.
func (q query) idOrNull(id [16]byte) query {
	if id == ([16]byte{}) {
		return q.null()
	}
	return q.blob(id[:])
}

// TakeUsers stores users as they are, and removes others.
func (s *Store) TakeUsers(ctx context.Context, put []store.UserRow, drop []store.UserID) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, id := range drop {
			if err := prepare(t.conn, `DELETE FROM users WHERE user_id = ?`).blob(id[:]).exec(); err != nil {
				return err
			}
		}
		for i := range put {
			u := &put[i]
			no, err := t.clientOf(u.Client)
			if err != nil {
				return err
			}
			err = prepare(t.conn, `INSERT OR REPLACE INTO users (user_id, client_no, phone_id) VALUES (?, ?, ?)`).
				blob(u.ID[:]).int(no).blob(u.Phone[:]).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// TakeMessages stores messages with their history as they are, none of them due, and
// removes others.
func (s *Store) TakeMessages(ctx context.Context, put []store.MessageRow, drop []store.MessageID) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, id := range drop {
			if err := t.dropMessage(id); err != nil {
				return err
			}
		}
		for i := range put {
			if err := t.takeMessage(&put[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) dropMessage(id store.MessageID) error {
	for _, sql := range [...]string{
		`DELETE FROM messages WHERE message_id = ?`,
		`DELETE FROM dispatches WHERE message_id = ?`,
		`DELETE FROM receipts WHERE message_id = ?`,
	} {
		if err := prepare(t.conn, sql).blob(id[:]).exec(); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) takeMessage(m *store.MessageRow) error {
	no, err := t.clientOf(m.Client)
	if err != nil {
		return err
	}
	if err := t.dropMessage(m.ID); err != nil {
		return err
	}
	err = prepare(t.conn, `INSERT INTO messages (message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, claims,
			created_at, expires_at, updated_at, verified_at, route, carrier_ref, error, locale, area)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(m.ID[:]).int(no).blob(m.Phone[:]).idOrNull(m.Previous).blob(m.Challenge[:]).int(int64(m.KeyVersion)).int(int64(m.Digits)).
		int(int64(m.Status)).int(int64(m.Claims)).time(m.CreatedAt).time(m.ExpiresAt).time(m.UpdatedAt).time(m.VerifiedAt).
		text(m.Route).text(m.CarrierRef).text(m.Error).text(m.Locale).int(int64(m.Area)).exec()
	if err != nil {
		return err
	}
	for i := range m.Dispatches {
		if err := t.insertDispatch(m.ID, m.Dispatches[i].N, &m.Dispatches[i].Dispatch); err != nil {
			return err
		}
	}
	for i := range m.Receipts {
		r := &m.Receipts[i]
		_, err := t.insertReceipt(r.ReceivedAt, m.ID, r.N, &store.Receipt{
			Status: r.Status, Error: r.Error, Retry: r.Retry, OptOut: r.OptOut, At: r.At,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyTable remembers, in a ledger that is a copy, what it is a copy of.
const copyTable = `CREATE TABLE IF NOT EXISTS copied (
	id          INTEGER PRIMARY KEY CHECK (id = 1),
	origin      TEXT NOT NULL,
	started_at  INTEGER NOT NULL,
	finished_at INTEGER NOT NULL
)`

// CopyState tells what this ledger is a copy of; zero when it is none.
func (s *Store) CopyState(ctx context.Context) (out store.CopyState, err error) {
	err = s.snapshot(ctx, func(conn *sqlite.Conn) error {
		out = store.CopyState{}
		found, err := prepare(conn, `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'copied'`).one(func(*sqlite.Stmt) {})
		if err != nil || !found {
			return err
		}
		_, err = prepare(conn, `SELECT origin, started_at, finished_at FROM copied`).one(func(st *sqlite.Stmt) {
			out = store.CopyState{Origin: st.ColumnText(0), StartedAt: columnTime(st, 1), FinishedAt: columnTime(st, 2)}
		})
		return err
	})
	return out, err
}

// SetCopyState makes the ledger remember what it is a copy of.
func (s *Store) SetCopyState(ctx context.Context, in store.CopyState) error {
	return s.writer.do(ctx, func(t *tx) error {
		if err := prepare(t.conn, copyTable).exec(); err != nil {
			return err
		}
		return prepare(t.conn, `INSERT OR REPLACE INTO copied (id, origin, started_at, finished_at) VALUES (1, ?, ?, ?)`).
			text(in.Origin).time(in.StartedAt).time(in.FinishedAt).exec()
	})
}
