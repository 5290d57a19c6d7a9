package botproof

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"codeword/internal/carrier"
)

// When a provider's breaker opens, and for how long.
const (
	maxConsecutive = 5
	minAnswers     = 20
	failureShare   = 0.5
	breakerWindow  = 30 * time.Second
	breakerBucket  = 3 * time.Second
	openFor        = 10 * time.Second
)

type breaker = gobreaker.CircuitBreaker[Verdict]

func newBreaker(provider string, log *slog.Logger) *breaker {
	return gobreaker.NewCircuitBreaker[Verdict](gobreaker.Settings{
		Name: provider, MaxRequests: 1, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			answers := n.TotalSuccesses + n.TotalFailures
			return n.ConsecutiveFailures >= maxConsecutive ||
				answers >= minAnswers && float64(n.TotalFailures) >= failureShare*float64(answers)
		},
		// A caller who hangs up, and one client's wrong secret, say nothing about the provider.
		IsExcluded: func(err error) bool { return errors.Is(err, errGone) || errors.Is(err, errSecret) },
		OnStateChange: func(name string, from, to gobreaker.State) {
			log.Warn("the breaker of a captcha's provider changed", "provider", name, "from", from.String(), "to", to.String())
		},
	})
}

var (
	// errSecret: the provider does not take our secret.
	errSecret = errors.New("botproof: the provider does not know the secret")
	// errGone: nobody waits for the answer any more.
	errGone = errors.New("botproof: the caller has gone")
)

// ask asks the provider, unless its breaker is open, within timeout.
func (g *Gate) ask(ctx context.Context, q Question) (Verdict, error) {
	return g.breakers[q.Provider].Execute(func() (Verdict, error) {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		began := time.Now()
		v, err := g.cfg.Verifier.Verify(limited, q)
		g.cfg.Metrics.Took(q.Provider, time.Since(began))
		if err != nil && ctx.Err() != nil {
			err = errors.Join(errGone, err)
		}
		return v, err
	})
}

// reasonOf names what went wrong, for logs and metrics.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return "breaker_open"
	case errors.Is(err, errSecret):
		return "wrong_secret"
	default:
		return carrier.Classify(err).Reason
	}
}
