package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What a collection costs is to look through what has pointers, and the more the heap
// grows before the next one, the fewer there are: room for three times what has pointers
// saves a few per cent of every request of a quiet server, whose heap is a few megabytes.
// What has none costs next to nothing, and needs no room: so most of what the fraud
// guard knows, which can be a hundred times as much. Where there is much with pointers
// the room is heapRoom, or as much as they are.
const (
	mostGrowth, leastGrowth = 300, 5   // in per cent, as GOGC
	heapRoom                = 32 << 20 // bytes
	heapEvery               = time.Second
)

// growthFor is by how many per cent the heap may grow with so many live bytes. Pointers
// is how many bytes have to be looked through; the runtime counts those in that were
// allocated since the last collection, so that there is rather too much room.
func growthFor(live, pointers uint64) int {
	pointers = min(pointers, live)
	room := min(pointers*mostGrowth/100, max(heapRoom, pointers))
	if live == 0 {
		return mostGrowth
	}
	return max(int(room*100/live), leastGrowth)
}

// boundHeap keeps the heap's growth in measure until ctx ends. It leaves alone what
// the operator has set.
func boundHeap(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	was := mostGrowth
	debug.SetGCPercent(was)
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}} // as of the last collection
	repeat(ctx, heapEvery, func(context.Context) time.Duration {
		metrics.Read(heap)
		// To set it stops the program for a moment: not for a few per cent.
		if growth := growthFor(heap[0].Value.Uint64(), heap[1].Value.Uint64()); growth*10 < was*9 || growth*10 > was*11 {
			debug.SetGCPercent(growth)
			was = growth
		}
		return heapEvery
	})
	return nil
}
