package botproof

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"codeword/internal/breaker"
	"codeword/internal/carrier"
)

type provider = breaker.Breaker[Verdict]

func newBreaker(name string, log *slog.Logger) *provider {
	// A caller who hangs up, and one client's wrong secret, say nothing about the provider.
	return breaker.New[Verdict]("captchas of "+name, log, func(err error) bool {
		return errors.Is(err, errGone) || errors.Is(err, errSecret)
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
	case breaker.Refused(err):
		return "breaker_open"
	case errors.Is(err, errSecret):
		return "wrong_secret"
	default:
		return carrier.Classify(err).Reason
	}
}
