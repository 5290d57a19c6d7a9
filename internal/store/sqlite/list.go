package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

const (
	// scanRows bounds how many rows one call of Messages looks at.
	scanRows = 5000
	// idSkew is how far the time in an id may be from the message's created_at:
	// ids are made a moment before, and run ahead for a while when the clock is
	// set back.
	idSkew = time.Minute
	// chainSkew is how many places two messages of one phone that were sent at
	// the same time may stand in the wrong order.
	chainSkew = 32
)

// Messages lists messages of some clients, newest first. With phones it follows
// their chains, so that one number's history does not depend on the log's size.
func (s *Store) Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error) {
	var page store.MessagePage
	if in.Limit <= 0 {
		return page, nil
	}
	err := s.snapshot(ctx, func(conn *sqlite.Conn) error {
		page = store.MessagePage{}
		sel, err := newSelection(conn, &in)
		if err != nil || len(sel.clients) == 0 {
			return err
		}
		if in.Phones != nil {
			err = sel.chains(conn, in.Phones)
		} else {
			err = sel.walk(conn)
		}
		if err != nil {
			return err
		}
		if sel.next != nil {
			page.Next = store.MessageID(sel.next)
		}
		page.Messages = make([]store.Message, len(sel.ids))
		for i, id := range sel.ids {
			if _, err := messageByID(conn, id, &page.Messages[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store.MessagePage{}, err
	}
	return page, nil
}

// selection is a query on its way: what it looks for, and the ids it found.
type selection struct {
	in      *store.MessageQuery
	clients map[int64]bool
	// Rows looked at are below before and not below floor.
	before, floor []byte
	ids           [][]byte
	// next is the last row looked at when there may be more.
	next []byte
}

// highestID sorts after every id.
var highestID = bytes.Repeat([]byte{0xff}, len(store.MessageID{})+1)

// firstID sorts before every id made from t on (RFC 9562 §5.7).
func firstID(t time.Time) []byte {
	id := make([]byte, len(store.MessageID{}))
	binary.BigEndian.PutUint64(id, uint64(max(0, t.UnixMilli()))<<16)
	return id
}

func newSelection(conn *sqlite.Conn, in *store.MessageQuery) (*selection, error) {
	sel := &selection{in: in, clients: make(map[int64]bool, len(in.Clients)), before: highestID}
	for _, id := range in.Clients {
		_, err := prepare(conn, `SELECT client_no FROM clients WHERE client_id = ?`).text(id).
			one(func(st *sqlite.Stmt) { sel.clients[st.ColumnInt64(0)] = true })
		if err != nil {
			return nil, err
		}
	}
	if in.Before != (store.MessageID{}) {
		sel.before = in.Before[:]
	}
	if !in.Until.IsZero() {
		if end := firstID(in.Until.Add(idSkew)); bytes.Compare(end, sel.before) < 0 {
			sel.before = end
		}
	}
	if !in.Since.IsZero() {
		sel.floor = firstID(in.Since.Add(-idSkew))
	}
	return sel, nil
}

// selected are the columns that picks judges by.
const selected = `message_id, client_no, status, route, created_at`

func (sel *selection) picks(st *sqlite.Stmt) bool {
	in := sel.in
	if !sel.clients[st.ColumnInt64(1)] ||
		in.Status != 0 && in.Status != store.MessageStatus(st.ColumnInt64(2)) ||
		in.Route != "" && in.Route != st.ColumnText(3) {
		return false
	}
	created := columnTime(st, 4)
	return !created.Before(in.Since) && (in.Until.IsZero() || created.Before(in.Until))
}

// walk goes down the log. It judges rows before the rest of them is read, which
// lies in two tables.
func (sel *selection) walk(conn *sqlite.Conn) error {
	stmt := prepare(conn, `SELECT `+selected+` FROM messages
		WHERE message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?`).
		blob(sel.before).blob(sel.floor).int(scanRows)
	if stmt.err != nil {
		return stmt.err
	}
	for seen := 0; ; {
		found, err := stmt.stmt.Step()
		if err != nil {
			_ = stmt.stmt.Reset() // the step's error is the one to report
			return err
		}
		if !found {
			return stmt.stmt.Reset()
		}
		seen++
		if sel.picks(stmt.stmt) {
			if len(sel.ids) == sel.in.Limit { // there is one more than fits
				sel.next = sel.ids[len(sel.ids)-1]
				return stmt.stmt.Reset()
			}
			sel.ids = append(sel.ids, columnBlob(stmt.stmt, 0))
		}
		if seen == scanRows {
			sel.next = columnBlob(stmt.stmt, 0)
		}
	}
}

// chains merges the chains of the phones; the phones of one query are one number
// under a few clients, so the chains are short and few.
func (sel *selection) chains(conn *sqlite.Conn, phones []store.PhoneID) error {
	rows := max(scanRows/max(len(phones), 1), 2*chainSkew)
	for i := range phones {
		horizon, err := sel.chain(conn, &phones[i], rows)
		if err != nil {
			return err
		}
		if bytes.Compare(horizon, sel.next) > 0 {
			sel.next = horizon
		}
	}
	slices.SortFunc(sel.ids, func(a, b []byte) int { return bytes.Compare(b, a) })
	sel.ids = slices.CompactFunc(sel.ids, bytes.Equal) // a phone may be named twice
	// Below the horizon of one chain only some of the rows were looked at.
	sel.ids = slices.DeleteFunc(sel.ids, func(id []byte) bool { return bytes.Compare(id, sel.next) < 0 })
	if len(sel.ids) > sel.in.Limit {
		sel.ids = sel.ids[:sel.in.Limit]
		sel.next = sel.ids[len(sel.ids)-1]
	}
	return nil
}

// chain collects what it finds in one phone's chain. When it stops before the
// end, it returns the horizon: all rows from there on up were looked at.
func (sel *selection) chain(conn *sqlite.Conn, phone *store.PhoneID, rows int) (horizon []byte, err error) {
	var next []byte
	_, err = prepare(conn, `SELECT last_message FROM phones WHERE phone_id = ?`).blob(phone[:]).
		one(func(st *sqlite.Stmt) { next = columnBlob(st, 0) })
	var seen [][]byte
	for picked := 0; err == nil && len(next) > 0; {
		if len(seen) >= rows || picked >= sel.in.Limit+chainSkew {
			return slices.MaxFunc(seen[len(seen)-chainSkew:], bytes.Compare), nil
		}
		id := next
		next = nil // a message whose retention has passed ends its chain
		_, err = prepare(conn, `SELECT `+selected+`, previous FROM messages WHERE message_id = ?`).blob(id).
			one(func(st *sqlite.Stmt) {
				next = columnBlob(st, 5)
				if bytes.Compare(id, sel.before) >= 0 {
					return // of an earlier page
				}
				seen = append(seen, id)
				if sel.picks(st) {
					sel.ids = append(sel.ids, id)
					picked++
				}
			})
		if bytes.Compare(id, sel.floor) < 0 {
			break
		}
	}
	return nil, err
}
