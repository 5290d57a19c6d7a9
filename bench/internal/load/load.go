// Package load drives a server from many connections and counts what comes
// back. In the closed loop each connection sends its next request when the last
// was answered, which finds the capacity; in the open loop requests arrive at a
// fixed rate and latency counts from when each was due, so that a server that
// stalls cannot hide it by slowing the generator (coordinated omission).
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"codeword/bench/internal/hist"
	"codeword/bench/internal/wire"
)

const (
	grace       = 15 * time.Second       // for answers that are still out when a run's time is over
	redialDelay = 5 * time.Millisecond   // between attempts to reconnect
	maxRedials  = 200                    // in a row, then the connection is given up
	maxLag      = 500 * time.Millisecond // an arrival later than this was the generator's failure
)

// Workload renders requests. It is used by all connections at once.
type Workload interface {
	// Next appends the next request to dst. The id tells it apart in Config.Handle.
	// ok is false when there are no more.
	Next(dst []byte) (request []byte, id uint64, ok bool)
}

// Config says what to run.
type Config struct {
	Dial        func(context.Context) (net.Conn, error)
	Connections int
	Workload    Workload
	Duration    time.Duration // 0: until the workload is exhausted (closed loop only)
	Rate        int64         // arrivals a second; 0 is the closed loop
	// Handle, when set, sees every answer; the body is only valid during the call.
	// It is called concurrently, and an error ends the run.
	Handle func(id uint64, r wire.Response) error
}

// Stats is what a run found. It is to be read after Run returned.
type Stats struct {
	Elapsed time.Duration   // from the start to the last answer
	Latency *hist.Histogram // of 200s, in the open loop from when each was due
	Service *hist.Histogram // of 200s, from the write to the answer
	Refused *hist.Histogram // of 503s, from the write to the answer
	Lag     *hist.Histogram // open loop: how late each request was written
	Status  map[int]uint64  // answers by status
	Errors  uint64          // requests without an answer
	Unsent  uint64          // open loop: arrivals dropped because no connection was free in time
	Sample  string          // the first answer or error that was neither 200 nor 503
}

// Answered returns how many requests were answered, with whatever status.
func (s *Stats) Answered() uint64 {
	var n uint64
	for _, count := range s.Status {
		n += count
	}
	return n
}

// Run opens all connections, then loads the server until the duration is over,
// the workload is exhausted or ctx ends. It returns an error only when there is
// no result: unreachable server, canceled, or refused by Handle.
func Run(ctx context.Context, cfg Config) (*Stats, error) {
	if cfg.Connections < 1 || cfg.Workload == nil || cfg.Dial == nil {
		return nil, errors.New("load: connections, workload and dial are required")
	}
	if cfg.Rate < 0 || cfg.Rate > 0 && cfg.Duration <= 0 {
		return nil, errors.New("load: an open loop needs a positive rate and duration")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{cfg: cfg, cancel: cancel, stats: Stats{Latency: hist.New(), Service: hist.New(), Refused: hist.New(), Lag: hist.New()}}
	workers := make([]*worker, cfg.Connections)
	for i := range workers {
		workers[i] = &worker{run: r}
		defer workers[i].drop()
		if err := workers[i].dial(ctx); err != nil {
			return nil, fmt.Errorf("load: connection %d: %w", i+1, err)
		}
	}
	if cfg.Duration > 0 {
		hardStop := time.AfterFunc(cfg.Duration+grace, func() { cancel(errOverdue) })
		defer hardStop.Stop()
	}
	r.begin()
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() { w.loop(ctx) })
	}
	group.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errOverdue) {
		return nil, cause
	}
	return r.finish(), nil
}

// errOverdue ends a run in which answers never came; those count as Errors.
var errOverdue = errors.New("load: answers overdue")

// run is what the connections share.
type run struct {
	cfg      Config
	cancel   context.CancelCauseFunc
	start    time.Time
	end      time.Time // zero: none
	schedule Schedule
	arrivals int64
	arrival  atomic.Int64
	last     atomic.Int64 // when the last answer came, in ns after start
	status   [600]atomic.Uint64
	errors   atomic.Uint64
	unsent   atomic.Uint64
	sample   atomic.Pointer[string]
	stats    Stats
}

func (r *run) begin() {
	r.start = time.Now()
	if r.cfg.Duration > 0 {
		r.end = r.start.Add(r.cfg.Duration)
	}
	if r.cfg.Rate > 0 {
		r.schedule = Schedule{Start: r.start, Rate: r.cfg.Rate}
		r.arrivals = r.schedule.Arrivals(r.cfg.Duration)
	}
}

func (r *run) finish() *Stats {
	s := &r.stats
	s.Elapsed = time.Duration(r.last.Load())
	s.Status = map[int]uint64{}
	for code := range r.status {
		if n := r.status[code].Load(); n > 0 {
			s.Status[code] = n
		}
	}
	s.Errors, s.Unsent = r.errors.Load(), r.unsent.Load()
	if sample := r.sample.Load(); sample != nil {
		s.Sample = *sample
	}
	if r.cfg.Rate == 0 {
		s.Latency = s.Service
	}
	return s
}

// due returns when the caller may send its next request, and false when the run
// is over. In the closed loop that is at once.
func (r *run) due(now time.Time) (time.Time, bool) {
	if r.cfg.Rate == 0 {
		return now, r.end.IsZero() || now.Before(r.end)
	}
	n := r.arrival.Add(1) - 1
	return r.schedule.Due(n), n < r.arrivals
}

func (r *run) failed(err error) {
	r.errors.Add(1)
	text := err.Error()
	r.sample.CompareAndSwap(nil, &text)
}

func (r *run) answered(id uint64, resp wire.Response, due, sent, now time.Time) error {
	r.status[min(resp.Status, len(r.status)-1)].Add(1)
	switch resp.Status {
	case http.StatusOK:
		r.stats.Service.Record(now.Sub(sent))
		if r.cfg.Rate > 0 {
			r.stats.Latency.Record(now.Sub(due))
		}
	case http.StatusServiceUnavailable:
		r.stats.Refused.Record(now.Sub(sent))
	default:
		if r.sample.Load() == nil {
			text := fmt.Sprintf("%d %.300s", resp.Status, resp.Body)
			r.sample.CompareAndSwap(nil, &text)
		}
	}
	elapsed := int64(now.Sub(r.start))
	for {
		old := r.last.Load()
		if elapsed <= old || r.last.CompareAndSwap(old, elapsed) {
			break
		}
	}
	if r.cfg.Handle == nil {
		return nil
	}
	return r.cfg.Handle(id, resp)
}
