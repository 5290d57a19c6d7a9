package webhook

import (
	"context"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// What happens to messages is queued before its outcome is recorded, under an id that
// is derived from the message: a crash in between has the message sent, and told of,
// once more, and the second telling is the first one.

// pending are events that go with an outcome.
type pending struct {
	at       time.Time
	webhooks []store.Webhook
}

const (
	// maxOutcomes is when outcomes that nobody recorded are forgotten, after
	// outcomeLife: the store was down for a whole lease.
	maxOutcomes = 20_000
	outcomeLife = 5 * time.Minute
)

// Outcome is told what became of a message before it is recorded; see delivery's Done.
// It does not block.
func (e *Emitter) Outcome(m *store.Message, o *store.Outcome) {
	var kind, reason string
	switch o.Status {
	case store.MessageSent:
		kind = KindMessageSent
	case store.MessageDelivered:
		kind = KindMessageDelivered
	case store.MessageFailed:
		kind, reason = KindMessageFailed, o.Error
	case store.MessageExpired:
		kind, reason = KindMessageFailed, "expired"
	default: // it will be tried again, or nobody knows
		e.forget(m.ID)
		return
	}
	// Its receipt may have overtaken the outcome, and counts with it.
	overtaken := kind == KindMessageSent && (e.wants(m.Client, KindMessageDelivered) || e.wants(m.Client, KindMessageFailed))
	if !overtaken && !e.wants(m.Client, kind) {
		e.forget(m.ID)
		return
	}
	route := o.Route
	if route == "" {
		route = m.Route
	}
	now := e.cfg.Now()
	p := pending{at: now}
	if w, ok := e.messageWebhook(m, kind, now, route, reason); ok {
		p.webhooks = []store.Webhook{w}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.outcomes) >= maxOutcomes {
		for id, old := range e.outcomes {
			if now.Sub(old.at) > outcomeLife {
				delete(e.outcomes, id)
			}
		}
	}
	e.outcomes[m.ID] = p
}

func (e *Emitter) wants(client, kind string) bool {
	return len(e.cfg.Registry.wanting(client, kind)) > 0
}

// messageWebhook makes the webhook of what happened to a message; false when nobody wants
// it, before anything is made.
func (e *Emitter) messageWebhook(m *store.Message, kind string, at time.Time, route, reason string) (store.Webhook, bool) {
	if !e.wants(m.Client, kind) {
		return store.Webhook{}, false
	}
	d := &Data{ClientID: m.Client, MessageID: m.ID.String(), Route: route, Reason: reason}
	e.tellPhone(d, m)
	return e.webhook(derivedID(m.ID, kind), kind, at, d)
}

// tellPhone tells whose message it is. Without its id, which takes a client whose
// settings can be read, nothing is told of a phone: an erasure finds events by the id.
func (e *Emitter) tellPhone(d *Data, m *store.Message) {
	if c := e.cfg.Client(m.Client); c != nil {
		d.PhoneID, d.PhoneMask = e.cfg.PhoneID(c, m.Phone), e.cfg.Mask(m)
	}
}

// Outcomes is what delivery records outcomes with.
type Outcomes interface {
	ClaimMessages(ctx context.Context, c store.Claim) ([]store.Message, error)
	RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (recorded int, err error)
	QueueStats(ctx context.Context) (store.QueueStats, error)
}

// Outcomes returns q with the events of outcomes queued before they are recorded.
func (e *Emitter) Outcomes(q Outcomes) Outcomes { return outcomes{q, e} }

type outcomes struct {
	Outcomes
	e *Emitter
}

func (q outcomes) RecordOutcomes(ctx context.Context, now time.Time, all []store.Outcome) (int, error) {
	webhooks, known := q.e.told(all)
	if err := q.e.queue(ctx, webhooks); err != nil {
		return 0, err
	}
	n, err := q.Outcomes.RecordOutcomes(ctx, now, all)
	if err == nil && n < len(all) {
		err = q.e.unlessErased(ctx, idsOf(known))
	}
	if err != nil {
		return n, err
	}
	for _, o := range known {
		q.e.forget(o.ID)
		if o.Status == store.MessageSent {
			q.e.hand(o.ID)
		}
	}
	return n, nil
}

// told returns the events of outcomes, and which outcomes have any.
func (e *Emitter) told(all []store.Outcome) (webhooks []store.Webhook, known []*store.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.outcomes) == 0 {
		return nil, nil
	}
	for i := range all {
		if p, ok := e.outcomes[all[i].ID]; ok {
			webhooks = append(webhooks, p.webhooks...)
			known = append(known, &all[i])
		}
	}
	return webhooks, known
}

func idsOf(known []*store.Outcome) []store.MessageID {
	ids := make([]store.MessageID, len(known))
	for i, o := range known {
		ids[i] = o.ID
	}
	return ids
}

// unlessErased removes the events of messages that are not there any more: a phone was
// erased before they were queued, and its other events with it.
func (e *Emitter) unlessErased(ctx context.Context, told []store.MessageID) error {
	var late []store.EventID
	for _, id := range told {
		switch _, err := e.cfg.Messages.Message(ctx, id); {
		case fault.Is(err, fault.NotFound):
			late = append(late, derivedID(id, KindMessageSent), derivedID(id, KindMessageDelivered), derivedID(id, KindMessageFailed))
		case err != nil:
			return err
		}
	}
	if len(late) == 0 {
		return nil
	}
	return e.cfg.Queue.EraseWebhooks(ctx, late)
}

// forget drops the events of a message's outcome: they are queued, or that outcome was
// given up after a lease, and another one takes its place.
func (e *Emitter) forget(id store.MessageID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.outcomes, id)
}

// Receipts is what receipts are noted with.
type Receipts interface {
	ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
}

// Receipts returns r with events of what receipts changed. They are queued before the
// carrier gets its answer, so that it repeats what is not.
func (e *Emitter) Receipts(r Receipts) Receipts { return receipts{r, e} }

type receipts struct {
	Receipts
	e *Emitter
}

func (r receipts) ApplyReceipts(ctx context.Context, now time.Time, all []store.Receipt) ([]store.Applied, error) {
	applied, err := r.Receipts.ApplyReceipts(ctx, now, all)
	if err != nil || !r.e.cfg.Registry.wantedByAny(KindMessageDelivered) && !r.e.cfg.Registry.wantedByAny(KindMessageFailed) {
		return applied, err
	}
	var ids []store.MessageID
	for _, a := range applied {
		// A duplicate may be the repetition of one that a crash kept from being told.
		if a.Message != (store.MessageID{}) && (a.Effect == store.ReceiptChanged || a.Effect == store.ReceiptDuplicate) {
			ids = append(ids, a.Message)
		}
	}
	if err := r.e.settle(ctx, ids); err != nil {
		return nil, err
	}
	return applied, nil
}

// settle queues the events of messages that have arrived or failed. It may be repeated.
func (e *Emitter) settle(ctx context.Context, ids []store.MessageID) error {
	var webhooks []store.Webhook
	var told []store.MessageID
	for _, id := range ids {
		w, ok, err := e.settled(ctx, id)
		switch {
		case fault.Is(err, fault.NotFound):
			told = append(told, id) // by a try before this, it may be
		case err != nil:
			return err
		case ok:
			webhooks, told = append(webhooks, w), append(told, id)
		}
	}
	if err := e.queue(ctx, webhooks); err != nil {
		return err
	}
	return e.unlessErased(ctx, told)
}

// settled makes the event of a message's status, if it has arrived or failed.
func (e *Emitter) settled(ctx context.Context, id store.MessageID) (store.Webhook, bool, error) {
	found, err := e.cfg.Messages.Message(ctx, id)
	if err != nil {
		return store.Webhook{}, false, err
	}
	m := &found.Message
	switch m.Status {
	case store.MessageDelivered:
		w, ok := e.messageWebhook(m, KindMessageDelivered, m.UpdatedAt, m.Route, "")
		return w, ok, nil
	case store.MessageFailed:
		w, ok := e.messageWebhook(m, KindMessageFailed, m.UpdatedAt, m.Route, m.Error)
		return w, ok, nil
	default:
		return store.Webhook{}, false, nil
	}
}
