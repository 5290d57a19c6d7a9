package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// messageColumns goes with scanMessage.
const messageColumns = `m.message_id, c.client_id, m.phone_id, p.sealed, m.challenge_id, m.key_version, m.digits, m.status, m.claims,
	m.created_at, m.expires_at, m.updated_at, m.route, m.carrier_ref, m.error, m.locale, m.verified_at, p.opted_out_at, m.area`

// messageColumnCount is how many messageColumns are.
const messageColumnCount = 19

// messageJoins brings the tables that messageColumns names beside "messages m".
const messageJoins = ` JOIN clients c USING (client_no) LEFT JOIN phones p ON p.phone_id = m.phone_id `

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
		Locale:     s.ColumnText(15),
		VerifiedAt: columnTime(s, 16),
		OptedOut:   s.ColumnInt64(17) != 0,
		Area:       s.ColumnInt(18),
	}
}

// Message returns one message with its history; fault.NotFound.
func (s *Store) Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error) {
	var out store.MessageDetail
	err := s.snapshot(ctx, func(conn *sqlite.Conn) error {
		out = store.MessageDetail{}
		found, err := messageByID(conn, id[:], &out.Message)
		if err != nil {
			return err
		}
		if !found {
			return fault.New(fault.NotFound, "no such message")
		}
		err = prepare(conn, `SELECT at, claim, route, decision, status, carrier_ref, error, segments, price_micros
			FROM dispatches WHERE message_id = ? ORDER BY n`).blob(id[:]).
			each(func(st *sqlite.Stmt) { out.Dispatches = append(out.Dispatches, scanDispatch(st)) })
		if err != nil {
			return err
		}
		return prepare(conn, `SELECT r.status, r.error, r.retry, r.opt_out, r.at, r.received_at, d.route, d.carrier_ref
			FROM receipts r JOIN dispatches d USING (message_id, n) WHERE r.message_id = ?
			ORDER BY r.received_at, r.n, r.status, r.error`).blob(id[:]).
			each(func(st *sqlite.Stmt) {
				r := scanReceipt(st)
				r.Route, r.CarrierRef = st.ColumnText(6), st.ColumnText(7)
				out.Receipts = append(out.Receipts, r)
			})
	})
	if err != nil {
		return store.MessageDetail{}, err
	}
	return out, nil
}

func messageByID(conn *sqlite.Conn, id []byte, m *store.Message) (found bool, err error) {
	return prepare(conn, `SELECT `+messageColumns+` FROM messages m`+messageJoins+`WHERE m.message_id = ?`).blob(id).
		one(func(st *sqlite.Stmt) { *m = scanMessage(st) })
}

func scanDispatch(st *sqlite.Stmt) store.Dispatch {
	return store.Dispatch{
		At:          columnTime(st, 0),
		Claim:       st.ColumnInt(1),
		Route:       st.ColumnText(2),
		Decision:    st.ColumnText(3),
		Status:      store.MessageStatus(st.ColumnInt64(4)),
		CarrierRef:  st.ColumnText(5),
		Error:       st.ColumnText(6),
		Segments:    st.ColumnInt(7),
		PriceMicros: st.ColumnInt64(8),
	}
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
