package guard

import (
	"encoding/binary"
	"time"
)

// Window is an exact limit over a sliding window: at most Max events in any
// Period. GCRA lets up to twice its burst through in one period, which is too
// many where the figure is a security promise ("15 guesses a day"). The zero
// Window limits nothing.
type Window struct {
	Max    int
	Period time.Duration
}

// stampSize is the width of one event in a log: Unix milliseconds, big endian.
const stampSize = 8

// Unlimited reports whether w limits nothing.
func (w Window) Unlimited() bool { return w.Max <= 0 || w.Period <= 0 }

// Admit says whether one more event at now fits, given the log of earlier
// ones. RetryAfter is when the oldest of the last Max events leaves the window.
func (w Window) Admit(now time.Time, log []byte) Decision {
	if w.Unlimited() {
		return Decision{Allowed: true}
	}
	live := w.live(now, log)
	n := len(live) / stampSize
	if n < w.Max {
		return Decision{Allowed: true}
	}
	blocking := stamp(live, n-w.Max)
	return Decision{RetryAfter: min(blocking.Add(w.Period).Sub(now), w.Period)}
}

// Record returns the log with an event at now appended and what has left the
// window dropped. It never grows past Max events and never aliases log.
func (w Window) Record(now time.Time, log []byte) []byte {
	if w.Unlimited() {
		return nil
	}
	live := w.live(now, log)
	if over := len(live)/stampSize + 1 - w.Max; over > 0 {
		live = live[over*stampSize:]
	}
	out := make([]byte, 0, len(live)+stampSize)
	out = append(out, live...)
	return binary.BigEndian.AppendUint64(out, uint64(now.UnixMilli()))
}

// live cuts the events that have left the window. Events are in order of
// arrival; a torn log (not a whole number of stamps) loses its tail.
func (w Window) live(now time.Time, log []byte) []byte {
	log = log[:len(log)-len(log)%stampSize]
	for len(log) > 0 && !stamp(log, 0).Add(w.Period).After(now) {
		log = log[stampSize:]
	}
	return log
}

func stamp(log []byte, i int) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(log[i*stampSize:])))
}
