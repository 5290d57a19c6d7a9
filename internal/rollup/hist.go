package rollup

import (
	"math"
	"time"
)

const (
	// buckets of times; the last one has no end.
	buckets = 64
	// shortest is where the first one ends; each other ends a quarter of an octave
	// (19 %) later, the last but one after 1.6 hours.
	shortest  = 125 * time.Millisecond
	perOctave = 4
)

// Hist counts times, in buckets.
type Hist [buckets]int64

// bucket is where a time is counted. A clock that was set back makes it the first.
func bucket(d time.Duration) int {
	if d <= shortest {
		return 0
	}
	return min(buckets-1, int(math.Ceil(perOctave*math.Log2(float64(d)/float64(shortest)))))
}

// Bound is where a bucket ends.
func bound(bucket float64) time.Duration {
	return time.Duration(float64(shortest) * math.Exp2(bucket/perOctave))
}

// Add adds what another one has counted.
func (h *Hist) Add(o *Hist) {
	for i, n := range o {
		h[i] += n
	}
}

// Total is how many times were counted.
func (h *Hist) Total() (n int64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile is the time within which that share was, 0 to 1, to within the width of a
// bucket; false when none was counted. Beyond the last bucket it is where that begins.
func (h *Hist) Quantile(share float64) (time.Duration, bool) {
	total := h.Total()
	if total <= 0 {
		return 0, false
	}
	rank, below := share*float64(total), 0.0
	for i, n := range h {
		if n > 0 && below+float64(n) >= rank {
			if i == buckets-1 {
				return bound(buckets - 2), true
			}
			within := (rank - below) / float64(n)
			if i == 0 {
				return time.Duration(within * float64(shortest)), true
			}
			return bound(float64(i-1) + within), true
		}
		below += float64(n)
	}
	return bound(buckets - 2), true
}
