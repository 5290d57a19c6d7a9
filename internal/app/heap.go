package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The heap of a quiet server is a few megabytes, and letting it grow to four times
// that before it is collected saves a few per cent of every request. What the fraud
// guard knows can be a hundred times as much, of which four times would be a gigabyte:
// such a heap grows by heapRoom, or to twice as much where that is more.
const (
	mostGrowth, leastGrowth = 300, 100 // in per cent, as GOGC
	heapRoom                = 64 << 20 // bytes
	heapEvery               = time.Second
)

// growthFor is by how many per cent the heap may grow with so many live bytes.
func growthFor(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1), leastGrowth), mostGrowth))
}

// boundHeap keeps the heap's growth in measure until ctx ends. It leaves alone what
// the operator has set.
func boundHeap(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	was := mostGrowth
	debug.SetGCPercent(was)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // as of the last collection
	repeat(ctx, heapEvery, func(context.Context) time.Duration {
		metrics.Read(live)
		// To set it stops the program for a moment: not for a few per cent.
		if growth := growthFor(live[0].Value.Uint64()); growth*10 < was*9 || growth*10 > was*11 {
			debug.SetGCPercent(growth)
			was = growth
		}
		return heapEvery
	})
	return nil
}
