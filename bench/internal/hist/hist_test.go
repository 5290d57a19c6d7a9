package hist_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"codeword/bench/internal/hist"
)

func TestQuantileAgainstSortedReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	shapes := map[string]func() time.Duration{
		"tiny":        func() time.Duration { return time.Duration(random.IntN(300)) },
		"uniform":     func() time.Duration { return time.Duration(random.Int64N(int64(50 * time.Millisecond))) },
		"exponential": func() time.Duration { return time.Duration(random.ExpFloat64() * float64(3*time.Millisecond)) },
		"long tail":   func() time.Duration { return time.Duration(math.Exp(random.Float64() * 26)) },
		"constant":    func() time.Duration { return 1234567 },
	}
	for name, draw := range shapes {
		t.Run(name, func(t *testing.T) {
			h := hist.New()
			reference := make([]time.Duration, 20_001)
			for i := range reference {
				reference[i] = draw()
				h.Record(reference[i])
			}
			slices.Sort(reference)
			for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.99999, 1} {
				rank := max(int(math.Ceil(q*float64(len(reference)))), 1)
				want := reference[rank-1]
				got := h.Quantile(q)
				if got < want || float64(got-want) > float64(want)/128 {
					t.Errorf("Quantile(%v) = %d, sorted reference %d", q, got, want)
				}
			}
			if got, want := h.Max(), reference[len(reference)-1]; got != want {
				t.Errorf("Max() = %d, want %d", got, want)
			}
			if got := h.Count(); got != uint64(len(reference)) {
				t.Errorf("Count() = %d, want %d", got, len(reference))
			}
		})
	}
}

func TestEdges(t *testing.T) {
	t.Parallel()
	h := hist.New()
	if h.Quantile(0.5) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Error("an empty histogram must answer zeros")
	}
	h.Record(-time.Second)
	if got := h.Quantile(1); got != 0 {
		t.Errorf("a negative duration counts as %v, want 0", got)
	}
	h.Record(24 * time.Hour)
	if got := h.Max(); got != 24*time.Hour {
		t.Errorf("Max() = %v, want the exact 24h", got)
	}
	if got := h.Quantile(1); got < 18*time.Minute {
		t.Errorf("Quantile(1) = %v, want the top bucket", got)
	}
	if got := h.Quantile(-3); got != 0 {
		t.Errorf("Quantile(-3) = %v, want the least", got)
	}
}

func TestConcurrentRecordLosesNothing(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 5_000
	h := hist.New()
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				h.Record(time.Duration(w*each + i))
			}
		})
	}
	group.Wait()
	if got := h.Count(); got != workers*each {
		t.Errorf("Count() = %d, want %d", got, workers*each)
	}
	if got := h.Max(); got != workers*each-1 {
		t.Errorf("Max() = %d, want %d", got, workers*each-1)
	}
}
