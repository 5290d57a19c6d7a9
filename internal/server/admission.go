package server

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"codeword/api"
)

// gate bounds how many requests are worked on at a time. There is no queue
// before it: beyond the bound the answer is 503 at once, so that those who are
// in are served soon and memory stays flat.
type gate struct {
	max int64
	in  atomic.Int64
}

// enter takes a place; false if there is none.
func (g *gate) enter() bool {
	if g.in.Add(1) > g.max {
		g.in.Add(-1)
		return false
	}
	return true
}

// leave gives a place back.
func (g *gate) leave() { g.in.Add(-1) }

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
