package load_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/bench/internal/load"
	"codeword/bench/internal/wire"
)

func TestScheduleNeverDrifts(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	for _, rate := range []int64{1, 3, 7, 1000, 45_001, 1_000_000} {
		s := load.Schedule{Start: start, Rate: rate}
		for _, n := range []int64{0, 1, rate - 1, rate, rate + 1, 1000 * rate, 1_000_000*rate + 1} {
			want := start.Add(time.Duration(n/rate) * time.Second)
			got := s.Due(n)
			if n%rate == 0 && !got.Equal(want) {
				t.Errorf("rate %d: arrival %d is due at %v, want %v", rate, n, got, want)
			}
			if got.Before(want) || got.Sub(want) >= time.Second {
				t.Errorf("rate %d: arrival %d is due %v after its second began", rate, n, got.Sub(want))
			}
			if n > 0 && s.Due(n).Before(s.Due(n-1)) {
				t.Errorf("rate %d: arrival %d is due before the one ahead of it", rate, n)
			}
		}
		for _, d := range []time.Duration{0, time.Nanosecond, 333 * time.Millisecond, time.Second, time.Hour} {
			n := s.Arrivals(d)
			if n > 0 && !s.Due(n-1).Before(start.Add(d)) {
				t.Errorf("rate %d: the last of %d arrivals in %v is due later", rate, n, d)
			}
			if s.Due(n).Before(start.Add(d).Add(-time.Nanosecond)) {
				t.Errorf("rate %d: %d arrivals in %v leave one out", rate, n, d)
			}
		}
	}
}

// counter renders bare requests, at most limit of them when that is not 0.
type counter struct {
	template *wire.Template
	limit    uint64
	next     atomic.Uint64
}

func newCounter(t *testing.T, limit uint64) *counter {
	t.Helper()
	template, err := wire.NewTemplate("h:1", "/")
	if err != nil {
		t.Fatal(err)
	}
	return &counter{template: template, limit: limit}
}

func (c *counter) Next(dst []byte) ([]byte, uint64, bool) {
	id := c.next.Add(1) - 1
	if c.limit > 0 && id >= c.limit {
		return nil, 0, false
	}
	return c.template.Append(dst, "{}"), id, true
}

// answer is what a fake server does with request n of all it got.
type answer func(n int64) (delay time.Duration, response string)

// pipes dials in-memory connections to a server, so that a synctest bubble can
// run its clock.
func pipes(t *testing.T, do answer) func(context.Context) (net.Conn, error) {
	t.Helper()
	var count atomic.Int64
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for in := bufio.NewReader(server); ; {
				request, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				delay, response := do(count.Add(1) - 1)
				time.Sleep(delay)
				if _, err := io.WriteString(server, response); err != nil || response == "" {
					return
				}
			}
		}()
		return client, nil
	}
}

func status(code int) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}", code)
}

// between fails unless got is at least low and at most 1 % over high.
func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high+high/100 {
		t.Errorf("%s = %v, want %v to %v", what, got, low, high)
	}
}

func TestClosedLoopWaitsForEachAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stats, err := load.Run(t.Context(), load.Config{
			Dial:        pipes(t, func(int64) (time.Duration, string) { return 10 * time.Millisecond, status(200) }),
			Connections: 4, Workload: newCounter(t, 0), Duration: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		if stats.Status[200] != 400 || stats.Answered() != 400 || stats.Errors != 0 || stats.Elapsed != time.Second {
			t.Errorf("stats %+v, want 400 answers in 1 s", stats)
		}
		between(t, "p50", stats.Latency.Quantile(0.5), 10*time.Millisecond, 10*time.Millisecond)
	})
}

func TestOpenLoopShowsAStallThatTheClosedLoopHides(t *testing.T) {
	t.Parallel()
	stall := func(n int64) (time.Duration, string) {
		if n == 10 {
			return 200 * time.Millisecond, status(200)
		}
		return time.Millisecond, status(200)
	}
	synctest.Test(t, func(t *testing.T) {
		stats, err := load.Run(t.Context(), load.Config{
			Dial: pipes(t, stall), Connections: 1, Workload: newCounter(t, 0), Duration: time.Second, Rate: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		if stats.Status[200] != 100 || stats.Unsent != 0 {
			t.Fatalf("status %v, unsent %d; want all 100 arrivals", stats.Status, stats.Unsent)
		}
		between(t, "max", stats.Latency.Max(), 200*time.Millisecond, 200*time.Millisecond)
		// About 22 arrivals were held up: the wait shrinks by 9 ms with each.
		between(t, "p90", stats.Latency.Quantile(0.90), 100*time.Millisecond, 130*time.Millisecond)
		between(t, "service p90", stats.Service.Quantile(0.90), time.Millisecond, time.Millisecond)
		between(t, "lag max", stats.Lag.Max(), 185*time.Millisecond, 195*time.Millisecond)
	})
}

func TestOpenLoopKeepsItsRateWithFreeConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stats, err := load.Run(t.Context(), load.Config{
			Dial:        pipes(t, func(int64) (time.Duration, string) { return 50 * time.Millisecond, status(200) }),
			Connections: 60, Workload: newCounter(t, 0), Duration: 2 * time.Second, Rate: 1000,
		})
		if err != nil {
			t.Fatal(err)
		}
		if stats.Status[200] != 2000 || stats.Lag.Max() != 0 {
			t.Errorf("status %v, lag %v; want 2000 on time", stats.Status, stats.Lag.Max())
		}
		between(t, "max", stats.Latency.Max(), 50*time.Millisecond, 50*time.Millisecond)
	})
}

func TestOpenLoopDropsWhatItCannotSendInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stats, err := load.Run(t.Context(), load.Config{
			Dial:        pipes(t, func(int64) (time.Duration, string) { return 100 * time.Millisecond, status(200) }),
			Connections: 1, Workload: newCounter(t, 0), Duration: 5 * time.Second, Rate: 100,
		})
		if err != nil {
			t.Fatal(err)
		}
		if stats.Unsent < 400 || stats.Unsent+stats.Answered() != 500 {
			t.Errorf("%d unsent and %d answered, want 500 together and most unsent", stats.Unsent, stats.Answered())
		}
		between(t, "lag max", stats.Lag.Max(), 400*time.Millisecond, 500*time.Millisecond)
	})
}

func TestRefusalsAndErrorsAreCountedApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stats, err := load.Run(t.Context(), load.Config{
			Dial: pipes(t, func(n int64) (time.Duration, string) {
				switch n % 5 {
				case 1:
					return time.Millisecond, status(503)
				case 2:
					return 0, "" // hang up
				case 3:
					return 0, status(401)
				case 4:
					return 0, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
				}
				return 20 * time.Millisecond, status(200)
			}),
			Connections: 1, Workload: newCounter(t, 50),
		})
		if err != nil {
			t.Fatal(err)
		}
		if stats.Status[200] != 20 || stats.Status[503] != 10 || stats.Status[401] != 10 || stats.Errors != 10 {
			t.Errorf("status %v, errors %d", stats.Status, stats.Errors)
		}
		if stats.Refused.Count() != 10 || stats.Latency.Count() != 20 {
			t.Errorf("%d refused and %d latencies", stats.Refused.Count(), stats.Latency.Count())
		}
		between(t, "refused max", stats.Refused.Max(), time.Millisecond, time.Millisecond)
		if stats.Sample == "" {
			t.Error("no sample of what went wrong")
		}
	})
}

func TestHandleSeesEveryIDAndCanEndTheRun(t *testing.T) {
	t.Parallel()
	dial := pipes(t, func(int64) (time.Duration, string) { return 0, status(200) })
	var mu sync.Mutex
	seen := map[uint64]bool{}
	_, err := load.Run(t.Context(), load.Config{
		Dial: dial, Connections: 3, Workload: newCounter(t, 100),
		Handle: func(id uint64, r wire.Response) error {
			mu.Lock()
			defer mu.Unlock()
			seen[id] = string(r.Body) == "{}"
			return nil
		},
	})
	if err != nil || len(seen) != 100 {
		t.Errorf("%d ids seen, %v; want 100", len(seen), err)
	}
	stop := errors.New("enough")
	_, err = load.Run(t.Context(), load.Config{
		Dial: dial, Connections: 3, Workload: newCounter(t, 0), Duration: time.Minute,
		Handle: func(uint64, wire.Response) error { return stop },
	})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want the one of Handle", err)
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	never := func(int64) (time.Duration, string) { return time.Minute, "" }
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		stats, err := load.Run(t.Context(), load.Config{
			Dial: pipes(t, never), Connections: 2, Workload: newCounter(t, 0), Duration: time.Second,
		})
		if err != nil || stats.Errors != 2 || stats.Answered() != 0 {
			t.Errorf("a server that never answers: %+v, %v", stats, err)
		}
		if waited := time.Since(start); waited > time.Minute {
			t.Errorf("it took %v", waited)
		}
		time.Sleep(time.Minute) // in the bubble's time: the fake server ends too
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		for _, rate := range []int64{0, 1} {
			_, err := load.Run(ctx, load.Config{
				Dial: pipes(t, never), Connections: 2, Workload: newCounter(t, 0), Duration: time.Hour, Rate: rate,
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("rate %d, canceled: %v", rate, err)
			}
		}
		time.Sleep(time.Minute)
	})
}

func TestRunRefusesNonsense(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	good := load.Config{
		Dial:        func(context.Context) (net.Conn, error) { return nil, refused },
		Connections: 1, Workload: newCounter(t, 1), Duration: time.Second,
	}
	if _, err := load.Run(t.Context(), good); !errors.Is(err, refused) {
		t.Errorf("unreachable server: %v", err)
	}
	for name, change := range map[string]func(*load.Config){
		"no connections":         func(c *load.Config) { c.Connections = 0 },
		"no workload":            func(c *load.Config) { c.Workload = nil },
		"no dial":                func(c *load.Config) { c.Dial = nil },
		"negative rate":          func(c *load.Config) { c.Rate = -1 },
		"open loop without time": func(c *load.Config) { c.Rate, c.Duration = 5, 0 },
	} {
		cfg := good
		change(&cfg)
		if _, err := load.Run(t.Context(), cfg); err == nil || errors.Is(err, refused) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
