package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// messageState is what outcomes and receipts change of a message.
type messageState struct {
	id     store.MessageID
	phone  store.PhoneID
	claims int
	status store.MessageStatus
	err    string
	// due, check and leased are zero for NULL and 0. A message that is due is
	// queued, and one that has a check is sent or unknown; never both.
	due, check, leased time.Time
	expires            time.Time
	// route and ref are set when they are to be written.
	route, ref string
	verified   bool
	// latest numbers the newest dispatch that a carrier took, or may have taken;
	// 0 for none. Only its receipts tell that the message failed.
	latest int
}

// stateOf reads the state of a message.
func (t *tx) stateOf(id store.MessageID) (m messageState, found bool, err error) {
	m.id = id
	found, err = prepare(t.conn, `SELECT phone_id, claims, status, error, due_at, check_at, leased_until, expires_at, verified_at <> 0
		FROM messages WHERE message_id = ?`).blob(id[:]).
		one(func(st *sqlite.Stmt) {
			m.phone = columnID(st, 0)
			m.claims = st.ColumnInt(1)
			m.status = store.MessageStatus(st.ColumnInt64(2))
			m.err = st.ColumnText(3)
			m.due, m.check, m.leased = columnTime(st, 4), columnTime(st, 5), columnTime(st, 6)
			m.expires = columnTime(st, 7)
			m.verified = st.ColumnBool(8)
		})
	return m, found, err
}

// save writes the state back.
func (t *tx) save(now time.Time, m *messageState) error {
	q := prepare(t.conn, `UPDATE messages SET status = ?, error = ?, due_at = ?, check_at = ?, leased_until = ?, updated_at = ?,
		route = COALESCE(?, route), carrier_ref = COALESCE(?, carrier_ref) WHERE message_id = ?`).
		int(int64(m.status)).text(m.err).timeOrNull(m.due).timeOrNull(m.check).time(m.leased).time(now)
	if m.route != "" {
		q = q.text(m.route).text(m.ref)
	} else {
		q = q.null().null()
	}
	return q.blob(m.id[:]).exec()
}

// become sets a status in which nothing is due.
func (m *messageState) become(status store.MessageStatus, reason string) {
	m.status, m.err = status, reason
	m.due, m.check = time.Time{}, time.Time{}
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
	if err != nil || !found || m.claims != o.Claims || m.leased.IsZero() {
		return false, err
	}
	m.settle(now, o)
	if err := t.history(now, &m, o); err != nil {
		return false, err
	}
	if o.OptOut {
		if err := t.optOut(now, m.phone); err != nil {
			return false, err
		}
	}
	return true, t.save(now, &m)
}

// settle ends the claim with its outcome. A receipt may have told meanwhile
// that the message arrived; nothing says more than that.
func (m *messageState) settle(now time.Time, o *store.Outcome) {
	m.leased = time.Time{}
	m.route, m.ref = o.Route, o.CarrierRef
	if m.status == store.MessageDelivered {
		return
	}
	m.become(o.Status, o.Error)
	switch o.Status {
	case store.MessageQueued:
		if m.due = o.RetryAt; m.due.IsZero() {
			m.due = now
		}
	case store.MessageSent, store.MessageUnknown:
		m.check = o.RetryAt
	}
}

// history adds the outcome's dispatches, with the receipts that overtook them.
func (t *tx) history(now time.Time, m *messageState, o *store.Outcome) error {
	last := 0
	if m.claims > 1 { // the first claim has nothing before it
		_, err := prepare(t.conn, `SELECT COALESCE(MAX(n), 0), COALESCE(MAX(CASE WHEN status IN (?2, ?3, ?4) THEN n END), 0)
			FROM dispatches WHERE message_id = ?1`).blob(m.id[:]).taken().
			one(func(st *sqlite.Stmt) { last, m.latest = st.ColumnInt(0), st.ColumnInt(1) })
		if err != nil {
			return err
		}
	}
	before := m.latest
	for i := range o.Dispatches {
		if wasTaken(o.Dispatches[i].Status) {
			m.latest = last + i + 1
		}
	}
	for i := range o.Dispatches {
		d := &o.Dispatches[i]
		err := prepare(t.conn, `INSERT INTO dispatches
			(message_id, n, at, claim, route, decision, status, carrier_ref, error, segments, price_micros) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
			blob(m.id[:]).int(int64(last + i + 1)).time(d.At).int(int64(d.Claim)).text(d.Route).text(d.Decision).int(int64(d.Status)).
			text(d.CarrierRef).text(d.Error).int(int64(d.Segments)).int(d.PriceMicros).exec()
		if err != nil {
			return err
		}
		if err := t.applyEarly(now, m, d, last+i+1); err != nil {
			return err
		}
	}
	if before == 0 || m.latest != before {
		return nil
	}
	// What came while the message was claimed still holds.
	return t.applyAgain(now, m)
}

// wasTaken tells whether a carrier took, or may have taken, the message.
func wasTaken(status store.MessageStatus) bool {
	return status == store.MessageSent || status == store.MessageDelivered || status == store.MessageUnknown
}

// taken binds the statuses of wasTaken.
func (q query) taken() query {
	return q.int(int64(store.MessageSent)).int(int64(store.MessageDelivered)).int(int64(store.MessageUnknown))
}

// optOut notes that the owner of a phone wants no messages; the first time
// stands.
func (t *tx) optOut(now time.Time, phone store.PhoneID) error {
	return prepare(t.conn, `UPDATE phones SET opted_out_at = ? WHERE phone_id = ? AND opted_out_at = 0`).
		time(now).blob(phone[:]).exec()
}
