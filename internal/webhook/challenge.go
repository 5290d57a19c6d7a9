package webhook

import (
	"context"
	"time"

	"codeword/internal/store"
)

// lookTimeout is how long an attempt may wait for what its events tell beside it.
const lookTimeout = time.Second

// Challenge makes the events of an attempt, before it is known what it comes to: the
// store queues the one that is true with what it tells. It costs those clients a look
// at the phone's newest message that have an endpoint which wants these kinds, and
// others nothing.
func (e *Emitter) Challenge(ctx context.Context, client string, phone store.PhoneID) (verified, exhausted []store.Webhook) {
	if !e.wants(client, KindChallengeVerified) && !e.wants(client, KindChallengeExhausted) {
		return nil, nil
	}
	d := &Data{ClientID: client}
	if c := e.cfg.Client(client); c != nil {
		d.PhoneID = e.cfg.PhoneID(c, phone)
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	// It most likely brought the code, and knows the number.
	page, err := e.cfg.Messages.Messages(ctx, store.MessageQuery{Clients: []string{client}, Phones: []store.PhoneID{phone}, Limit: 1})
	switch {
	case err != nil: // an event that tells less is better than none
		e.cfg.Log.WarnContext(ctx, "a webhook of a challenge tells no message: it cannot be read", "client", client, "error", err)
	case len(page.Messages) > 0:
		m := &page.Messages[0]
		d.MessageID, d.Route = m.ID.String(), m.Route
		if d.PhoneID != "" { // see tellPhone
			d.PhoneMask = e.cfg.Mask(m)
		}
	}
	now := e.cfg.Now()
	if w, ok := e.webhook(store.EventID{}, KindChallengeVerified, now, d); ok {
		verified = []store.Webhook{w}
	}
	if w, ok := e.webhook(store.EventID{}, KindChallengeExhausted, now, d); ok {
		exhausted = []store.Webhook{w}
	}
	return verified, exhausted
}
