package sqlite_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// callers is how many operations are under way at once.
const callers = 48

// cpuTime is what this process has used of the processors, in both modes.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// parallel runs op b.N times from many callers and reports the processor time of
// each; wall time a call is mostly the wait for the disk.
func parallel(b *testing.B, s *sqlite.Store, op func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	before, stats := cpuTime(b), s.Stats()
	b.ResetTimer()
	b.StartTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := op(next.Add(1) - 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	after := s.Stats()
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(after.Operations-stats.Operations)/float64(after.Commits-stats.Commits), "ops/commit")
}

// limited is a send as the service makes it.
func limited(phone store.PhoneID) store.Start {
	in := send(phone)
	in.Message = store.NewMessageID() // in order of time, as the log's pages like it
	in.PhoneLimits = &store.PhoneLimits{
		Burst:    guard.Bucket{Burst: 3, Every: time.Minute},
		Day:      guard.Window{Max: 10, Period: 24 * time.Hour},
		Failures: guard.Window{Max: 15, Period: 24 * time.Hour},
	}
	in.Charges = []store.Charge{{Name: "client", OfClient: true, Key: "client", Bucket: guard.Bucket{Burst: 1 << 30, Every: time.Microsecond}}}
	return in
}

// variants are the settings whose price is worth knowing.
func variants(b *testing.B, run func(b *testing.B, s *sqlite.Store)) {
	b.Helper()
	for _, page := range []int{1024, 2048, 4096, 8192} {
		b.Run(fmt.Sprintf("page=%d", page), func(b *testing.B) {
			s, _ := newStore(b, sqlite.Config{PageSize: page})
			run(b, s)
		})
	}
	for _, mib := range []int{2, 64} {
		b.Run(fmt.Sprintf("cache=%dMiB", mib), func(b *testing.B) {
			s, _ := newStore(b, sqlite.Config{})
			if err := s.WriterPragma(fmt.Sprintf("PRAGMA cache_size = -%d", mib*1024)); err != nil {
				b.Fatal(err)
			}
			run(b, s)
		})
	}
}

func BenchmarkStart(b *testing.B) {
	variants(b, func(b *testing.B, s *sqlite.Store) {
		b.Helper()
		parallel(b, s, func(int64) error {
			_, err := s.StartChallenge(context.Background(), limited(random()))
			return err
		})
	})
}

func BenchmarkAttempt(b *testing.B) {
	variants(b, func(b *testing.B, s *sqlite.Store) {
		b.Helper()
		phones := make([]store.PhoneID, b.N)
		for i := range phones {
			phones[i] = random()
		}
		parallel(b, s, func(i int64) error {
			_, err := s.StartChallenge(context.Background(), limited(phones[i]))
			return err
		})
		parallel(b, s, func(i int64) error {
			in := attempt(phones[i], true)
			in.Failures = guard.Window{Max: 15, Period: 24 * time.Hour}
			_, err := s.Attempt(context.Background(), in)
			return err
		})
	})
}

// BenchmarkDelivery is the way of a message from the queue to its receipt, in
// the batches of a busy loop; each part for itself, a message.
func BenchmarkDelivery(b *testing.B) {
	const batch = 256
	s, _ := newStore(b, sqlite.Config{})
	parallel(b, s, func(int64) error {
		_, err := s.StartChallenge(context.Background(), limited(random()))
		return err
	})
	var claim, record, apply time.Duration
	part := func(sum *time.Duration, f func() error) {
		before := cpuTime(b)
		if err := f(); err != nil {
			b.Fatal(err)
		}
		*sum += cpuTime(b) - before
	}
	for {
		var claimed []store.Message
		part(&claim, func() (err error) {
			claimed, err = s.ClaimMessages(context.Background(), store.Claim{Now: now(), Lease: time.Minute, Limit: batch})
			return err
		})
		if len(claimed) == 0 {
			break
		}
		outcomes, receipts := delivered(claimed)
		part(&record, func() error {
			_, err := s.RecordOutcomes(context.Background(), now(), outcomes)
			return err
		})
		part(&apply, func() error {
			_, err := s.ApplyReceipts(context.Background(), now(), receipts)
			return err
		})
	}
	b.ReportMetric(0, "cpu-ns/op")
	b.ReportMetric(0, "ops/commit")
	for name, sum := range map[string]time.Duration{"claim": claim, "record": record, "apply": apply} {
		b.ReportMetric(float64(sum)/float64(b.N), name+"-cpu-ns/msg")
	}
}
