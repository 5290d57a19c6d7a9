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
		if outcome == sampleNone {
			if err := s.checkLine(ctx, c, n, c.Lookup); err != nil {
				return store.Started{}, err
			}
		}
		return s.store.StartChallenge(ctx, *start)
	}
	verdict := s.screen.Screen(&screening.Send{
		Client: c, Number: n, EndUser: in.EndUser, Device: start.Device, At: start.Now,
	})
	policy := c.Lookup
	if over := verdict.OverBudget; over != nil {
		if start.Idempotency == nil {
			s.screen.Refused(c, &verdict, start.Now)
			return store.Started{}, over
		}
		start.Refusal = over
		policy = phone.LookupPolicy{}
	}
	if start.ProvenOnly = verdict.ProvenOnly; start.ProvenOnly {
		policy = phone.LookupPolicy{}
	}
	err := s.checkLine(ctx, c, n, policy)
	var started store.Started
	if err == nil {
		started, err = s.store.StartChallenge(ctx, *start)
	}
	if fault.IsUnsure(err) { // the message may leave: it counts, and costs
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
