package smpp

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"codeword/internal/carrier"
)

// The pauses after an SMSC said that it has too much.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// pool hands out the places in the windows of the sessions that can send,
// first come, first served.
type pool struct {
	// answer is how long an answer may take.
	answer time.Duration
	// throttled is set from the first pause until a send succeeds after it; it
	// spares successes the lock.
	throttled atomic.Bool
	// refused: the SMSC did not let us in when it was last asked.
	refused atomic.Bool

	mu       sync.Mutex
	sessions []*session // each has its free places in session.free, under mu
	turn     int
	waiting  list.List // of chan *session, with room for one
	// until is when the pause ends; timer calls resume then.
	until time.Time
	timer *time.Timer
	pause backoff.ExponentialBackOff
}

func newPool(answer time.Duration) *pool {
	return &pool{answer: answer, pause: backoff.ExponentialBackOff{
		InitialInterval: firstPause, MaxInterval: maxPause, Multiplier: 2, RandomizationFactor: 0.2,
	}}
}

// acquire takes a place in the window of a session; release or put gives it
// back. It fails at once when there is no session, and when ctx would end before
// the answer came. Nothing has been written then, so its errors are Retryable.
func (p *pool) acquire(ctx context.Context) (*session, *carrier.Error) {
	p.mu.Lock()
	if len(p.sessions) == 0 {
		p.mu.Unlock()
		return nil, p.absent()
	}
	if p.waiting.Len() == 0 && !p.paused() {
		if s := p.pick(); s != nil {
			p.mu.Unlock()
			return s, nil
		}
	}
	turn := make(chan *session, 1)
	place := p.waiting.PushBack(turn)
	p.mu.Unlock()
	ctx, cancel := p.patience(ctx)
	defer cancel()

	select {
	case s := <-turn:
		if s == nil {
			return nil, p.absent()
		}
		return s, nil
	case <-ctx.Done():
		return nil, p.leave(ctx, place, turn)
	}
}

// patience is how long to wait for a place: as long as ctx leaves time for an
// answer, and half of its time at least. Who got a place in the last moment would
// have sent a message without hearing what became of it.
func (p *pool) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, max(left-p.answer, left/2))
}

// absent is the error when there is no session.
func (p *pool) absent() *carrier.Error {
	if p.refused.Load() {
		return carrier.NewError(carrier.ReasonMisconfigured, errNotBound)
	}
	return carrier.NewError(carrier.ReasonUnavailable, errNotBound)
}

// leave ends a wait whose context has ended.
func (p *pool) leave(ctx context.Context, place *list.Element, turn chan *session) *carrier.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case s := <-turn: // just now
		if s != nil {
			p.free(s)
		}
	default:
		p.waiting.Remove(place)
	}
	if p.paused() {
		err := carrier.NewError(carrier.ReasonThrottled, ctx.Err())
		err.RetryAfter = p.left()
		return err
	}
	// A window that is full for long says no more than that there is more to send
	// than the SMSC answers; were it Unavailable, many who wait would take down a
	// route that is slow and well.
	return carrier.NewError(carrier.ReasonCanceled, ctx.Err())
}

// release gives a place back.
func (p *pool) release(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free(s)
}

func (p *pool) free(s *session) {
	s.free++
	p.serve()
}

// serve gives free places to those who wait.
func (p *pool) serve() {
	for p.waiting.Len() > 0 && !p.paused() {
		s := p.pick()
		if s == nil {
			return
		}
		p.hand(s)
	}
}

func (p *pool) hand(s *session) {
	turn, _ := p.waiting.Remove(p.waiting.Front()).(chan *session)
	turn <- s
}

// pick takes a place, in turn; nil if all are taken.
func (p *pool) pick() *session {
	for range p.sessions {
		p.turn = (p.turn + 1) % len(p.sessions)
		if s := p.sessions[p.turn]; s.free > 0 {
			s.free--
			return s
		}
	}
	return nil
}

// add puts a session to use.
func (p *pool) add(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.free = s.cfg.Window
	p.sessions = append(p.sessions, s)
	p.serve()
}

// remove takes a session out of use; it may be called again. Places that are
// handed out already are refused by the session itself.
func (p *pool) remove(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.sessions, s)
	if i < 0 {
		return
	}
	p.sessions = slices.Delete(p.sessions, i, i+1)
	for len(p.sessions) == 0 && p.waiting.Len() > 0 {
		p.hand(nil)
	}
}

// size is how many sessions are in use.
func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sessions)
}

func (p *pool) paused() bool { return time.Now().Before(p.until) }

// left is what is left of a pause.
func (p *pool) left() time.Duration { return max(time.Until(p.until), 0) }

// throttle begins a pause, longer each time, unless there is one: a whole
// window may be refused at once. It returns what is left of it.
func (p *pool) throttle() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused() {
		return p.left()
	}
	d := p.pause.NextBackOff()
	p.until = time.Now().Add(d)
	p.throttled.Store(true)
	p.timer = time.AfterFunc(d, p.resume)
	return d
}

func (p *pool) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serve()
}

// succeeded ends the series of pauses, if none is on.
func (p *pool) succeeded() {
	if !p.throttled.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused() {
		p.throttled.Store(false)
		p.pause.Reset()
	}
}

// close stops the clock of a pause.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}
