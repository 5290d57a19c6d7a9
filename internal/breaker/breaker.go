// Package breaker stops asking a service that fails: of the services that are asked while
// a caller waits, such as line-type look-ups and captchas. Routes have breakers of their
// own, which judge by what becomes of messages.
package breaker

import (
	"errors"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"
)

// When a breaker opens, and for how long.
const (
	maxConsecutive = 5
	minAnswers     = 20
	failureShare   = 0.5
	window         = 30 * time.Second
	bucket         = 3 * time.Second
	openFor        = 10 * time.Second
)

// Breaker asks a service that answers with a T. It opens after five failures in a row, or
// when half of at least 20 answers in 30 s are failures, and lets one question through
// after 10 s.
type Breaker[T any] struct {
	inner *gobreaker.CircuitBreaker[T]
}

// New returns a closed breaker. Changes of its state are logged as those of the service.
// excluded tells errors that say nothing about the service; nil for none.
func New[T any](service string, log *slog.Logger, excluded func(error) bool) *Breaker[T] {
	return &Breaker[T]{gobreaker.NewCircuitBreaker[T](gobreaker.Settings{
		Name: service, MaxRequests: 1, Interval: window, BucketPeriod: bucket, Timeout: openFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			answers := n.TotalSuccesses + n.TotalFailures
			return n.ConsecutiveFailures >= maxConsecutive ||
				answers >= minAnswers && float64(n.TotalFailures) >= failureShare*float64(answers)
		},
		IsExcluded: excluded,
		OnStateChange: func(name string, from, to gobreaker.State) {
			log.Warn("the breaker of a service changed", "service", name, "from", from.String(), "to", to.String())
		},
	})}
}

// Execute asks, unless the breaker is open or another question is the probe: then the
// error is one that Refused tells.
func (b *Breaker[T]) Execute(ask func() (T, error)) (T, error) { return b.inner.Execute(ask) }

// IsOpen tells that a question would not be asked.
func (b *Breaker[T]) IsOpen() bool { return b.inner.State() == gobreaker.StateOpen }

// Refused tells whether an error of Execute says that nothing was asked.
func Refused(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}
