package postgres

import (
	"context"

	"codeword/internal/store"
)

// factsRead is a look at a phone on its way.
type factsRead struct {
	client int64
	// ids are those that the phone may be known under, the primary first.
	ids []store.PhoneID
	out store.PhoneFacts
}

// PhoneFacts tells what is known of a phone: under the primary id, or else under
// that of an older index key. One that is not known gets the primary one. Calls that
// come at once are one query. Refusal: fault.NotFound for a client that is not stored.
func (s *Store) PhoneFacts(ctx context.Context, client string, primary store.PhoneID, former []store.PhoneID) (store.PhoneFacts, error) {
	no, err := s.clientNo(ctx, client)
	if err != nil {
		return store.PhoneFacts{}, err
	}
	f := &factsRead{client: no, ids: append([]store.PhoneID{primary}, former...), out: store.PhoneFacts{ID: primary}}
	if err := s.reads.Do(ctx, f); err != nil {
		return store.PhoneFacts{}, err
	}
	return f.out, nil
}

// readFacts answers a group of looks at phones.
func (s *Store) readFacts(group []*factsRead, results []error) {
	var ids []store.PhoneID
	for _, f := range group {
		ids = append(ids, f.ids...)
	}
	each, _, _ := span(ids)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.GroupTimeout)
	defer cancel()
	type known struct {
		client int64
		store.PhoneFacts
	}
	found := make(map[store.PhoneID]known, len(ids))
	err := s.query(ctx, func(c row) {
		found[c.id(0)] = known{c.int(1), store.PhoneFacts{
			ID: c.id(0), Known: true, OptedOut: c.int(2) != 0, BlockedUntil: c.time(3), User: c.id(4), HasUser: !c.null(4),
			Devices: store.Devices(c.bytes(5)),
		}}
	}, `SELECT phone_id, client_no, opted_out_at, blocked_until, user_id, devices FROM phones WHERE phone_id = ANY($1::uuid[])`, each)
	for i, f := range group {
		results[i] = err
		for _, id := range f.ids {
			if k, ok := found[id]; ok && k.client == f.client {
				f.out = k.PhoneFacts
				break
			}
		}
	}
}
