package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/store"
)

// entry is an outcome and the end of the lease under which it was made.
type entry struct {
	outcome store.Outcome
	until   time.Time
}

// recorder gathers outcomes and records them in batches. It holds no more than
// are in flight, so that adding never blocks a worker.
type recorder struct {
	l *Loop
	// failing is true while the store does not take outcomes. Nothing is claimed
	// then: messages whose lease has passed could be claimed, and sent, again
	// before their outcomes are recorded.
	failing atomic.Bool
	some    chan struct{} // there is an outcome
	full    chan struct{} // there is a batch of them

	mu      sync.Mutex
	pending []entry
	spare   []entry // the last batch's memory
}

func newRecorder(l *Loop) recorder {
	return recorder{l: l, some: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

func (r *recorder) add(e entry) {
	r.mu.Lock()
	r.pending = append(r.pending, e)
	n := len(r.pending)
	r.mu.Unlock()
	switch n {
	case 1:
		signal(r.some)
	case r.l.cfg.Batch:
		signal(r.full)
	}
}

// take returns all pending outcomes; they are valid until the next call.
func (r *recorder) take() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.pending
	r.pending, r.spare = r.spare[:0], taken
	return taken
}

func (r *recorder) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	outcomes := make([]store.Outcome, 0, r.l.cfg.Batch)
	for {
		select {
		case <-r.some:
		case <-ctx.Done():
			return
		}
		timer.Reset(r.l.cfg.Gather)
		select {
		case <-r.full:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for taken := r.take(); len(taken) > 0; {
			batch := taken[:min(len(taken), r.l.cfg.Batch)]
			taken = taken[len(batch):]
			outcomes = outcomes[:0]
			until := batch[0].until
			for _, e := range batch {
				outcomes = append(outcomes, e.outcome)
				if e.until.After(until) {
					until = e.until
				}
			}
			if !r.write(ctx, timer, outcomes, until) {
				return
			}
			r.l.inFlight.Add(-int64(len(batch)))
			signal(r.l.freed)
		}
	}
}

// write records outcomes, again and again until the leases under which they
// were made have passed; after that somebody else may have the messages.
// It returns false when ctx has ended first.
func (r *recorder) write(ctx context.Context, timer *time.Timer, outcomes []store.Outcome, until time.Time) bool {
	l := r.l
	retry := storeBackoff()
	defer r.failing.Store(false)
	for {
		now := l.cfg.Now()
		recorded, err := r.try(ctx, now, outcomes)
		switch {
		case err == nil:
			if lost := len(outcomes) - recorded; lost > 0 {
				l.cfg.Metrics.LeaseLost(lost)
				l.cfg.Log.WarnContext(ctx, "delivery: outcomes came after their leases were lost", "count", lost)
			}
			return true
		case ctx.Err() != nil:
			return false
		}
		l.cfg.Metrics.StoreError("record")
		if r.failing.CompareAndSwap(false, true) {
			l.cfg.Log.WarnContext(ctx, "delivery: outcomes cannot be recorded, trying again", "count", len(outcomes), "error", err)
		}
		if !now.Before(until) {
			l.cfg.Metrics.Unrecorded(len(outcomes))
			l.cfg.Log.ErrorContext(ctx, "delivery: outcomes given up; their messages will be sent again",
				"count", len(outcomes), "error", err)
			return true
		}
		sleep(ctx, timer, retry.NextBackOff())
	}
}

func (r *recorder) try(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return r.l.cfg.Queue.RecordOutcomes(ctx, now, outcomes)
}
