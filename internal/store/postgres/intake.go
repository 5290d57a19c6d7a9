package postgres

import (
	"context"

	"codeword/internal/fault"
	"codeword/internal/store"
)

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
