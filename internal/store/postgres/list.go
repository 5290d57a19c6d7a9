package postgres

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

const (
	// scanRows bounds how many rows one call of Messages looks at.
	scanRows = 5000
	// chainSkew is how many places two messages of one phone that were sent at
	// the same time may stand in the wrong order.
	chainSkew = 32
)

// Messages lists messages of some clients, newest first. With phones it follows
// their chains, so that one number's history does not depend on the log's size.
func (s *Store) Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error) {
	if in.Limit <= 0 {
		return store.MessagePage{}, nil
	}
	sel, err := s.newSelection(ctx, &in)
	if err != nil || len(sel.clients) == 0 {
		return store.MessagePage{}, err
	}
	var page store.MessagePage
	if in.Phones == nil {
		err = s.query(ctx, func(c row) { sel.walked(&page, c) }, walkStatement, sel.args(scanRows, in.Limit+1)...)
		return page, err
	}
	if len(in.Phones) == 0 {
		return page, nil
	}
	err = s.snapshot(ctx, func(t *tx) error {
		page = store.MessagePage{}
		return sel.chains(t, &page)
	})
	return page, err
}

// selection is a query on its way: what it looks for, as parameters.
type selection struct {
	in      *store.MessageQuery
	clients []int64
	// Rows looked at are below before and not below floor.
	before, floor [16]byte
}

// highestID sorts after every id.
var highestID = [16]byte(bytes.Repeat([]byte{0xff}, 16))

func (s *Store) newSelection(ctx context.Context, in *store.MessageQuery) (*selection, error) {
	sel := &selection{in: in, before: highestID}
	for _, id := range in.Clients {
		no, err := s.clientNo(ctx, id)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return nil, err
		default:
			sel.clients = append(sel.clients, no)
		}
	}
	if in.Before != (store.MessageID{}) {
		sel.before = in.Before
	}
	if !in.Until.IsZero() {
		if end := firstID(in.Until.Add(idSkew)); bytes.Compare(end[:], sel.before[:]) < 0 {
			sel.before = end
		}
	}
	if !in.Since.IsZero() {
		sel.floor = firstID(in.Since.Add(-idSkew))
	}
	return sel, nil
}

// args are the parameters of picks and more.
func (sel *selection) args(more ...any) []any {
	in, since, until := sel.in, int64(math.MinInt64), int64(math.MaxInt64)
	if !in.Since.IsZero() {
		since = ceilMicros(in.Since)
	}
	if !in.Until.IsZero() {
		until = ceilMicros(in.Until)
	}
	return append([]any{sel.before, sel.floor, sel.clients, int16(in.Status), storable(in.Route), since, until}, more...)
}

// ceilMicros is the first moment with a whole number of microseconds that is not
// before t.
func ceilMicros(t time.Time) int64 { return t.Add(time.Microsecond - 1).UnixMicro() }

// picks tells whether a message m is looked for. Parameters: an id above all that
// are looked at, the lowest of them, clients, a status or 0, a route or "", since
// and until.
const picks = `(m.client_no = ANY($3::bigint[]) AND ($4::smallint = 0 OR m.status = $4) AND ($5::text = '' OR m.route = $5)
	AND m.created_at >= $6 AND m.created_at < $7)`

// walkStatement goes down the log and stops after so many rows, or when so many of
// them were picked ($8 and $9). It tells of each row its number and whether it was
// picked; one that was not is only told when it is the last that may be looked at.
const walkStatement = `SELECT ` + messageColumns + `, m.picked, m.number FROM (
		SELECT * FROM (
			SELECT *, ` + picks + ` AS picked, row_number() OVER (ORDER BY message_id DESC) AS number FROM (
				SELECT * FROM messages WHERE message_id < $1 AND message_id >= $2 ORDER BY message_id DESC LIMIT $8
			) AS m
		) AS m WHERE picked OR number = $8 LIMIT $9
	) AS m` + messageJoins + `ORDER BY m.message_id DESC`

// walked adds a row of walkStatement to the page.
func (sel *selection) walked(page *store.MessagePage, c row) {
	picked, number := c.bool(messageColumnCount), c.int(messageColumnCount+1)
	if picked && len(page.Messages) == sel.in.Limit { // there is one more than fits
		page.Next = page.Messages[len(page.Messages)-1].ID
		return
	}
	m := scanMessage(c)
	if picked {
		page.Messages = append(page.Messages, m)
	}
	if number == scanRows {
		page.Next = m.ID
	}
}

// chainsStatement follows the chains of phones ($8), newest first. Of the rows
// below $1 it looks at $9 in each chain, and stops earlier when it has picked $10
// or come below $2. A message whose retention has passed ends its chain. The rows
// told are those that were picked and, of a chain that was not followed to its
// end, the last ones that were looked at ($11): they are its tail.
const chainsStatement = `WITH RECURSIVE chain AS (
		SELECT p.phone_id, m.message_id, m.previous, ` + below + ` AS picked,
			(m.message_id < $1)::integer AS looked, ` + below + `::integer AS found
		FROM phones p JOIN messages m ON m.message_id = p.last_message WHERE p.phone_id = ANY($8::uuid[])
	UNION ALL
		SELECT c.phone_id, m.message_id, m.previous, ` + below + `,
			c.looked + (m.message_id < $1)::integer, c.found + ` + below + `::integer
		FROM chain c JOIN messages m ON m.message_id = c.previous
		WHERE c.looked < $9 AND c.found < $10 AND c.message_id >= $2
	), judged AS (
		SELECT message_id, picked, looked > max(looked) OVER of_phone - $11
			AND bool_or(previous IS NOT NULL AND message_id >= $2 AND (looked >= $9 OR found >= $10)) OVER of_phone AS tail, phone_id
		FROM chain WHERE message_id < $1 WINDOW of_phone AS (PARTITION BY phone_id)
	)
	SELECT message_id, picked, tail, phone_id FROM judged WHERE picked OR tail`

// below is picks for rows that may be of an earlier page.
const below = `(m.message_id < $1 AND ` + picks + `)`

// chains merges the chains of the phones; the phones of one query are one number
// under a few clients, so the chains are short and few.
func (sel *selection) chains(t *tx, page *store.MessagePage) error {
	phones, _, _ := span(sel.in.Phones) // a phone may be named twice
	rows := max(scanRows/len(phones), 2*chainSkew)
	var ids []store.MessageID
	horizons := make(map[store.PhoneID]store.MessageID)
	t.each(func(c row) {
		id, phone := store.MessageID(c.id(0)), store.PhoneID(c.id(3))
		if c.bool(1) {
			ids = append(ids, id)
		}
		if c.bool(2) && byID(id, horizons[phone]) > 0 {
			horizons[phone] = id
		}
	}, chainsStatement, sel.args(phones, rows, sel.in.Limit+chainSkew, chainSkew)...)
	if err := t.flush(); err != nil {
		return err
	}
	// All rows of a chain from its horizon on up were looked at.
	for _, h := range horizons {
		if byID(h, page.Next) > 0 {
			page.Next = h
		}
	}
	slices.SortFunc(ids, func(a, b store.MessageID) int { return byID(b, a) })
	ids = slices.Compact(ids)
	ids = slices.DeleteFunc(ids, func(id store.MessageID) bool { return byID(id, page.Next) < 0 })
	if len(ids) > sel.in.Limit {
		ids = ids[:sel.in.Limit]
		page.Next = ids[len(ids)-1]
	}
	if len(ids) == 0 {
		return nil
	}
	all, lowest, highest := span(ids)
	t.each(func(c row) { page.Messages = append(page.Messages, scanMessage(c)) },
		`SELECT `+messageColumns+` FROM messages m`+messageJoins+`WHERE m.`+theseMessages+` ORDER BY m.message_id DESC`, all, lowest, highest)
	return nil
}
