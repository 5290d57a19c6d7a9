package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"codeword/api"
	"codeword/client"
	"codeword/test/testserver"
)

const (
	// maxGuesses is what the product promises: no challenge takes more.
	maxGuesses = 5
	// targets is how many challenges are being guessed at a time, by all
	// workers together, so that guesses race and a challenge sees several kills.
	targets = 24
)

// phone is what the callers know of one number. Its worker alone changes it,
// except for guesses, which are counted under the lock.
type phone struct {
	number, key string
	id          string // empty until a send was acknowledged
	code        string

	accepted int  // authenticates that were answered 200
	refused  bool // the right code was refused: an unanswered try had consumed it

	mu      sync.Mutex
	plan    int // how many guesses to make
	begun   int // guesses on their way or done
	counted int // guesses answered "wrong, the challenge takes more"
	final   int // guesses answered "wrong, it takes no more"
	tried   bool
}

// crew is the callers, and what was acknowledged to them over all lives of the
// server.
type crew struct {
	workers []*worker
	next    atomic.Int64

	mu      sync.Mutex
	hunted  []*phone // being guessed
	guessed []*phone // all that were ever guessed

	unanswered, resent, replays atomic.Int64
}

// worker is one caller. It keeps its phones from life to life.
type worker struct {
	crew    *crew
	random  *rand.Rand
	pending []*phone // sends without an answer yet
	sent    []*phone // acknowledged and not used
	used    []*phone // the right code was presented
}

func newCrew(n int, seed uint64) *crew {
	c := &crew{}
	for i := range n {
		r := rand.New(rand.NewPCG(seed, uint64(i)+1))
		c.workers = append(c.workers, &worker{crew: c, random: r})
	}
	return c
}

// work sets everybody to work until stop is called, or the server is gone.
func (c *crew) work(t *testing.T, s *testserver.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls := newCaller(t, s)
	var all sync.WaitGroup
	for _, w := range c.workers {
		all.Go(func() {
			for ctx.Err() == nil && w.step(ctx, calls) {
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		calls.close()
	}
}

// step makes one call, or two; false when the server did not answer.
func (w *worker) step(ctx context.Context, c *caller) bool {
	if len(w.pending) > 0 {
		p := w.pending[0]
		w.crew.resent.Add(1)
		return w.send(ctx, c, p, func() { w.pending = w.pending[1:] })
	}
	switch n := w.random.IntN(100); {
	case n < 20 && len(w.sent) > 0:
		return w.authenticate(ctx, c)
	case n < 30 && len(w.used) > 0:
		return w.replay(ctx, c, w.used[w.random.IntN(len(w.used))])
	case n < 45:
		return w.guess(ctx, c)
	default:
		n := w.crew.next.Add(1) - 1
		p := &phone{number: testserver.Number(int(n)), key: fmt.Sprintf("crash-%d", n)}
		w.pending = append(w.pending, p)
		return w.send(ctx, c, p, func() { w.pending = w.pending[:0] })
	}
}

// send sends, and sends again in the next life with the same idempotency key if
// there was no answer: whatever had happened, there must be one message in the
// end.
func (w *worker) send(ctx context.Context, c *caller, p *phone, done func()) bool {
	out, err := c.api.Send(ctx, p.number, client.WithIdempotencyKey(p.key))
	if err != nil {
		return w.broken(c, "send", err)
	}
	done()
	p.id = out.PhoneID
	w.sent = append(w.sent, p)
	return true
}

// authenticate presents the right code once and, when it was accepted, again. A
// try without an answer is repeated in the next life; both outcomes are right
// then, but no second 200 after a first.
func (w *worker) authenticate(ctx context.Context, c *caller) bool {
	p := w.sent[0]
	if found, ok := w.find(ctx, c, p); !found {
		return ok
	}
	_, err := c.api.Authenticate(ctx, p.id, p.code)
	switch e, ok := answered(err); {
	case err == nil:
		p.accepted++
	case ok && e.Code == api.CodeInvalidOTP && p.tried:
		p.refused = true
	case ok && e.Code == api.CodeInvalidOTP:
		c.t.Errorf("the right code was refused at its first use")
	default:
		p.tried = true
		return w.broken(c, "authenticate", err)
	}
	w.sent = w.sent[1:]
	w.used = append(w.used, p)
	return w.replay(ctx, c, p)
}

// find sees to it that the code of the oldest send is known. Otherwise the others go
// first, unless the server did not answer, which is not ok.
func (w *worker) find(ctx context.Context, c *caller, p *phone) (found, ok bool) {
	if p.code == "" {
		if p.code, ok = c.code(ctx, p.number); !ok {
			return false, false
		}
	}
	if p.code == "" {
		w.sent = append(w.sent[1:], p)
	}
	return p.code != "", true
}

// replay presents a used code.
func (w *worker) replay(ctx context.Context, c *caller, p *phone) bool {
	_, err := c.api.Authenticate(ctx, p.id, p.code)
	switch e, ok := answered(err); {
	case err == nil:
		p.accepted++
		c.t.Errorf("a used code was accepted again")
	case ok && e.Code == api.CodeInvalidOTP:
		w.crew.replays.Add(1)
	default:
		return w.broken(c, "replay", err)
	}
	return true
}

// guess makes one wrong guess at a challenge that others are guessing, too.
func (w *worker) guess(ctx context.Context, c *caller) bool {
	p := w.crew.target(w.random)
	if p == nil {
		return w.newTarget(ctx, c)
	}
	_, err := c.api.Authenticate(ctx, p.id, wrong(p.code))
	e, ok := answered(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		c.t.Errorf("a wrong code was accepted")
	case ok && e.Code == api.CodeInvalidOTP && e.Retryable:
		p.counted++
	case ok && e.Code == api.CodeInvalidOTP:
		p.final++
	default:
		return w.broken(c, "guess", err)
	}
	return true
}

// target picks a challenge to guess at and counts the guess as begun; nil when a
// new challenge is wanted.
func (c *crew) target(r *rand.Rand) *phone {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hunted) < targets {
		return nil
	}
	i := r.IntN(len(c.hunted))
	p := c.hunted[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.begun++; p.begun >= p.plan {
		c.hunted[i] = c.hunted[len(c.hunted)-1]
		c.hunted = c.hunted[:len(c.hunted)-1]
	}
	return p
}

// newTarget gives a phone of the worker's to those who guess.
func (w *worker) newTarget(ctx context.Context, c *caller) bool {
	if len(w.sent) == 0 || w.sent[0].tried {
		return true
	}
	p := w.sent[0]
	if found, ok := w.find(ctx, c, p); !found {
		return ok
	}
	w.sent = w.sent[1:]
	p.plan = 1 + w.random.IntN(2*maxGuesses)
	w.crew.mu.Lock()
	w.crew.hunted = append(w.crew.hunted, p)
	w.crew.guessed = append(w.crew.guessed, p)
	w.crew.mu.Unlock()
	return true
}

// broken takes note of a call without an answer, and returns false. An answer
// that nobody expects fails the test.
func (w *worker) broken(c *caller, call string, err error) bool {
	if e, ok := answered(err); ok {
		c.t.Errorf("%s: %d %s", call, e.Status, e.Code)
	}
	w.crew.unanswered.Add(1)
	return false
}
