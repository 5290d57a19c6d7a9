package group_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/group"
)

// TestObserve: each operation tells how long it waited, each group how long it took.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var waited, committed []time.Duration
		note := func(to *[]time.Duration) func(time.Duration) {
			return func(d time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				*to = append(*to, d)
			}
		}
		q := group.New[int](group.Config{Engine: "test", Queue: 8, Max: 8, Observe: store.Observe{
			Now: time.Now, Waited: note(&waited), Committed: note(&committed),
		}})
		q.Start(func([]int, []error) { time.Sleep(10 * time.Millisecond) }, nil)
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := q.Do(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		q.Close()
		// The first goes alone; the others wait for it and go together.
		want := []time.Duration{0, 9 * time.Millisecond, 8 * time.Millisecond}
		if len(waited) != 3 || waited[0] != want[0] || waited[1] != want[1] || waited[2] != want[2] {
			t.Errorf("waited %v, want %v", waited, want)
		}
		if len(committed) != 2 || committed[0] != 10*time.Millisecond || committed[1] != 10*time.Millisecond {
			t.Errorf("committed %v", committed)
		}
	})
}

// BenchmarkDo tells what an operation costs apart from the engine.
func BenchmarkDo(b *testing.B) {
	for name, o := range map[string]store.Observe{
		"unobserved": {},
		"observed":   {Now: time.Now, Waited: func(time.Duration) {}, Committed: func(time.Duration) {}},
	} {
		b.Run(name, func(b *testing.B) {
			q := group.New[int](group.Config{Engine: "test", Queue: 1024, Max: 256, Observe: o})
			q.Start(func([]int, []error) {}, nil)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Do(b.Context(), 1); err != nil {
						b.Error(err)
					}
				}
			})
			q.Close()
		})
	}
}
