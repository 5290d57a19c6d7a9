package postgres

import (
	"context"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// RecordOutcomes stores what became of claimed messages and returns how many
// were taken. An outcome counts once, and only while its claim is the latest;
// receipts that came before it are applied to it.
func (s *Store) RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (recorded int, err error) {
	if len(outcomes) == 0 {
		return 0, s.usable()
	}
	var ids, again []store.MessageID
	var refs []reference
	for i := range outcomes {
		o := &outcomes[i]
		ids = append(ids, o.ID)
		if o.Claims > 1 { // the first claim has nothing before it
			again = append(again, o.ID)
		}
		for j := range o.Dispatches {
			refs = append(refs, referenceOf(&o.Dispatches[j]))
		}
	}
	refs = distinct(refs)
	err = s.transact(ctx, func(t *tx) error {
		recorded = 0
		ch := newChanges(now)
		ch.lockReferences(t, refs)
		ch.lockMessages(t, ids)
		ch.readHistory(t, again)
		if err := t.flush(); err != nil {
			return err
		}
		for i := range outcomes {
			if ch.record(&outcomes[i]) {
				recorded++
			}
		}
		ch.write(t)
		return nil
	})
	return recorded, err
}

// usable is the answer of an operation that has nothing to do.
func (s *Store) usable() error {
	if s.closed.Load() {
		return unavailable("store is closed", nil)
	}
	return nil
}

func referenceOf(d *store.Dispatch) reference {
	return reference{storable(d.Route), storable(d.CarrierRef)}
}

func (ch *changes) record(o *store.Outcome) (taken bool) {
	m := ch.messages[o.ID]
	if m == nil || !m.Holds(o) {
		return false
	}
	before := m.Status
	m.Settle(ch.now, o)
	ch.history(m, o)
	ch.figures.Outcome(ch.now, &m.Message, before, o)
	if o.OptOut {
		ch.optOut(m.Phone)
	}
	m.dirty = true
	return true
}

// history adds the outcome's dispatches, with the receipts that overtook them.
func (ch *changes) history(m *messageRow, o *store.Outcome) {
	m.Earlier = m.Latest
	first := m.last + 1
	for i := range o.Dispatches {
		if intent.Taken(o.Dispatches[i].Status) {
			m.Latest = first + i
		}
	}
	for i := range o.Dispatches {
		d := &o.Dispatches[i]
		m.last++
		key := dispatchKey{m.ID, m.last}
		ch.addDispatches = append(ch.addDispatches, newDispatch{key, d})
		ch.applyEarly(m, key, referenceOf(d))
	}
	if m.Earlier == 0 || m.Latest != m.Earlier {
		return
	}
	// The outcome of a claim that dispatched nothing has set the status anew; what
	// came while the message was claimed still holds.
	receipts := inOrder(ch.receipts[dispatchKey{m.ID, m.Latest}])
	for i := range receipts {
		m.Apply(ch.now, m.Latest, &receipts[i])
	}
}

// applyEarly moves the receipts that overtook a dispatch to it and applies them.
func (ch *changes) applyEarly(m *messageRow, key dispatchKey, of reference) {
	early := inOrder(ch.early[of])
	if len(early) == 0 {
		return
	}
	for i := range early {
		r := &early[i]
		ch.addReceipt(key, r)
		if r.OptOut {
			ch.optOut(m.Phone)
		}
		m.Apply(ch.now, key.n, r)
		ch.figures.Overtook(&m.Message, of.route, r)
	}
	delete(ch.early, of)
	ch.dropEarly = append(ch.dropEarly, of)
}
