package lookup

import (
	"context"
	"time"

	"github.com/sony/gobreaker/v2"

	"codeword/internal/carrier"
	"codeword/internal/phone"
)

// When a service's breaker opens, and for how long.
const (
	maxConsecutive = 5
	minAnswers     = 20
	failureShare   = 0.5
	breakerWindow  = 30 * time.Second
	breakerBucket  = 3 * time.Second
	openFor        = 10 * time.Second
)

// service is a provider behind a breaker.
type service struct {
	chain    *Chain
	provider Provider
	breaker  *gobreaker.CircuitBreaker[phone.LineType]
}

func (c *Chain) newService(p Provider) *service {
	return &service{chain: c, provider: p, breaker: gobreaker.NewCircuitBreaker[phone.LineType](gobreaker.Settings{
		Name: p.Name(), MaxRequests: 1, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			answers := n.TotalSuccesses + n.TotalFailures
			return n.ConsecutiveFailures >= maxConsecutive ||
				answers >= minAnswers && float64(n.TotalFailures) >= failureShare*float64(answers)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			c.cfg.Log.Warn("the breaker of a look-up service changed", "provider", name, "from", from.String(), "to", to.String())
		},
	})}
}

// isOpen tells, before it is paid for, that a question would not be asked.
func (s *service) isOpen() bool { return s.breaker.State() == gobreaker.StateOpen }

// ask asks within askTimeout. A question that nobody waits for any more is asked to
// the end all the same, so that no caller can break a service's breaker.
func (s *service) ask(ctx context.Context, n phone.Number) (phone.LineType, error) {
	name, metrics := s.provider.Name(), &s.chain.cfg.Metrics
	asked := false
	line, err := s.breaker.Execute(func() (phone.LineType, error) {
		asked = true
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		began := time.Now()
		line, err := s.provider.LineType(ctx, n)
		metrics.Took(name, time.Since(began))
		return line, err
	})
	switch {
	case err == nil:
		metrics.Lookup(name, outcomeOf(line))
	case !asked: // half open, and another question is the probe
		metrics.Lookup(name, "breaker_open")
	default:
		metrics.Lookup(name, carrier.Classify(err).Reason)
	}
	return line, err
}
