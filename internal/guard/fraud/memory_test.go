package fraud_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"codeword/internal/guard/fraud"
)

// flood sends to n numbers never seen, 12,500 a second; each send is to a block that was
// hardly seen before.
func (b *bed) flood(n int, change ...func(*fraud.Send)) {
	for i := range n {
		b.send(2_000_000+uint32(i)*1_236_067%2_000_003, change...)
		if b.n%12_500 == 0 {
			b.pass(time.Second)
		}
	}
}

// TestMemory: what is kept of a send that nobody expected is small. It runs alone, since
// it looks at the heap.
func TestMemory(t *testing.T) { //nolint:paralleltest // see there
	const n = 100_000
	for _, tt := range []struct {
		name   string
		change func(*fraud.Send)
		most   uint64 // bytes a send
	}{
		{"numbers", func(*fraud.Send) {}, 230},
		{"numbers, addresses and devices", func(s *fraud.Send) {
			s.Device = s.Phone
			s.Address = netip.AddrFrom4([4]byte{10, byte(s.Phone >> 16), byte(s.Phone >> 8), byte(s.Phone)})
		}, 550},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := liveHeap()
			b := newBed(t, fraud.Config{})
			b.flood(n, tt.change)
			each := (liveHeap() - before) / n
			t.Logf("%d bytes a send, %d things held back", each, len(b.g.Holds(b.now)))
			if each > tt.most {
				t.Errorf("%d bytes a send; want at most %d", each, tt.most)
			}
			b.pass(2 * time.Hour)
			if left := (liveHeap() - before) / n; left > tt.most/4 {
				t.Errorf("two hours later it still takes %d bytes a send", left)
			}
			runtime.KeepAlive(b)
		})
	}
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what was freed while the first one ran
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
