package delivery

import (
	"context"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

// watch knows the workers and what each is sending, so that a carrier which
// ignores its context does not take the workers away one by one.
type watch struct {
	mu    sync.Mutex
	slots map[*slot]struct{}
}

// slot is what one worker is doing.
type slot struct {
	mu       sync.Mutex
	sending  bool
	reported bool // the watch has told the outcome of this send
	replaced bool // another worker was started in place of this one
	job      job
	outcome  store.Outcome
	deadline time.Time
}

// begin notes that a send begins, which should end by the deadline.
func (s *slot) begin(j job, out store.Outcome, deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending, s.job, s.outcome, s.deadline = true, j, out, deadline
}

// end notes that the send has returned.
func (s *slot) end() (reported, replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reported, replaced = s.reported, s.replaced
	s.sending, s.reported = false, false
	return reported, replaced
}

// overdue tells whether the send should have ended before now. It says so
// once per send; from then on the outcome is the caller's to report.
func (s *slot) overdue(now time.Time, replace bool) (job, store.Outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sending || s.reported || !s.deadline.Before(now) {
		return job{}, store.Outcome{}, false
	}
	s.reported, s.replaced = true, replace
	return s.job, s.outcome, true
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
	watchEvery = time.Second
	// grace is how long a carrier may take to return after its deadline.
	grace = 2 * time.Second
)

// watchSends reports hanging sends as unknown and replaces their workers. At
// most as many workers hang and are replaced as there should be; when that many
// more hang, all of them wait, and with them the queue.
func (l *Loop) watchSends(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		late := l.cfg.Now().Add(-grace)
		slots := l.watch.list()
		total := len(slots)
		for _, s := range slots {
			replace := total < 2*l.cfg.Workers
			j, out, ok := s.overdue(late, replace)
			if !ok {
				continue
			}
			l.cfg.Log.ErrorContext(ctx, "delivery: a carrier ignores its deadline",
				"route", out.Route, "message", j.m.ID.String(), "replaced", replace)
			out.Status, out.Error = store.MessageUnknown, carrier.ReasonTimeout
			l.finish(j, out, l.cfg.Now())
			if replace {
				total++
				go l.work(l.watch.add())
			}
		}
	}
}
