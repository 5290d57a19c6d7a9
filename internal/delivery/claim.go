package delivery

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"codeword/internal/store"
)

// storeTimeout bounds one call of the queue.
const storeTimeout = 10 * time.Second

// claim hands claimed messages to the workers until ctx ends. The queue is
// called with base, since a claim that is cut off half-way may have happened.
func (l *Loop) claim(ctx, base context.Context) {
	retry := storeBackoff()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for l.awaitRoom(ctx) {
		select {
		case <-l.wake: // this claim sees what that token stands for
		default:
		}
		n, err := l.claimOnce(base)
		switch {
		case err != nil:
			l.cfg.Metrics.StoreError("claim")
			l.cfg.Log.WarnContext(ctx, "delivery: claim failed", "error", err)
			sleep(ctx, timer, retry.NextBackOff())
			continue
		case n == l.pace.size:
			l.pace.full(l.cfg.Now(), len(l.jobs))
		default:
			l.awaitWork(ctx, timer)
		}
		retry.Reset()
	}
}

// claimOnce claims one batch and tells how large it was.
func (l *Loop) claimOnce(base context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(base, storeTimeout)
	defer cancel()
	now := l.cfg.Now()
	messages, err := l.cfg.Queue.ClaimMessages(ctx, store.Claim{Now: now, Lease: l.cfg.Lease, Limit: l.pace.size})
	if err != nil {
		return 0, err
	}
	// Counted before any worker can finish one.
	l.inFlight.Add(int64(len(messages)))
	l.pace.claimed += len(messages)
	until := now.Add(l.cfg.Lease)
	for i := range messages {
		l.jobs <- job{m: &messages[i], until: until}
	}
	return len(messages), nil
}

// awaitRoom waits until the workers want another batch, memory allows it, and
// outcomes can be recorded; false when ctx has ended.
func (l *Loop) awaitRoom(ctx context.Context) bool {
	for ctx.Err() == nil {
		size := l.pace.size
		if len(l.jobs) <= size/2 && l.inFlight.Load()+int64(size) <= l.capacity && !l.record.failing.Load() {
			return true
		}
		select {
		case <-l.freed:
		case <-ctx.Done():
		}
	}
	return false
}

// turnPoll is how often the loop looks for messages that wait for their turn on
// a busy route. They come back one by one; were they all found at once, most
// would be sent away again.
const turnPoll = 100 * time.Millisecond

// expectTurn notes that a message was sent away to wait for its turn.
func (l *Loop) expectTurn(at time.Time) {
	for turn := at.UnixNano(); ; {
		last := l.lastTurn.Load()
		if turn <= last || l.lastTurn.CompareAndSwap(last, turn) {
			return
		}
	}
}

// awaitWork waits until somebody calls Wake, and then a little for others to
// do so, too; or until it is time to look unasked.
func (l *Loop) awaitWork(ctx context.Context, timer *time.Timer) {
	poll := l.cfg.Poll
	if l.cfg.Now().Add(-turnPoll).UnixNano() < l.lastTurn.Load() {
		poll = min(poll, turnPoll)
	}
	timer.Reset(poll)
	select {
	case <-l.wake:
		sleep(ctx, timer, l.cfg.Gather)
	case <-timer.C:
	case <-ctx.Done():
	}
}

// sleep waits d, or until ctx ends, with a timer that nobody else waits for.
func sleep(ctx context.Context, timer *time.Timer, d time.Duration) {
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// storeBackoff is the pace at which a failing store is tried again.
func storeBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	b.MaxInterval = 2 * time.Second
	b.Reset()
	return b
}

// Exponential returns a backoff that starts at base, doubles with each claim up
// to limit, and takes a random share of up to half off, so that messages which
// failed together do not come back together.
func Exponential(base, limit time.Duration) func(claims int) time.Duration {
	return func(claims int) time.Duration {
		d := min(base, limit)
		for i := 1; i < claims && d < limit; i++ {
			d = min(2*d, limit)
		}
		return d - rand.N(d/2+1) //nolint:gosec // spreads load; it guards nothing
	}
}

// pace decides how many messages a claim asks for: what the workers get through
// in a second. While carriers are slow no message waits out its lease behind
// others; while they are fast a claim costs little per message. Only the
// claimer uses it.
type pace struct {
	size, low, high int
	// claimed counts all messages so far, begun those that workers had taken at
	// the time since.
	claimed, begun int
	since          time.Time
}

// paceWindow is how long the pace is measured at least.
const paceWindow = 100 * time.Millisecond

func newPace(workers, batch int) pace {
	low := min(workers, batch)
	return pace{size: low, low: low, high: batch}
}

// full is told of each claim that got all it asked for, and how many messages
// wait for a worker.
func (p *pace) full(now time.Time, waiting int) {
	window := now.Sub(p.since)
	if window < paceWindow {
		return
	}
	begun := p.claimed - waiting
	second := float64(begun-p.begun) / window.Seconds()
	p.size = min(max(int(second), p.low), p.high)
	p.begun, p.since = begun, now
}
