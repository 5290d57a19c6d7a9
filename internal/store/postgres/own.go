package postgres

import (
	"context"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// ownOp is a phone on its way to its user.
type ownOp struct {
	in     *store.Own
	client int64
	out    store.UserID
}

// OwnPhone notes whose phone it is, now that possession was proved, and returns
// its user. Refusals: fault.MismatchPhone and PhoneTaken as for an Attempt, and
// fault.NotFound for a client that is not stored.
func (s *Store) OwnPhone(ctx context.Context, in store.Own) (store.UserID, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.UserID{}, err
	}
	o := &ownOp{in: &in, client: client}
	if err := s.queue.Do(ctx, o); err != nil {
		return store.UserID{}, err
	}
	return o.out, nil
}

func (o *ownOp) reads(r *rows) {
	want(r.phones, o.in.Phone)
	if o.in.Known {
		want(r.users, o.in.User)
	}
}

func (o *ownOp) decide(r *rows) (err error) {
	p := r.phones[o.in.Phone]
	if p.foreign(o.client) {
		return errForeign
	}
	if intent.Late(p.ErasedAt, o.in.Now) {
		return intent.ErrLate()
	}
	if o.out, err = r.own(o.client, p, o.in); err == nil && !p.Known {
		p.Known, p.client, p.sealed, p.created = true, o.client, notNull(o.in.Sealed), o.in.Now
	} else if err == nil {
		p.restore(o.in.Sealed, o.in.Now)
	}
	return err
}

// own decides whose phone it is, writes it down when it is its first user, and has the
// phone remember the device.
func (r *rows) own(client int64, p *phoneRow, in *store.Own) (store.UserID, error) {
	var other *store.PhoneID
	if u := r.users[in.User]; in.Known && (u.stored || u.dirty) {
		other = &u.phone
	}
	owner, first, refusal := p.Owner(in.User, in.Known, other)
	if refusal != nil {
		return owner, refusal
	}
	if p.Remember(in.Device) {
		p.dirty = true
	}
	if !first {
		return owner, nil
	}
	p.User, p.HasUser, p.verified, p.dirty = owner, true, in.Now, true
	// A user who gets a phone at this moment by another transaction makes this one
	// fail and be run again.
	want(r.users, owner)
	u := r.users[owner]
	u.client, u.phone, u.dirty = client, p.ID, true
	return owner, nil
}
