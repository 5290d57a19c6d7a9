package app

import (
	"context"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/refusal"
	"codeword/internal/server"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// refusalBook is where refused sends are noted: in the ledger, also where another engine
// keeps what expires, since that one keeps it in memory, and a stranger can have sends
// refused at no cost.
func refusalBook(e engine, ring *keyring.Ring, now func() time.Time) refusal.Book {
	return refusal.Book{Notes: bottom(e), Keys: ring, Now: now}
}

// newRefusals notes refused sends for those who ask why a person got no code.
func newRefusals(n *node) (*refusal.Log, error) {
	return refusal.NewLog(refusal.Config{
		Book: refusalBook(n.store, n.cfg.Ring, n.cfg.Now), PhoneIDs: n.phoneIDs, Log: n.log,
	})
}

// phoneIDs are those of package otp, which is not there yet when it is wired.
func (n *node) phoneIDs(c *tenant.Client, number phone.Number) ([]store.PhoneID, error) {
	return n.otp.PhoneIDs(c, number)
}

// refused implements otp.Config.
func (n *node) refused(c *tenant.Client, number phone.Number, why *fault.Error) {
	n.refusals.Add(c, number, refusal.Refusal{
		At: n.cfg.Now(), Code: string(server.CodeOf(why.Kind)), Limit: why.Limit, Detail: why.Error(),
	})
}

// refusals are the refused sends that are remembered of a phone, newest first.
func (k *phoneKeeper) refusals(ctx context.Context, s *subject) ([]console.PhoneRefusal, error) {
	found, err := k.refused.Of(ctx, s.client.ID, s.ids)
	if err != nil {
		return nil, err
	}
	out := make([]console.PhoneRefusal, len(found))
	for i, r := range found {
		out[i] = console.PhoneRefusal{Time: api.NewTime(r.At), Code: api.Code(r.Code), Limit: r.Limit, Detail: r.Detail}
	}
	return out, nil
}
