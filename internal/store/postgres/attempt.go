package postgres

import (
	"context"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// attemptOp is an authenticate on its way.
type attemptOp struct {
	in     *store.Attempt
	client int64
	out    store.Session
}

// Attempt carries out the intent as one durable operation and returns the
// session that it granted. Refusals: fault.WrongCode, LimitOTP, MismatchPhone,
// PhoneTaken, InvalidAuthorization.
func (s *Store) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Session{}, err
	}
	o := &attemptOp{in: &in, client: client}
	if err := s.queue.Do(ctx, o); err != nil {
		return store.Session{}, err
	}
	return o.out, nil
}

func (o *attemptOp) reads(r *rows) {
	if o.in.Grant.Upgrade {
		want(r.sessions, o.in.Grant.Session.ID)
	}
	if o.in.Grant.Known {
		want(r.users, o.in.Grant.Session.User)
	}
	want(r.phones, o.in.Phone)
}

func (o *attemptOp) decide(r *rows) error {
	err := o.judge(r)
	r.webhooks = append(r.webhooks, o.in.Told(err)...)
	return err
}

func (o *attemptOp) judge(r *rows) error {
	var expires time.Time // of the session to upgrade
	if o.in.Grant.Upgrade {
		s := r.sessions[o.in.Grant.Session.ID]
		if !s.alive(o.in.Now) || s.client != o.client {
			return intent.Gone()
		}
		expires = s.ExpiresAt
	}
	p, known := r.phone(o.client, o.in.Phone)
	if !known {
		p = &phoneRow{} // whoever's it is, it changes nothing
	}
	judged, err := p.Attempt(o.in)
	switch judged {
	case intent.Uncounted:
		r.padded = true
	case intent.Counted:
		p.dirty = true
	case intent.Right:
		p.dirty = true
		return o.grant(r, p, expires)
	}
	return err
}

// grant decides whose phone it is and creates or upgrades the session. The
// challenge is consumed whatever it decides: that the phone is another's is told
// after possession was proved.
func (o *attemptOp) grant(r *rows, p *phoneRow, expires time.Time) error {
	g := &o.in.Grant
	owner, err := r.own(o.client, p, &store.Own{Now: o.in.Now, User: g.Session.User, Known: g.Known, Device: o.in.Device})
	if err != nil {
		return err
	}
	want(r.sessions, g.Session.ID)
	s := r.sessions[g.Session.ID]
	s.Session, s.client, s.dirty = intent.Granted(o.in, owner, expires), o.client, true
	o.out = s.Session
	return nil
}

// pad is an operation that writes and means nothing.
type pad struct{}

func (pad) reads(*rows) {}

func (pad) decide(r *rows) error {
	r.padded = true
	return nil
}
