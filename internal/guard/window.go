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
	// Max is at most 128.
	Max    int
	Period time.Duration
}

// stampSize is the width of one event in a log: Unix milliseconds, big endian.
const stampSize = 8

// maxEvents is the largest Max that a Window can have.
const maxEvents = 128

// Unlimited reports whether w limits nothing.
func (w Window) Unlimited() bool { return w.Max <= 0 || w.Period <= 0 }

// Admit says whether one more event at now fits, given the log of earlier
// ones. RetryAfter is when the oldest of the last Max events leaves the window.
func (w Window) Admit(now time.Time, log []byte) Decision {
	if w.Unlimited() {
		return Decision{Allowed: true}
	}
	var space [maxEvents]int64
	live := w.live(now, log, space[:])
	if len(live) < w.Max {
		return Decision{Allowed: true}
	}
	blocking := time.UnixMilli(live[len(live)-w.Max])
	return Decision{RetryAfter: min(blocking.Add(w.Period).Sub(now), w.Period)}
}

// Record returns the log with an event at now appended and what has left the
// window dropped. It never grows past Max events and never aliases log.
func (w Window) Record(now time.Time, log []byte) []byte {
	if w.Unlimited() {
		return nil
	}
	var space [maxEvents]int64
	live := w.live(now, log, space[:])
	if over := len(live) + 1 - w.Max; over > 0 {
		live = live[over:]
	}
	out := make([]byte, 0, (len(live)+1)*stampSize)
	for _, at := range live {
		out = binary.BigEndian.AppendUint64(out, uint64(at))
	}
	return binary.BigEndian.AppendUint64(out, uint64(now.UnixMilli()))
}

// live decodes into space the events that are still in the window. Events stand
// in order of arrival. One from the future was written by a clock that has been
// set back since; it counts as now, and none before it as later, so that nobody
// is locked out longer than Period. A torn log (not a whole number of stamps)
// loses its tail.
func (w Window) live(now time.Time, log []byte, space []int64) []int64 {
	n := min(len(log)/stampSize, len(space))
	log = log[(len(log)/stampSize-n)*stampSize:]
	latest, oldest := now.UnixMilli(), now.Add(-w.Period).UnixMilli()
	live := space[:n]
	first := n
	for i := n - 1; i >= 0; i-- {
		at := int64(binary.BigEndian.Uint64(log[i*stampSize:]))
		latest = min(latest, at)
		if latest <= oldest {
			break
		}
		live[i], first = latest, i
	}
	return live[first:]
}
