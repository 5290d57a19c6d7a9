package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// stateOf reads the state of a message.
func (t *tx) stateOf(id store.MessageID) (m intent.Message, found bool, err error) {
	m.ID = id
	found, err = prepare(t.conn, `SELECT phone_id, claims, status, error, due_at, check_at, leased_until, expires_at, verified_at <> 0,
			client_no, created_at, area, route
		FROM messages WHERE message_id = ?`).blob(id[:]).
		one(func(st *sqlite.Stmt) {
			m.Phone = columnID(st, 0)
			m.Claims = st.ColumnInt(1)
			m.Status = store.MessageStatus(st.ColumnInt64(2))
			m.Error = st.ColumnText(3)
			m.Due, m.Check, m.Leased = columnTime(st, 4), columnTime(st, 5), columnTime(st, 6)
			m.Expires = columnTime(st, 7)
			m.Verified = st.ColumnBool(8)
			m.Client, m.CreatedAt = st.ColumnInt64(9), columnTime(st, 10)
			m.Area, m.Stored = st.ColumnInt(11), st.ColumnText(12)
		})
	return m, found, err
}

// save writes the state back.
func (t *tx) save(now time.Time, m *intent.Message) error {
	q := prepare(t.conn, `UPDATE messages SET status = ?, error = ?, due_at = ?, check_at = ?, leased_until = ?, updated_at = ?, area = ?,
		route = COALESCE(?, route), carrier_ref = COALESCE(?, carrier_ref) WHERE message_id = ?`).
		int(int64(m.Status)).text(m.Error).timeOrNull(m.Due).timeOrNull(m.Check).time(m.Leased).time(now).int(int64(m.Area))
	if m.Route != "" {
		q = q.text(m.Route).text(m.Ref)
	} else {
		q = q.null().null()
	}
	return q.blob(m.ID[:]).exec()
}

// RecordOutcomes stores what became of claimed messages and returns how many
// were taken. An outcome counts once, and only while its claim is the latest;
// receipts that came before it are applied to it.
func (s *Store) RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (recorded int, err error) {
	err = s.writer.do(ctx, func(t *tx) error {
		recorded = 0
		for i := range outcomes {
			taken, err := t.record(now, &outcomes[i])
			if err != nil {
				return err
			}
			if taken {
				recorded++
			}
		}
		return nil
	})
	return recorded, err
}

func (t *tx) record(now time.Time, o *store.Outcome) (taken bool, err error) {
	m, found, err := t.stateOf(o.ID)
	if err != nil || !found || !m.Holds(o) {
		return false, err
	}
	before := m.Status
	m.Settle(now, o)
	if err := t.history(now, &m, o); err != nil {
		return false, err
	}
	t.figures.Outcome(now, &m, before, o)
	if o.OptOut {
		if err := t.optOut(now, m.Phone); err != nil {
			return false, err
		}
	}
	return true, t.save(now, &m)
}

// history adds the outcome's dispatches, with the receipts that overtook them.
func (t *tx) history(now time.Time, m *intent.Message, o *store.Outcome) error {
	last := 0
	if m.Claims > 1 { // the first claim has nothing before it
		_, err := prepare(t.conn, `SELECT COALESCE(MAX(n), 0), COALESCE(MAX(CASE WHEN status IN (?2, ?3, ?4) THEN n END), 0)
			FROM dispatches WHERE message_id = ?1`).blob(m.ID[:]).taken().
			one(func(st *sqlite.Stmt) { last, m.Latest = st.ColumnInt(0), st.ColumnInt(1) })
		if err != nil {
			return err
		}
	}
	m.Earlier = m.Latest
	for i := range o.Dispatches {
		if intent.Taken(o.Dispatches[i].Status) {
			m.Latest = last + i + 1
		}
	}
	for i := range o.Dispatches {
		d := &o.Dispatches[i]
		if err := t.insertDispatch(m.ID, last+i+1, d); err != nil {
			return err
		}
		if err := t.applyEarly(now, m, d, last+i+1); err != nil {
			return err
		}
	}
	if m.Earlier == 0 || m.Latest != m.Earlier {
		return nil
	}
	// What came while the message was claimed still holds.
	return t.applyAgain(now, m)
}

func (t *tx) insertDispatch(id store.MessageID, n int, d *store.Dispatch) error {
	return prepare(t.conn, `INSERT INTO dispatches
		(message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(id[:]).int(int64(n)).time(d.At).int(int64(d.Claim)).text(d.Route).text(d.Decision).int(int64(d.Status)).
		text(d.CarrierRef).text(d.Error).int(int64(d.Segments)).int(d.PriceMicros).exec()
}

// taken binds the statuses of intent.Taken.
func (q query) taken() query {
	return q.int(int64(store.MessageSent)).int(int64(store.MessageDelivered)).int(int64(store.MessageUnknown))
}

// optOut notes that the owner of a phone wants no messages; the first time
// stands.
func (t *tx) optOut(now time.Time, phone store.PhoneID) error {
	return prepare(t.conn, `UPDATE phones SET opted_out_at = ? WHERE phone_id = ? AND opted_out_at = 0`).
		time(now).blob(phone[:]).exec()
}
