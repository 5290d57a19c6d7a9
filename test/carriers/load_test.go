package carriers_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/test/testserver"
)

// load asks for codes, each for another number, until it is stopped.
type load struct {
	accepted atomic.Int64
	refused  atomic.Int64

	t      *testing.T
	next   atomic.Int64
	ending atomic.Bool
	all    sync.WaitGroup
	mu     sync.Mutex
	sends  map[string]time.Time
}

const callers = 16

// startLoad asks for so many codes a second, or for as many as the server takes
// if that is zero.
func startLoad(t *testing.T, s *testserver.Server, as testserver.Credentials, perSecond int) *load {
	t.Helper()
	l := &load{t: t, sends: make(map[string]time.Time)}
	began := time.Now()
	for range callers {
		c := s.Client(as)
		l.all.Go(func() {
			for !l.ending.Load() {
				n := int(l.next.Add(1))
				if perSecond > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
				}
				l.one(c, number(n))
			}
		})
	}
	return l
}

func (l *load) one(c *client.Client, to string) {
	switch _, err := c.Send(l.t.Context(), to); {
	case err == nil:
		l.accepted.Add(1)
		l.mu.Lock()
		l.sends[to] = time.Now()
		l.mu.Unlock()
	case errors.Is(err, api.CodeUnavailable):
		l.refused.Add(1) // promised nothing
	default:
		l.t.Errorf("send: %v", err)
		l.ending.Store(true)
	}
}

// stop returns when each number was accepted.
func (l *load) stop() map[string]time.Time {
	l.ending.Store(true)
	l.all.Wait()
	return l.sends
}

// count tells how many numbers got nothing, how many got more than one message,
// and fails the test if one of them got two different codes.
func count(t *testing.T, sends map[string]time.Time, phones map[string][]arrival) (missing, twice int) {
	t.Helper()
	for number := range sends {
		got := phones[number]
		switch {
		case len(got) == 0:
			missing++
		case len(got) > 1:
			twice++
		}
		for _, a := range got {
			if codeOf.FindString(a.text) != codeOf.FindString(got[0].text) {
				t.Errorf("…%s got two different codes", number[8:])
			}
		}
	}
	return missing, twice
}
