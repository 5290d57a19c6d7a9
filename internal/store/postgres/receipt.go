package postgres

import (
	"context"
	"time"

	"codeword/internal/store"
)

// receiptCall is what a caller of ApplyReceipts brings, on its way.
type receiptCall struct {
	now      time.Time
	receipts []store.Receipt
	refs     []reference
	out      []store.Applied
}

// receiptGroups is how many groups of calls may be on their way at once.
const receiptGroups = 2

// ApplyReceipts stores receipts and lets them change their messages, all in one
// durable operation. It tells what became of each, in their order. A receipt
// belongs to the newest dispatch with its route and reference. Calls that come at once
// are one transaction, since most carriers report each message by itself.
func (s *Store) ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error) {
	call := &receiptCall{now: now, out: make([]store.Applied, len(receipts)), receipts: make([]store.Receipt, len(receipts))}
	for i, r := range receipts {
		r.Route, r.CarrierRef, r.Error, r.ReceivedAt = storable(r.Route), storable(r.CarrierRef), storable(r.Error), now
		call.receipts[i], call.refs = r, append(call.refs, reference{r.Route, r.CarrierRef})
	}
	if call.refs = distinct(call.refs); len(call.refs) == 0 {
		for i := range call.out {
			call.out[i].Effect = store.ReceiptUnmatched // an empty reference never will be matched
		}
		return call.out, s.usable()
	}
	if err := s.receipts.Do(ctx, call); err != nil {
		return nil, err
	}
	return call.out, nil
}

// applyGroup applies the receipts of a group of calls. What the server does not take for
// what is in it is applied call by call, so that one cannot hold up others.
func (s *Store) applyGroup(calls []*receiptCall, results []error) {
	err := s.applyCalls(calls)
	apart := isAboutValues(err) && len(calls) > 1
	for i := range calls {
		if results[i] = err; apart {
			results[i] = s.applyCalls(calls[i : i+1])
		}
	}
}

func (s *Store) applyCalls(calls []*receiptCall) error {
	var refs []reference
	now := calls[0].now
	for _, c := range calls {
		refs = append(refs, c.refs...)
		if c.now.After(now) {
			now = c.now
		}
	}
	refs = distinct(refs)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.GroupTimeout)
	defer cancel()
	return s.transact(ctx, func(t *tx) error {
		ch := newChanges(now)
		ch.lockReferences(t, refs)
		found := findDispatches(t, refs)
		if err := t.flush(); err != nil {
			return err
		}
		if len(found) > 0 {
			ids := make([]store.MessageID, 0, len(found))
			for _, d := range found {
				ids = append(ids, d.id)
			}
			ch.lockMessages(t, ids)
			ch.readHistory(t, ids)
			if err := t.flush(); err != nil {
				return err
			}
		}
		for _, c := range calls {
			for i := range c.receipts {
				c.out[i] = ch.receive(found, &c.receipts[i])
			}
		}
		ch.write(t)
		return nil
	})
}

// findDispatches queues a look for the newest dispatch of each reference. Those
// that are found are in the map after the next flush.
func findDispatches(t *tx, refs []reference) map[reference]dispatchKey {
	found := make(map[reference]dispatchKey, len(refs))
	routes, names := splitReferences(refs)
	t.each(func(c row) {
		found[refs[c.int(0)-1]] = dispatchKey{c.id(1), int(c.int(2))}
	}, `SELECT u.i, d.message_id, d.n FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(route, ref, i)
		CROSS JOIN LATERAL (SELECT message_id, n FROM dispatches
			WHERE carrier_ref = u.ref AND route = u.route AND carrier_ref <> ''
			ORDER BY at DESC, message_id DESC, n DESC LIMIT 1) AS d`, routes, names)
	return found
}

func (ch *changes) receive(found map[reference]dispatchKey, r *store.Receipt) (out store.Applied) {
	of := reference{r.Route, r.CarrierRef}
	key, matched := found[of]
	if !matched {
		out.Effect = ch.keepEarly(of, r)
		return out
	}
	out.Message = key.id
	m := ch.messages[key.id]
	switch {
	case m == nil: // it was removed, and its dispatch is about to be
		return store.Applied{Effect: store.ReceiptUnmatched}
	case !ch.addReceipt(key, r):
		out.Effect = store.ReceiptDuplicate
		return out
	case r.OptOut:
		ch.optOut(m.Phone)
	}
	out.Phone = m.Phone
	before := m.Status
	out.Effect = m.Apply(ch.now, key.n, r)
	ch.figures.Receipt(ch.now, &m.Message, before, r)
	if out.Effect != store.ReceiptNoted {
		m.dirty = true
	}
	return out
}

// keepEarly keeps a receipt that no dispatch has the reference of, yet.
func (ch *changes) keepEarly(of reference, r *store.Receipt) store.ReceiptEffect {
	switch {
	case r.CarrierRef == "":
		return store.ReceiptUnmatched
	case has(ch.early[of], r):
		return store.ReceiptDuplicate
	}
	ch.early[of] = append(ch.early[of], *r)
	ch.addEarly = append(ch.addEarly, *r)
	return store.ReceiptUnmatched
}
