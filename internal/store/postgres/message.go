package postgres

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// messageColumns goes with scanMessage. Statements name the message m.
const messageColumns = `m.message_id, c.client_id, m.phone_id, p.sealed, m.challenge_id, m.key_version, m.digits, m.status, m.claims,
	m.created_at, m.expires_at, m.updated_at, m.route, m.carrier_ref, m.error, m.locale, m.verified_at, p.opted_out_at, m.area`

// messageColumnCount is how many messageColumns are.
const messageColumnCount = 19

// messageJoins brings the tables that messageColumns names beside m. All messages
// have a client; LEFT makes their plan begin with the messages.
const messageJoins = ` LEFT JOIN clients c ON c.client_no = m.client_no LEFT JOIN phones p ON p.phone_id = m.phone_id `

// theseMessages picks messages, or what hangs on them, by id; its parameters are
// what span returns. The bounds leave out the partitions that have none of them.
const theseMessages = `message_id = ANY($1::uuid[]) AND message_id BETWEEN $2 AND $3`

// span sorts ids, drops the doubles, and returns them with the lowest and the
// highest, as parameters. There must be one.
func span[ID ~[16]byte](ids []ID) (all [][16]byte, lowest, highest [16]byte) {
	all = make([][16]byte, len(ids))
	for i := range ids {
		all[i] = ids[i]
	}
	slices.SortFunc(all, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	all = slices.Compact(all)
	return all, all[0], all[len(all)-1]
}

// storable is s without what PostgreSQL's text cannot hold. Foreign strings pass
// through it, so that one of them cannot fail the batch that it is in.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func scanMessage(c row) store.Message {
	return store.Message{
		ID:         c.id(0),
		Client:     c.text(1),
		Phone:      c.id(2),
		Sealed:     c.bytes(3),
		Challenge:  c.id(4),
		KeyVersion: uint32(c.int(5)),
		Digits:     int(c.int(6)),
		Status:     store.MessageStatus(c.int(7)),
		Claims:     int(c.int(8)),
		CreatedAt:  c.time(9),
		ExpiresAt:  c.time(10),
		UpdatedAt:  c.time(11),
		Route:      c.text(12),
		CarrierRef: c.text(13),
		Error:      c.text(14),
		Locale:     c.text(15),
		VerifiedAt: c.time(16),
		OptedOut:   c.int(17) != 0,
		Area:       int(c.int(18)),
	}
}

// Message returns one message with its history; fault.NotFound.
func (s *Store) Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error) {
	var out store.MessageDetail
	err := s.snapshot(ctx, func(t *tx) error {
		out = store.MessageDetail{}
		found := false
		t.each(func(c row) { found, out.Message = true, scanMessage(c) },
			`SELECT `+messageColumns+` FROM messages m`+messageJoins+`WHERE m.message_id = $1`, [16]byte(id))
		byNumber := make(map[int64]*store.Dispatch)
		t.each(func(c row) {
			out.Dispatches = append(out.Dispatches, scanDispatch(c))
			byNumber[c.int(9)] = new(out.Dispatches[len(out.Dispatches)-1])
		}, `SELECT at, claim, route, decision, status, carrier_ref, error, segments, price_micros, n
			FROM dispatches WHERE message_id = $1 ORDER BY n`, [16]byte(id))
		t.each(func(c row) {
			if d := byNumber[c.int(6)]; d != nil {
				r := scanReceipt(c)
				r.Route, r.CarrierRef = d.Route, d.CarrierRef
				out.Receipts = append(out.Receipts, r)
			}
		}, `SELECT status, error, retry, opt_out, at, received_at, n FROM receipts
			WHERE message_id = $1 ORDER BY received_at, n, status, error COLLATE "C"`, [16]byte(id))
		if err := t.flush(); err != nil {
			return err
		}
		if !found {
			return fault.New(fault.NotFound, "no such message")
		}
		return nil
	})
	if err != nil {
		return store.MessageDetail{}, err
	}
	return out, nil
}

func scanDispatch(c row) store.Dispatch {
	return store.Dispatch{
		At:          c.time(0),
		Claim:       int(c.int(1)),
		Route:       c.text(2),
		Decision:    c.text(3),
		Status:      store.MessageStatus(c.int(4)),
		CarrierRef:  c.text(5),
		Error:       c.text(6),
		Segments:    int(c.int(7)),
		PriceMicros: c.int(8),
	}
}

// scanReceipt reads status, error, retry, opt_out, at and received_at.
func scanReceipt(c row) store.Receipt {
	return store.Receipt{
		Status:     store.ReceiptStatus(c.int(0)),
		Error:      c.text(1),
		Retry:      c.bool(2),
		OptOut:     c.bool(3),
		At:         c.time(4),
		ReceivedAt: c.time(5),
	}
}

// NewestMessage is when the newest message was accepted; zero without any.
func (s *Store) NewestMessage(ctx context.Context) (at time.Time, err error) {
	err = s.query(ctx, func(c row) { at = c.time(0) }, `SELECT created_at FROM messages ORDER BY message_id DESC LIMIT 1`)
	return at, err
}
