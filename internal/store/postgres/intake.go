package postgres

import (
	"context"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// PhoneFacts tells what is known of a phone: under the primary id, or else under
// that of an older index key. One that is not known gets the primary one.
// Refusal: fault.NotFound for a client that is not stored.
func (s *Store) PhoneFacts(ctx context.Context, client string, primary store.PhoneID, former []store.PhoneID) (store.PhoneFacts, error) {
	no, err := s.clientNo(ctx, client)
	if err != nil {
		return store.PhoneFacts{}, err
	}
	const facts = `SELECT phone_id, opted_out_at, blocked_until, user_id FROM phones WHERE client_no = $2 AND `
	found := make(map[store.PhoneID]store.PhoneFacts, 1)
	scan := func(c row) {
		found[c.id(0)] = store.PhoneFacts{
			ID: c.id(0), Known: true, OptedOut: c.int(1) != 0, BlockedUntil: c.time(2), User: c.id(3), HasUser: !c.null(3),
		}
	}
	err = s.query(ctx, scan, facts+`phone_id = $1`, [16]byte(primary), no)
	if err == nil && len(found) == 0 && len(former) > 0 {
		all, _, _ := span(former)
		err = s.query(ctx, scan, facts+`phone_id = ANY($1::uuid[])`, all, no)
	}
	if err != nil {
		return store.PhoneFacts{}, err
	}
	for _, id := range append([]store.PhoneID{primary}, former...) {
		if f, ok := found[id]; ok {
			return f, nil
		}
	}
	return store.PhoneFacts{ID: primary}, nil
}

// OwnPhone notes whose phone it is, now that possession was proved, and returns
// its user. Refusals: fault.MismatchPhone and PhoneTaken as for an Attempt, and
// fault.NotFound for a client that is not stored.
func (s *Store) OwnPhone(ctx context.Context, in store.Own) (owner store.UserID, err error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.UserID{}, err
	}
	err = s.transact(ctx, func(t *tx) error {
		p, other := intent.Phone{ID: in.Phone}, (*store.PhoneID)(nil)
		t.each(func(c row) { p.Known, p.User, p.HasUser = true, c.id(0), !c.null(0) },
			`SELECT user_id FROM phones WHERE phone_id = $1 AND client_no = $2 FOR NO KEY UPDATE`, [16]byte(in.Phone), client)
		t.each(func(c row) { other = new(store.PhoneID(c.id(0))) }, `SELECT phone_id FROM users WHERE user_id = $1`, [16]byte(in.User))
		if err := t.flush(); err != nil {
			return err
		}
		user, first, refusal := p.Owner(in.User, in.Known, other)
		if owner = user; refusal != nil || !first {
			return refusal
		}
		if p.Known {
			t.exec(`UPDATE phones SET user_id = $2, verified_at = $3 WHERE phone_id = $1`, [16]byte(p.ID), [16]byte(user), micros(in.Now))
		} else {
			t.exec(`INSERT INTO phones (phone_id, client_no, sealed, created_at, user_id, verified_at) VALUES ($1, $2, $3, $4, $5, $4)`,
				[16]byte(p.ID), client, notNull(in.Sealed), micros(in.Now), [16]byte(user))
		}
		// A user who gets a phone at this moment by another transaction makes this
		// one fail and be run again.
		if other == nil {
			t.exec(`INSERT INTO users (user_id, client_no, phone_id) VALUES ($1, $2, $3)`, [16]byte(user), client, [16]byte(p.ID))
		} else {
			t.exec(`UPDATE users SET client_no = $2, phone_id = $3 WHERE user_id = $1`, [16]byte(user), client, [16]byte(p.ID))
		}
		return nil
	})
	if err != nil {
		return store.UserID{}, err
	}
	return owner, nil
}

// QueueMessages logs and queues messages that were accepted elsewhere, each once
// however often it is called with it, and makes their phones known. The messages
// of one phone are chained in the order given. Those whose client is not stored
// are left out, and then the answer is fault.NotFound; the others are queued.
func (s *Store) QueueMessages(ctx context.Context, accepted []store.Accepted) error {
	in := newIntake()
	for i := range accepted {
		no, err := s.clientNo(ctx, accepted[i].Client)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return err
		default:
			in.add(&accepted[i], no)
		}
	}
	if len(in.entries) == 0 && len(accepted) == 0 {
		return s.usable()
	}
	if len(in.entries) > 0 {
		err := s.transact(ctx, func(t *tx) error {
			in.read(t)
			if err := t.flush(); err != nil {
				return err
			}
			in.chain()
			in.write(t)
			return nil
		})
		if err != nil {
			return err
		}
		s.announcer.queued()
	}
	if len(in.entries) < len(accepted) {
		return fault.New(fault.NotFound, "a message is of a client that is not stored")
	}
	return nil
}
