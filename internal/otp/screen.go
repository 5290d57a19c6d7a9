package otp

import (
	"context"
	"errors"

	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/store"
)

// screened starts the challenge unless the screen or the line type is against it. Test
// clients cost nothing and are not screened. Nobody is paid for telling the line type
// of a number that hardly gets a message.
func (s *Service) screened(ctx context.Context, in *SendRequest, n phone.Number, outcome sampleOutcome, start *store.Start) (store.Started, error) {
	c := in.Client
	if s.screen == nil || !c.Live {
		var refusal *fault.Error
		if outcome == sampleNone {
			refusal = s.checkLine(ctx, c, n, c.Lookup)
		}
		return s.startUnless(ctx, refusal, start)
	}
	verdict := s.screen.Screen(&screening.Send{
		Client: c, Number: n, EndUser: in.EndUser, Device: start.Device, At: start.Now,
	})
	start.ProvenOnly = verdict.ProvenOnly
	refusal := verdict.OverBudget
	if refusal == nil {
		policy := c.Lookup
		if verdict.ProvenOnly {
			policy = phone.LookupPolicy{}
		}
		refusal = s.checkLine(ctx, c, n, policy)
	}
	started, err := s.startUnless(ctx, refusal, start)
	if fault.IsUnsure(err) && refusal == nil { // the message may leave: it counts, and costs
		s.screen.Accepted(&verdict, start.Phone, true)
		return started, err
	}
	if err != nil || started.Replayed {
		s.screen.Refused(c, &verdict, start.Now)
		return started, explained(err, verdict.Why)
	}
	s.screen.Accepted(&verdict, started.Phone, started.Challenge.ID == start.Challenge.ID)
	return started, nil
}

// startUnless starts the challenge unless there is a refusal. That of a send with an
// idempotency key is up to the store, which alone knows whether it was accepted before.
func (s *Service) startUnless(ctx context.Context, refusal *fault.Error, start *store.Start) (store.Started, error) {
	if refusal != nil && start.Idempotency == nil {
		return store.Started{}, refusal
	}
	start.Refusal = refusal
	return s.store.StartChallenge(ctx, *start)
}

// explained adds to a refused phone's detail, which only the log shows, why the guard
// wanted proof.
func explained(err error, why string) error {
	var refusal *fault.Error
	if why == "" || !errors.As(err, &refusal) || refusal.Kind != fault.Blocked {
		return err
	}
	more := *refusal
	more.Detail += ": " + why
	return &more
}
