package lookup

import (
	"context"
	"time"

	"codeword/internal/breaker"
	"codeword/internal/carrier"
	"codeword/internal/phone"
)

// service is a provider behind a breaker.
type service struct {
	chain    *Chain
	provider Provider
	breaker  *breaker.Breaker[phone.LineType]
}

func (c *Chain) newService(p Provider) *service {
	return &service{chain: c, provider: p, breaker: breaker.New[phone.LineType]("line types of "+p.Name(), c.cfg.Log, nil)}
}

// isOpen tells, before it is paid for, that a question would not be asked.
func (s *service) isOpen() bool { return s.breaker.IsOpen() }

// ask asks within askTimeout. A question that nobody waits for any more is asked to
// the end all the same, so that no caller can break a service's breaker.
func (s *service) ask(ctx context.Context, n phone.Number) (phone.LineType, error) {
	name, metrics := s.provider.Name(), &s.chain.cfg.Metrics
	line, err := s.breaker.Execute(func() (phone.LineType, error) {
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
	case breaker.Refused(err): // half open, and another question is the probe
		metrics.Lookup(name, "breaker_open")
	default:
		metrics.Lookup(name, carrier.Classify(err).Reason)
	}
	return line, err
}
