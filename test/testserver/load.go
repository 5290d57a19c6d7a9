package testserver

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
)

// Number is the n-th of 800,000 numbers that a live client may send to.
func Number(n int) string {
	areas := [...]string{"206", "212", "312", "415", "512", "617", "650", "702"}
	// In these the table of line types has nothing but mobile and unknown blocks.
	exchanges := [...]string{"205", "218", "220", "279", "280", "303", "310", "328", "346", "378"}
	k := n / len(areas)
	return fmt.Sprintf("+1%s%s%04d", areas[n%len(areas)], exchanges[k/10_000%len(exchanges)], k%10_000)
}

// Load asks for codes, each for another number, until it is stopped.
type Load struct {
	// Accepted and Refused count the sends that were answered with 200 and with
	// UNAVAILABLE and a time to come back; anything else fails the test and ends the
	// load.
	Accepted, Refused atomic.Int64
	// LastAccepted is when the latest send was accepted, in Unix nanoseconds.
	LastAccepted atomic.Int64

	tb     testing.TB
	next   atomic.Int64
	ending atomic.Bool
	all    sync.WaitGroup
	mu     sync.Mutex
	sends  map[string]time.Time
}

// StartLoad has so many callers ask for so many codes a second together, or for
// as many as the server takes if that is zero.
func (s *Server) StartLoad(as Credentials, callers, perSecond int) *Load {
	s.tb.Helper()
	l := &Load{tb: s.tb, sends: make(map[string]time.Time)}
	began := time.Now()
	for range callers {
		c := s.Client(as)
		l.all.Go(func() {
			for !l.ending.Load() {
				n := int(l.next.Add(1))
				if perSecond > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
				}
				l.one(c, Number(n))
			}
		})
	}
	return l
}

func (l *Load) one(c *client.Client, to string) {
	_, err := c.Send(l.tb.Context(), to)
	e, answered := errors.AsType[*client.Error](err)
	switch {
	case err == nil:
		now := time.Now()
		l.Accepted.Add(1)
		l.LastAccepted.Store(now.UnixNano())
		l.mu.Lock()
		l.sends[to] = now
		l.mu.Unlock()
	case answered && e.Code == api.CodeUnavailable && e.RetryAfter > 0:
		l.Refused.Add(1) // promised nothing
	default:
		l.tb.Errorf("send: %v", err)
		l.ending.Store(true)
	}
}

// Stop waits for the calls under way and returns when each number was accepted.
func (l *Load) Stop() map[string]time.Time {
	l.ending.Store(true)
	l.all.Wait()
	return l.sends
}
