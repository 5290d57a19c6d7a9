package postgres

import (
	"context"

	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// startOp is a send on its way.
type startOp struct {
	in     *store.Start
	client int64
	out    store.Started
}

// StartChallenge carries out the intent as one durable operation. Refusals:
// fault.LimitSMS, LimitOTP, LimitClient, OptedOut, Blocked, IdempotencyMismatch.
func (s *Store) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Started{}, err
	}
	o := &startOp{in: &in, client: client}
	if err := s.queue.Do(ctx, o); err != nil {
		return store.Started{}, err
	}
	return o.out, nil
}

func (o *startOp) reads(r *rows) {
	if o.in.Idempotency != nil {
		want(r.keys, o.in.Idempotency.Key)
	}
	want(r.phones, o.in.Phone)
	for _, id := range o.in.Former {
		want(r.phones, id)
	}
	for i := range o.in.Charges {
		if !o.in.Charges[i].Bucket.Unlimited() {
			want(r.limits, o.in.Charges[i].Key)
		}
	}
}

func (o *startOp) decide(r *rows) (err error) {
	in := o.in
	if in.Idempotency != nil {
		if k := r.keys[in.Idempotency.Key]; k.expires.After(in.Now) {
			o.out, err = intent.Replay(in, k.body, k.phone)
			return err
		}
	}
	p := o.phone(r)
	if p.foreign(o.client) {
		return errForeign
	}
	sent, err := p.Send(in, func(c *store.Charge) (guard.Decision, error) {
		if c.Bucket.Unlimited() {
			return guard.Decision{Allowed: true}, nil
		}
		return c.Bucket.Take(in.Now, r.limits[c.Key].tat), nil
	})
	if err != nil {
		return err
	}
	if !p.Known {
		p.Known, p.client, p.sealed, p.created = true, o.client, in.Sealed, in.Now
	}
	if !p.ErasedAt.IsZero() {
		sealed, err := in.SealedFor(p.ID)
		if err != nil {
			return err
		}
		p.restore(sealed, in.Now)
	}
	p.sent, p.dirty = in.Now, true
	r.messages = append(r.messages, newMessage{client: o.client, in: in, to: p.ID, sent: sent})
	for i := range in.Charges {
		if l := r.limits[in.Charges[i].Key]; l != nil && !in.Charges[i].Bucket.Unlimited() {
			l.tat, l.dirty = sent.Charges[i], true
		}
	}
	if in.Idempotency != nil {
		k := r.keys[in.Idempotency.Key]
		k.body, k.phone, k.expires, k.dirty = in.Idempotency.Body, p.ID, in.Idempotency.ExpiresAt, true
	}
	o.out = store.Started{Phone: p.ID, Challenge: sent.Challenge}
	return nil
}

// phone looks under the primary id and then under those of older index keys; a
// phone that is not known yet gets the primary one.
func (o *startOp) phone(r *rows) *phoneRow {
	p, known := r.phone(o.client, o.in.Phone)
	for i := 0; !known && i < len(o.in.Former); i++ {
		var former *phoneRow
		if former, known = r.phone(o.client, o.in.Former[i]); known {
			return former
		}
	}
	return p
}
