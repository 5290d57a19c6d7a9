package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// ApplyReceipts stores receipts and lets them change their messages, all in one
// durable operation. It tells what became of each, in their order. A receipt
// belongs to the newest dispatch with its route and reference.
func (s *Store) ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error) {
	var out []store.Applied
	err := s.writer.do(ctx, func(t *tx) error {
		out = make([]store.Applied, 0, len(receipts))
		for i := range receipts {
			a, err := t.receive(now, &receipts[i])
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *tx) receive(now time.Time, r *store.Receipt) (store.Applied, error) {
	if r.CarrierRef == "" {
		return store.Applied{Effect: store.ReceiptUnmatched}, nil // it never will be matched
	}
	var id store.MessageID
	n := 0
	_, err := prepare(t.conn, `SELECT message_id, n FROM dispatches INDEXED BY dispatches_ref
		WHERE carrier_ref = ? AND route = ? AND carrier_ref <> '' ORDER BY at DESC, message_id DESC, n DESC LIMIT 1`).
		text(r.CarrierRef).text(r.Route).
		one(func(st *sqlite.Stmt) { id, n = columnID(st, 0), st.ColumnInt(1) })
	if err != nil {
		return store.Applied{}, err
	}
	if n == 0 {
		return t.keepEarly(now, r)
	}
	out := store.Applied{Message: id}
	fresh, err := t.insertReceipt(now, id, n, r)
	if err != nil || !fresh {
		out.Effect = store.ReceiptDuplicate
		return out, err
	}
	m, _, err := t.stateOf(id)
	if err != nil {
		return out, err
	}
	_, err = prepare(t.conn, `SELECT COALESCE(MAX(n), 0) FROM dispatches WHERE message_id = ?1 AND status IN (?2, ?3, ?4)`).
		blob(id[:]).taken().one(func(st *sqlite.Stmt) { m.Latest = st.ColumnInt(0) })
	if err != nil {
		return out, err
	}
	out.Phone = m.Phone
	if r.OptOut {
		if err := t.optOut(now, m.Phone); err != nil {
			return out, err
		}
	}
	before := m.Status
	out.Effect = m.Apply(now, n, r)
	t.figures.Receipt(now, &m, before, r)
	if out.Effect == store.ReceiptNoted {
		return out, nil
	}
	return out, t.save(now, &m)
}

// keepEarly keeps a receipt that no dispatch has the reference of, yet.
func (t *tx) keepEarly(now time.Time, r *store.Receipt) (out store.Applied, err error) {
	err = prepare(t.conn, `INSERT OR IGNORE INTO early_receipts
		(carrier_ref, route, status, error, retry, opt_out, at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`).
		text(r.CarrierRef).text(r.Route).int(int64(r.Status)).text(r.Error).int(boolInt(r.Retry)).int(boolInt(r.OptOut)).
		time(r.At).time(now).exec()
	out.Effect = store.ReceiptUnmatched
	if t.conn.Changes() == 0 {
		out.Effect = store.ReceiptDuplicate
	}
	return out, err
}

// insertReceipt adds a receipt to its dispatch; fresh is false when it was there.
func (t *tx) insertReceipt(received time.Time, id store.MessageID, n int, r *store.Receipt) (fresh bool, err error) {
	err = prepare(t.conn, `INSERT OR IGNORE INTO receipts
		(message_id, n, status, error, retry, opt_out, at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(id[:]).int(int64(n)).int(int64(r.Status)).text(r.Error).int(boolInt(r.Retry)).int(boolInt(r.OptOut)).
		time(r.At).time(received).exec()
	return t.conn.Changes() > 0, err
}

// applyEarly moves the receipts that overtook dispatch n to it and applies them.
func (t *tx) applyEarly(now time.Time, m *intent.Message, d *store.Dispatch, n int) error {
	if d.CarrierRef == "" {
		return nil
	}
	var early []store.Receipt
	err := prepare(t.conn, `SELECT status, error, retry, opt_out, at, received_at FROM early_receipts
		WHERE carrier_ref = ? AND route = ?`).text(d.CarrierRef).text(d.Route).
		each(func(st *sqlite.Stmt) { early = append(early, scanReceipt(st)) })
	if err != nil || len(early) == 0 {
		return err
	}
	for i := range early {
		r := &early[i]
		if _, err := t.insertReceipt(r.ReceivedAt, m.ID, n, r); err != nil {
			return err
		}
		if r.OptOut {
			if err := t.optOut(now, m.Phone); err != nil {
				return err
			}
		}
		m.Apply(now, n, r)
		t.figures.Overtook(m, d.Route, r)
	}
	return prepare(t.conn, `DELETE FROM early_receipts WHERE carrier_ref = ? AND route = ?`).
		text(d.CarrierRef).text(d.Route).exec()
}

// applyAgain applies the receipts of the latest dispatch once more, since the
// outcome of a claim that dispatched nothing has just set the status anew.
func (t *tx) applyAgain(now time.Time, m *intent.Message) error {
	var receipts []store.Receipt
	err := prepare(t.conn, `SELECT status, error, retry, opt_out, at, received_at FROM receipts
		WHERE message_id = ? AND n = ?`).blob(m.ID[:]).int(int64(m.Latest)).
		each(func(st *sqlite.Stmt) { receipts = append(receipts, scanReceipt(st)) })
	if err != nil {
		return err
	}
	for i := range receipts {
		m.Apply(now, m.Latest, &receipts[i])
	}
	return nil
}

// scanReceipt reads status, error, retry, opt_out, at and received_at.
func scanReceipt(st *sqlite.Stmt) store.Receipt {
	return store.Receipt{
		Status:     store.ReceiptStatus(st.ColumnInt64(0)),
		Error:      st.ColumnText(1),
		Retry:      st.ColumnBool(2),
		OptOut:     st.ColumnBool(3),
		At:         columnTime(st, 4),
		ReceivedAt: columnTime(st, 5),
	}
}
