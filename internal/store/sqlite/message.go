package sqlite

import (
	"bytes"
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// messageColumns goes with scanMessage.
const messageColumns = `m.message_id, c.client_id, m.phone_id, p.sealed, m.challenge_id, m.key_version, m.digits, m.status, m.claims,
	m.created_at, m.expires_at, m.updated_at, m.route, m.carrier_ref, m.error`

func scanMessage(s *sqlite.Stmt) store.Message {
	return store.Message{
		ID:         columnID(s, 0),
		Client:     s.ColumnText(1),
		Phone:      columnID(s, 2),
		Sealed:     columnBlob(s, 3),
		Challenge:  columnID(s, 4),
		KeyVersion: uint32(s.ColumnInt64(5)),
		Digits:     s.ColumnInt(6),
		Status:     store.MessageStatus(s.ColumnInt64(7)),
		Claims:     s.ColumnInt(8),
		CreatedAt:  columnTime(s, 9),
		ExpiresAt:  columnTime(s, 10),
		UpdatedAt:  columnTime(s, 11),
		Route:      s.ColumnText(12),
		CarrierRef: s.ColumnText(13),
		Error:      s.ColumnText(14),
	}
}

// ClaimMessages takes due messages, the longest due first, and hides them for
// the lease. Each claim raises Claims, which fences the outcomes of older ones.
func (s *Store) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	var out []store.Message
	err := s.writer.do(ctx, func(t *tx) error {
		out = out[:0]
		err := prepare(t.conn, `SELECT `+messageColumns+`
			FROM messages m INDEXED BY messages_due JOIN clients c USING (client_no) LEFT JOIN phones p ON p.phone_id = m.phone_id
			WHERE m.due_at <= ? ORDER BY m.due_at LIMIT ?`).time(in.Now).int(int64(in.Limit)).
			each(func(st *sqlite.Stmt) { out = append(out, scanMessage(st)) })
		if err != nil {
			return err
		}
		for i := range out {
			out[i].Claims++
			err := prepare(t.conn, `UPDATE messages SET claims = ?, due_at = ? WHERE message_id = ?`).
				int(int64(out[i].Claims)).time(in.Now.Add(in.Lease)).blob(out[i].ID[:]).exec()
			if err != nil {
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

// RecordOutcomes stores what became of claimed messages and returns how many
// were taken; an outcome whose claim is no longer the latest, or whose message
// is settled, is dropped.
func (s *Store) RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (recorded int, err error) {
	err = s.writer.do(ctx, func(t *tx) error {
		recorded = 0
		for i := range outcomes {
			o := &outcomes[i]
			q := prepare(t.conn, `UPDATE messages SET status = ?, due_at = ?, updated_at = ?, route = ?, carrier_ref = ?, error = ?
				WHERE message_id = ? AND claims = ? AND status = ?`).int(int64(o.Status))
			if o.Status == store.MessageQueued {
				q = q.time(o.RetryAt)
			} else {
				q = q.blobOrNull(nil)
			}
			err := q.time(now).text(o.Route).text(o.CarrierRef).text(o.Error).
				blob(o.ID[:]).int(int64(o.Claims)).int(int64(store.MessageQueued)).exec()
			if err != nil {
				return err
			}
			recorded += t.conn.Changes()
		}
		return nil
	})
	return recorded, err
}

// QueueStats tells how many messages wait and since when.
func (s *Store) QueueStats(ctx context.Context) (store.QueueStats, error) {
	var out store.QueueStats
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		// The index holds the ids, which sort by time, so that the oldest is
		// found without a look at the rows: one that is leased or put off is due
		// late, but is not young.
		var oldest store.MessageID
		_, err := prepare(conn, `SELECT COUNT(*), MIN(message_id) FROM messages INDEXED BY messages_due WHERE due_at IS NOT NULL`).
			one(func(st *sqlite.Stmt) { out.Depth, oldest = st.ColumnInt(0), columnID(st, 1) })
		if err != nil || out.Depth == 0 {
			return err
		}
		_, err = prepare(conn, `SELECT created_at FROM messages WHERE message_id = ?`).blob(oldest[:]).
			one(func(st *sqlite.Stmt) { out.Oldest = columnTime(st, 0) })
		return err
	})
	return out, err
}

// Messages lists messages of some clients, newest first. With phones it follows
// their chains, so that one number's history does not depend on the log's size.
func (s *Store) Messages(ctx context.Context, in store.MessageQuery) ([]store.Message, error) {
	var out []store.Message
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		clients, err := clientNos(conn, in.Clients)
		if err != nil || len(clients) == 0 || in.Limit <= 0 {
			return err
		}
		before := in.Before[:]
		if in.Before == (store.MessageID{}) {
			before = highestID
		}
		if in.Phones != nil {
			out, err = phoneMessages(conn, in, clients, before)
			return err
		}
		// The walk filters in Go, since SQL has no list parameter; it stops as
		// soon as the page is full.
		return walkMessages(conn, before, func(m store.Message, client int64) bool {
			if clients[client] {
				out = append(out, m)
			}
			return len(out) < in.Limit
		})
	})
	return out, err
}

// highestID sorts after every id.
var highestID = []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")

func clientNos(conn *sqlite.Conn, ids []string) (map[int64]bool, error) {
	nos := make(map[int64]bool, len(ids))
	for _, id := range ids {
		_, err := prepare(conn, `SELECT client_no FROM clients WHERE client_id = ?`).text(id).
			one(func(st *sqlite.Stmt) { nos[st.ColumnInt64(0)] = true })
		if err != nil {
			return nil, err
		}
	}
	return nos, nil
}

func walkMessages(conn *sqlite.Conn, before []byte, take func(m store.Message, client int64) bool) error {
	stmt := prepare(conn, `SELECT `+messageColumns+`, m.client_no
		FROM messages m JOIN clients c USING (client_no) LEFT JOIN phones p ON p.phone_id = m.phone_id
		WHERE m.message_id < ? ORDER BY m.message_id DESC`).blob(before)
	if stmt.err != nil {
		return stmt.err
	}
	for {
		found, err := stmt.stmt.Step()
		if err != nil || !found {
			_ = stmt.stmt.Reset() // the step's error is the one to report
			return err
		}
		if !take(scanMessage(stmt.stmt), stmt.stmt.ColumnInt64(15)) {
			return stmt.stmt.Reset()
		}
	}
}

// phoneMessages merges the chains of the phones; the phones of one query are
// one number under a few clients, so the chains are short and few.
func phoneMessages(conn *sqlite.Conn, in store.MessageQuery, clients map[int64]bool, before []byte) ([]store.Message, error) {
	var out []store.Message
	for _, phone := range in.Phones {
		var next []byte
		_, err := prepare(conn, `SELECT last_message FROM phones WHERE phone_id = ?`).blob(phone[:]).
			one(func(st *sqlite.Stmt) { next = columnBlob(st, 0) })
		if err != nil {
			return nil, err
		}
		for taken := 0; len(next) > 0 && taken < in.Limit; {
			var m store.Message
			var client int64
			id := next
			next = nil // a message whose retention has passed ends its chain
			_, err := prepare(conn, `SELECT `+messageColumns+`, m.client_no, m.previous
				FROM messages m JOIN clients c USING (client_no) LEFT JOIN phones p ON p.phone_id = m.phone_id
				WHERE m.message_id = ?`).blob(id).
				one(func(st *sqlite.Stmt) {
					m, client, next = scanMessage(st), st.ColumnInt64(15), columnBlob(st, 16)
				})
			if err != nil {
				return nil, err
			}
			if clients[client] && bytes.Compare(id, before) < 0 {
				out = append(out, m)
				taken++
			}
		}
	}
	newestFirst(out)
	out = slices.CompactFunc(out, func(a, b store.Message) bool { return a.ID == b.ID })
	if len(out) > in.Limit {
		out = out[:in.Limit]
	}
	return out, nil
}

// NewestMessage is when the newest message was accepted; zero without any.
func (s *Store) NewestMessage(ctx context.Context) (at time.Time, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		_, err := prepare(conn, `SELECT created_at FROM messages ORDER BY message_id DESC LIMIT 1`).
			one(func(st *sqlite.Stmt) { at = columnTime(st, 0) })
		return err
	})
	return at, err
}
