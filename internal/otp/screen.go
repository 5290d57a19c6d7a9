package otp

import (
	"context"

	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/store"
)

// screened starts the challenge unless the screen objects. Test clients cost nothing
// and are not screened.
func (s *Service) screened(ctx context.Context, in *SendRequest, n phone.Number, start *store.Start) (store.Started, error) {
	if s.screen == nil || !in.Client.Live {
		return s.store.StartChallenge(ctx, *start)
	}
	verdict := s.screen.Screen(&screening.Send{
		Client: in.Client, Number: n, EndUser: in.EndUser, Device: start.Device, At: start.Now,
	})
	if over := verdict.OverBudget; over != nil {
		if start.Idempotency == nil {
			return store.Started{}, over
		}
		start.Refusal = over
	}
	start.ProvenOnly = verdict.ProvenOnly
	started, err := s.store.StartChallenge(ctx, *start)
	if err != nil || started.Replayed {
		s.screen.Refused(in.Client, &verdict, start.Now)
		return started, err
	}
	s.screen.Accepted(&verdict, started.Phone, started.Challenge.ID == start.Challenge.ID)
	return started, nil
}
