// Package hist counts durations in log-linear buckets, so that millions of
// latencies cost a few kilobytes and any percentile is known to within 0.8 %.
package hist

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits = 7 // 128 buckets to each power of two: an error of at most 1/128
	topBits = 40
	limit   = 1<<topBits - 1 // about 18 minutes; anything longer counts as this
	buckets = (topBits-subBits-1)<<subBits + 2<<subBits
)

// Histogram counts durations with nanosecond input and 0.8 % resolution. It is
// safe for concurrent use; quantiles read while others record are approximate.
// The zero value is not usable, see New.
type Histogram struct {
	counts []atomic.Uint64
	total  atomic.Uint64
	max    atomic.Int64
}

// New returns an empty histogram of about 35 KiB.
func New() *Histogram {
	return &Histogram{counts: make([]atomic.Uint64, buckets)}
}

// Record counts one duration. Negative ones, which a clock that was set back
// can produce, count as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(min(d, limit)))].Add(1)
	h.total.Add(1)
	for {
		old := h.max.Load()
		if int64(d) <= old || h.max.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total.Load() }

// Max returns the longest duration recorded, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max.Load()) }

// Quantile returns the smallest bucket bound that at least the fraction q of
// all durations do not exceed: Quantile(0.99) is the p99 by nearest rank. It is
// never under the true value, at most 0.8 % over it, and 0 for an empty
// histogram. q is clamped to [0, 1].
func (h *Histogram) Quantile(q float64) time.Duration {
	total := h.total.Load()
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(min(max(q, 0), 1) * float64(total)))
	rank = min(max(rank, 1), total)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return min(time.Duration(upper(i)), h.Max())
		}
	}
	return h.Max()
}

// bucket maps a value to its index: values under 2^(subBits+1) have a bucket
// each, larger ones share it with all that have the same leading bits.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value that falls in bucket i.
func upper(i int) uint64 {
	shift := max(i>>subBits-1, 0)
	mantissa := uint64(i - shift<<subBits)
	return (mantissa+1)<<shift - 1
}
