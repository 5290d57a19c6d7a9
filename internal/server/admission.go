package server

import (
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"codeword/api"
)

// gate bounds how many requests are worked on at a time. There is no queue
// before it: beyond the bound the answer is 503 at once, so that those who are
// in are served soon and memory stays flat.
//
// The bound is wide for a burst, which is over soon, and narrow under overload:
// places that are always taken are a queue, and make everybody inside late
// without serving anybody more (as in CoDel, RFC 8289 section 3.2, what tells
// the two apart is the least that was there all along, not the most).
type gate struct {
	max int64
	in  atomic.Int64

	narrow  atomic.Bool
	refused atomic.Bool  // in this round
	least   atomic.Int64 // in flight at a departure of this round
	left    atomic.Int64
	began   atomic.Int64 // the round, Unix nanoseconds
}

const (
	// round is after how many departures the gate judges how it is doing.
	round = 256
	// tolerable is how long a request may wait for those that were always in
	// flight before it.
	tolerable = 10 * time.Millisecond
	// The narrow bound, enough to keep the processors busy and commits large.
	narrowPerCPU, narrowLeast = 32, 64
)

// enter takes a place; false if there is none.
func (g *gate) enter() bool {
	if g.in.Add(1) > g.bound() {
		g.in.Add(-1)
		g.refused.Store(true)
		return false
	}
	return true
}

func (g *gate) bound() int64 {
	if !g.narrow.Load() {
		return g.max
	}
	return min(g.max, max(narrowLeast, narrowPerCPU*int64(runtime.GOMAXPROCS(0))))
}

// leave gives a place back.
func (g *gate) leave() {
	in := g.in.Add(-1)
	for least := g.least.Load(); in < least && !g.least.CompareAndSwap(least, in); {
		least = g.least.Load()
	}
	if g.left.Add(1)%round == 0 {
		g.review(time.Now())
	}
}

// review ends a round. The bound becomes narrow when requests stood in each
// other's way all through it, and wide again after a round without a refusal.
func (g *gate) review(now time.Time) {
	took := now.UnixNano() - g.began.Swap(now.UnixNano())
	least := min(g.least.Swap(math.MaxInt64), g.max) // two reviews may overlap
	refused := g.refused.Swap(false)
	switch {
	case time.Duration(least*(took/round)) > tolerable:
		g.narrow.Store(true)
	case !refused:
		g.narrow.Store(false)
	}
}

// errOverload is the answer of a full gate. It is shared and never changed.
var errOverload = &problem{status: http.StatusServiceUnavailable, code: api.CodeUnavailable, retryAfter: 1}

// isVital names the paths that are served under overload, so that a busy
// process is not taken for a dead one.
func isVital(path string) bool { return path == api.PathHealth || path == api.PathReady }

// shedLog writes at most one line a second about refused requests: a line each
// would make the overload worse.
type shedLog struct {
	count atomic.Int64
	last  atomic.Int64 // Unix seconds
}

func (l *shedLog) note(log *slog.Logger, now time.Time) {
	l.count.Add(1)
	last, second := l.last.Load(), now.Unix()
	if last == second || !l.last.CompareAndSwap(last, second) {
		return
	}
	log.Warn("overload: requests refused with 503", "count", l.count.Swap(0))
}
