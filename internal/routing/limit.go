package routing

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter keeps a route's rate across all workers of the process. Turns are a
// steady distance apart, without bursts, since carriers count in short windows.
type limiter struct {
	bucket *rate.Limiter // nil: no limit
	// mu makes "look, then take" one step. A reservation that is canceled
	// instead would cost capacity whenever another was made in between.
	mu sync.Mutex
	// booked is the last turn that was promised to a message sent away.
	booked time.Time
}

func newLimiter(perSecond float64) *limiter {
	if perSecond == 0 {
		return &limiter{}
	}
	return &limiter{bucket: rate.NewLimiter(rate.Limit(perSecond), 1)}
}

// take takes a turn that comes within that time and tells when; if there is
// none, it takes nothing and tells how long the next one would take.
func (l *limiter) take(now time.Time, within time.Duration) (delay time.Duration, ok bool) {
	if l.bucket == nil {
		return 0, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if delay = l.delay(now); delay > within {
		return delay, false
	}
	return l.bucket.ReserveN(now, 1).DelayFrom(now), true
}

func (l *limiter) delay(now time.Time) time.Duration {
	missing := 1 - l.bucket.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(l.bucket.Limit()) * float64(time.Second))
}

// maxBooking is how far ahead a message is sent away at most.
const maxBooking = 15 * time.Second

// book promises the next turn from a time on to a message that is sent away.
// Every message gets another one, so that those that wait do not all come back
// for the same; when more wait than can have a turn soon, they come back at a
// time of their own. spread is a random number from 0 to below 1.
func (l *limiter) book(from time.Time, spread float64) time.Time {
	if l.bucket == nil {
		return from.Add(time.Duration(spread * float64(time.Second)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := from
	if l.booked.After(at) {
		at = l.booked
	}
	at = at.Add(time.Duration(float64(time.Second) / float64(l.bucket.Limit())))
	if at.Sub(from) > maxBooking {
		return from.Add(time.Duration((1 + spread) / 2 * float64(maxBooking)))
	}
	l.booked = at
	return at
}
