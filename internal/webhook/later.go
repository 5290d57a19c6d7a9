package webhook

import (
	"context"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// later is handed over in memory: what a request may not wait for. A kill loses what
// was not told yet, some milliseconds' worth.
type later struct {
	// message is one that may have arrived, or failed, before it was recorded.
	message store.MessageID
	// kind, client, phone and at are those of a challenge's end.
	kind   string
	client string
	phone  store.PhoneID
	at     time.Time
}

const (
	// maxLater bounds what waits, maxLaterBatch what is told at once.
	maxLater      = 8192
	maxLaterBatch = 128
	// laterTries is how often a batch is tried while the store is down.
	laterTries = 60
)

// Verified tells that a code was used. It does not block.
func (e *Emitter) Verified(client string, phone store.PhoneID) {
	e.challenge(KindChallengeVerified, client, phone)
}

// Exhausted tells that wrong codes used up a challenge. It does not block.
func (e *Emitter) Exhausted(client string, phone store.PhoneID) {
	e.challenge(KindChallengeExhausted, client, phone)
}

func (e *Emitter) challenge(kind, client string, phone store.PhoneID) {
	if e.wants(client, kind) {
		e.hand(later{kind: kind, client: client, phone: phone, at: e.cfg.Now()})
	}
}

func (e *Emitter) hand(l later) {
	select {
	case e.later <- l:
	default:
		kind := l.kind
		if kind == "" {
			kind = KindMessageDelivered
		}
		e.cfg.Dropped(kind)
	}
}

// Run tells what was handed over, until ctx ends, and then what waits.
func (e *Emitter) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	for {
		var batch []later
		select {
		case l := <-e.later:
			batch = append(batch, l)
		case <-ctx.Done():
			select {
			case l := <-e.later:
				batch = append(batch, l)
			default:
				return nil
			}
		}
	more:
		for len(batch) < maxLaterBatch {
			select {
			case l := <-e.later:
				batch = append(batch, l)
			default:
				break more
			}
		}
		e.tell(ctx, base, batch)
	}
}

// tell queues a batch, with patience while ctx lives.
func (e *Emitter) tell(ctx, base context.Context, batch []later) {
	for try := 1; ; try++ {
		limited, cancel := context.WithTimeout(base, storeTimeout)
		webhooks, err := e.make(limited, batch)
		if err == nil {
			err = e.queue(limited, webhooks)
		}
		cancel()
		if err == nil {
			return
		}
		if try == laterTries || ctx.Err() != nil {
			for range batch {
				e.cfg.Dropped("later")
			}
			e.cfg.Log.ErrorContext(ctx, "webhooks were lost: they could not be queued", "count", len(batch), "error", err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (e *Emitter) make(ctx context.Context, batch []later) ([]store.Webhook, error) {
	var out []store.Webhook
	for i := range batch {
		w, ok, err := e.one(ctx, &batch[i])
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		if ok {
			out = append(out, w)
		}
	}
	return out, nil
}

func (e *Emitter) one(ctx context.Context, l *later) (store.Webhook, bool, error) {
	if l.kind == "" {
		return e.settled(ctx, l.message)
	}
	d := &Data{ClientID: l.client}
	if c := e.cfg.Client(l.client); c != nil {
		d.PhoneID = e.cfg.PhoneID(c, l.phone)
	}
	// The phone's newest message most likely brought the code; it knows the number.
	page, err := e.cfg.Messages.Messages(ctx, store.MessageQuery{Clients: []string{l.client}, Phones: []store.PhoneID{l.phone}, Limit: 1})
	if err != nil {
		return store.Webhook{}, false, err
	}
	if len(page.Messages) > 0 {
		m := &page.Messages[0]
		d.MessageID, d.Route, d.PhoneMask = m.ID.String(), m.Route, e.cfg.Mask(m)
	}
	w, ok := e.webhook(store.EventID{}, l.kind, l.at, d)
	return w, ok, nil
}
