package redis_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// BenchmarkVerification is a send with all its limits and the right guess, by callers
// at once. It tells the server's part of the processor time, too.
func BenchmarkVerification(b *testing.B) {
	server := redistest.Single(b)
	s := open(b, redis.Config{URL: server.URL(), Ledger: withClient(b)})
	day := guard.Window{Max: 10, Period: 24 * time.Hour}
	limits := &store.PhoneLimits{Burst: guard.Bucket{Burst: 3, Every: time.Minute}, Day: day, Failures: day}
	charges := []store.Charge{
		{Name: "client", OfClient: true, Key: "client", Bucket: guard.Bucket{Burst: 1 << 20, Every: time.Millisecond}},
		{Name: "address", Key: "address", Bucket: guard.Bucket{Burst: 1 << 20, Every: time.Millisecond}},
	}
	const callers = 64
	run := func(name string, n int, f func(i int)) {
		before, began := server.CPU(), time.Now()
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for i := c; i < n; i += callers {
					f(i)
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64((server.CPU()-before).Microseconds())/float64(n), name+"-server-µs/op")
		b.ReportMetric(float64(time.Since(began).Microseconds())/float64(n), name+"-µs/op")
	}
	phones, codes := make([]store.PhoneID, b.N), make([]store.ChallengeID, b.N)
	for i := range phones {
		phones[i] = random()
	}
	run("send", b.N, func(i int) {
		in := sendTo(phones[i], moment(0))
		in.PhoneLimits, in.Charges = limits, charges
		in.Idempotency = &store.Idempotency{Key: [32]byte(append(phones[i][:], phones[i][:]...)), ExpiresAt: moment(24 * time.Hour)}
		out, err := s.StartChallenge(context.Background(), in)
		if err != nil {
			b.Error(err)
		}
		codes[i] = out.Challenge.ID
	})
	sessions := make([]store.SessionID, b.N)
	run("attempt", b.N, func(i int) {
		in := guessAt(phones[i], moment(0), codes[i])
		in.Failures = day
		out, err := s.Attempt(context.Background(), in)
		if err != nil {
			b.Error(err)
		}
		sessions[i] = out.ID
	})
	run("session", b.N, func(i int) {
		if _, err := s.Session(context.Background(), moment(0), sessions[i]); err != nil {
			b.Error(err)
		}
	})
}
