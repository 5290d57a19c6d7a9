package delivery

import (
	"context"
	"sync"
	"time"

	"codeword/internal/carrier"
)

// watch knows the workers and what each is sending, so that a carrier which
// does not answer, or even ignores its context, does not take the workers away
// one by one.
type watch struct {
	mu    sync.Mutex
	slots map[*slot]struct{}
}

// slot is what one worker is doing.
type slot struct {
	mu       sync.Mutex
	passage  *passage // nil while nothing is sent
	deadline time.Time
	reported bool // the watch has told the outcome of this send
	replaced bool // another worker was started in place of this one
}

// begin notes that a send begins, which should end by the deadline.
func (s *slot) begin(p *passage, deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passage, s.deadline = p, deadline
}

// end notes that the send has returned. If it was reported, its passage is not
// the worker's any more.
func (s *slot) end() (reported, replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reported, replaced = s.reported, s.replaced
	s.passage, s.reported = nil, false
	return reported, replaced
}

// overdue returns what should have been sent before now, once; from then on the
// outcome is the caller's to report.
func (s *slot) overdue(now time.Time) *passage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passage == nil || s.reported || !s.deadline.Before(now) {
		return nil
	}
	s.reported = true
	return s.passage
}

// slow tells whether a send that should end by the deadline still runs, once.
func (s *slot) slow(deadline time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passage == nil || s.replaced || s.deadline.After(deadline) {
		return false
	}
	s.replaced = true
	return true
}

func (w *watch) add() *slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.slots == nil {
		w.slots = make(map[*slot]struct{})
	}
	s := new(slot)
	w.slots[s] = struct{}{}
	return s
}

func (w *watch) remove(s *slot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.slots, s)
}

func (w *watch) list() []*slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	slots := make([]*slot, 0, len(w.slots))
	for s := range w.slots {
		slots = append(slots, s)
	}
	return slots
}

const (
	watchEvery = 500 * time.Millisecond
	// grace is how long a carrier may take to return after its deadline.
	grace = 2 * time.Second
	// patience is how long a send takes before its worker is replaced while
	// messages wait. It is longer than the router takes to see that a route has
	// stalled, so that the new worker goes elsewhere.
	patience = 2500 * time.Millisecond
)

// watchSends replaces the workers of slow sends and reports hanging ones as
// unknown. At most as many workers are replaced as there should be; when that
// many more hang, all of them wait, and with them the queue.
func (l *Loop) watchSends(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := l.cfg.Now()
		slots := l.watch.list()
		spare := 2*l.cfg.Workers - len(slots)
		for _, s := range slots {
			p := s.overdue(now.Add(-grace))
			if p != nil {
				l.cfg.Log.ErrorContext(ctx, "delivery: a carrier ignores its deadline", "route", p.leg.Route, "message", p.m.ID.String())
				l.cfg.Metrics.Answered(p.leg.Route, now.Sub(p.leg.At))
				p.settle(carrier.Receipt{}, &carrier.Error{Class: carrier.Unknown, Reason: carrier.ReasonTimeout}, now)
				l.finish(p, now)
			}
			needed := p != nil || len(l.jobs) > 0
			if needed && spare > 0 && s.slow(now.Add(l.cfg.SendTimeout-patience)) {
				spare--
				go l.work(l.watch.add())
			}
		}
	}
}
