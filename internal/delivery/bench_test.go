package delivery_test

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"codeword/internal/carrier/inbox"
	"codeword/internal/delivery"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// endless is a queue that costs next to nothing: n messages, handed out as
// they are asked for.
type endless struct {
	left     atomic.Int64
	recorded atomic.Int64
	total    int64
	done     chan struct{}
}

func (e *endless) ClaimMessages(_ context.Context, c store.Claim) ([]store.Message, error) {
	n := min(int64(c.Limit), e.left.Load())
	out := make([]store.Message, n)
	for i := range out {
		out[i] = store.Message{
			Client: "client-test", Sealed: []byte{1}, Status: store.MessageQueued, Claims: 1,
			CreatedAt: c.Now, ExpiresAt: c.Now.Add(time.Minute),
		}
		binary.BigEndian.PutUint64(out[i].ID[:], uint64(e.left.Add(-1)))
	}
	return out, nil
}

func (e *endless) RecordOutcomes(_ context.Context, _ time.Time, outcomes []store.Outcome) (int, error) {
	if e.recorded.Add(int64(len(outcomes))) == e.total {
		close(e.done)
	}
	return len(outcomes), nil
}

func (e *endless) QueueStats(context.Context) (store.QueueStats, error) {
	return store.QueueStats{}, nil
}

// BenchmarkInbox tells what the loop itself costs per message: the store,
// unsealing and code derivation cost nothing here, the text is rendered.
func BenchmarkInbox(b *testing.B) {
	q := &endless{total: int64(b.N), done: make(chan struct{})}
	q.left.Store(q.total)
	cfg := config(b, q, inbox.Carrier{})
	to, err := phone.Parse("+16502530000")
	if err != nil {
		b.Fatal(err)
	}
	cfg.Open = func(store.Message) (phone.Number, error) { return to, nil }
	cfg.Workers, cfg.Batch = 0, 0
	loop, err := delivery.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	before := cpu(b)
	go func() { ended <- loop.Run(ctx) }()
	<-q.done
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWake(b *testing.B) {
	loop, err := delivery.New(config(b, &endless{}, inbox.Carrier{}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		loop.Wake()
	}
}

// cpu is what this process has used so far.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
