package routing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/routing"
)

// TestBreaker: what opens a breaker, and what does not.
func TestBreaker(t *testing.T) {
	throttled := because(carrier.ReasonThrottled)
	throttled.RetryAfter = time.Nanosecond
	tests := []struct {
		name    string
		failure func(i int) *carrier.Error
		open    bool
	}{
		{"no connection", func(int) *carrier.Error { return down() }, true},
		{"unknown outcomes", func(int) *carrier.Error { return because(carrier.ReasonTimeout) }, true},
		{"half of them", func(i int) *carrier.Error { return []*carrier.Error{nil, down()}[i%2] }, true},
		{"a quarter of them", func(i int) *carrier.Error { return []*carrier.Error{nil, nil, down(), nil}[i%4] }, false},
		{"rejected", func(int) *carrier.Error { return because(carrier.ReasonInvalidNumber) }, false},
		{"opted out", func(int) *carrier.Error { return because(carrier.ReasonOptedOut) }, false},
		{"misconfigured", func(int) *carrier.Error { return because(carrier.ReasonMisconfigured) }, false},
		{"phones that are off", func(int) *carrier.Error { return because(carrier.ReasonUnreachable) }, false},
		{"filtered", func(int) *carrier.Error { return because(carrier.ReasonFiltered) }, false},
		{"our own impatience", func(int) *carrier.Error { return because(carrier.ReasonCanceled) }, false},
		{"throttled", func(int) *carrier.Error { return throttled }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, nil, via("main", 0))
				for i := range 40 {
					p := b.plan(b.message())
					leg, err := p.Next(context.Background(), time.Now())
					if err != nil {
						break
					}
					p.Done(leg, tt.failure(i))
					<-time.After(time.Millisecond)
				}
				if s := b.status("main"); (s.Breaker == "open") != tt.open {
					t.Errorf("the breaker is %s; %v", s.Breaker, s.Failures)
				}
			})
		})
	}
}

// TestBreakerCountsWhatHung: sends that took as long as its window count.
func TestBreakerCountsWhatHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		for range 5 {
			p := b.plan(b.message())
			leg := b.next(p)
			time.AfterFunc(12*time.Second, func() { p.Done(leg, because(carrier.ReasonTimeout)) })
		}
		<-time.After(13 * time.Second)
		if s := b.status("main"); s.Breaker != "open" || s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestBreakerHalfOpen: of many workers only a few probe, and what they find
// counts.
func TestBreakerHalfOpen(t *testing.T) {
	for _, recovered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, nil, via("main", 0))
			opened := time.Now()
			for range 5 {
				b.one(down())
			}
			if w := b.wait(); !w.Down || w.At.Sub(opened) != 5*time.Second {
				t.Errorf("down %v for %v, want down for 5 s", w.Down, w.At.Sub(opened))
			}
			<-time.After(5*time.Second + time.Millisecond)
			var probes, waits atomic.Int32
			for range 256 {
				p := b.plan(b.message())
				go func() {
					leg, err := p.Next(context.Background(), time.Now())
					if err != nil {
						var w *routing.Wait
						if errors.As(err, &w) && w.Down && w.At.After(time.Now()) {
							waits.Add(1)
						}
						return
					}
					probes.Add(1)
					<-time.After(100 * time.Millisecond)
					if recovered {
						p.Done(leg, nil)
					} else {
						p.Done(leg, down())
					}
				}()
			}
			<-time.After(time.Second)
			synctest.Wait()
			if probes.Load() != 3 || waits.Load() != 253 {
				t.Errorf("%d probes and %d that wait, want 3 and 253", probes.Load(), waits.Load())
			}
			want := map[bool]string{true: "closed", false: "open"}[recovered]
			if s := b.status("main"); s.Breaker != want {
				t.Errorf("the breaker is %s, want %s", s.Breaker, want)
			}
		})
	}
}

// TestLateAnswers: answers from before the breaker opened do not count as
// those of probes.
func TestLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		var late []func(*carrier.Error)
		for range 4 {
			p := b.plan(b.message())
			leg := b.next(p)
			late = append(late, func(err *carrier.Error) { p.Done(leg, err) })
		}
		for range 5 {
			b.one(down())
		}
		<-time.After(5*time.Second + time.Millisecond)
		for _, done := range late {
			done(nil)
		}
		if s := b.status("main"); s.Breaker != "half-open" {
			t.Errorf("late answers made the breaker %s", s.Breaker)
		}
		for range 3 {
			b.one(nil)
		}
		if s := b.status("main"); s.Breaker != "closed" {
			t.Errorf("three probes made the breaker %s", s.Breaker)
		}
	})
}

// TestStalled: a route that answers nothing gets no more before its messages
// have timed out, and comes back with its first answer.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		p := b.plan(b.message())
		leg := b.next(p)
		for range 4 {
			b.next(b.plan(b.message()))
		}
		<-time.After(2 * time.Second)
		if route := b.one(nil); route != "main" {
			t.Errorf("after two seconds %q", route)
		}
		<-time.After(2*time.Second + time.Millisecond)
		second := b.plan(b.message())
		if leg := b.next(second); leg.Route != "backup" || leg.Decision != "main=stalled backup=chosen" {
			t.Errorf("then %q: %s", leg.Route, leg.Decision)
		}
		p.Done(leg, nil)
		if route := b.one(nil); route != "main" {
			t.Errorf("after an answer %q", route)
		}
	})
}

// TestRefusalsAreNoAnswers: what fails without an answer of the carrier says
// nothing about how fast it answers.
func TestRefusalsAreNoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		var done []func(*carrier.Error)
		hand := func(n int) {
			for range n {
				p := b.plan(b.message())
				leg := b.next(p)
				done = append(done, func(err *carrier.Error) { p.Done(leg, err) })
			}
		}
		hand(100)
		<-time.After(5 * time.Second)
		for i, f := range done { // the window times out, and the rest never had a connection
			if i < 10 {
				f(because(carrier.ReasonTimeout))
			} else {
				f(down())
			}
		}
		done = nil
		<-time.After(6 * time.Second)
		for range 3 {
			if r := b.one(nil); r != "main" {
				t.Fatalf("the probe took %q", r)
			}
		}
		hand(10)
		<-time.After(2*time.Second + time.Millisecond)
		if !b.status("main").Stalled {
			t.Error("not stalled after two seconds without an answer")
		}
	})
}

// TestSlowIsNotStalled: a route that always takes long is used all the same.
func TestSlowIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		for range 100 {
			var wait *routing.Wait
			p := b.plan(b.message())
			leg, err := p.Next(context.Background(), time.Now())
			if errors.As(err, &wait) {
				<-time.After(time.Until(wait.At))
				continue
			}
			time.AfterFunc(8*time.Second, func() { p.Done(leg, nil) })
		}
		<-time.After(20 * time.Second)
		for range 20 {
			p := b.plan(b.message())
			leg := b.next(p)
			time.AfterFunc(8*time.Second, func() { p.Done(leg, nil) })
		}
		<-time.After(7 * time.Second)
		if b.status("main").Stalled {
			t.Error("stalled although it was never faster")
		}
		<-time.After(2 * time.Second)
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		throttle := func(after time.Duration) time.Duration {
			t.Helper()
			err := because(carrier.ReasonThrottled)
			err.RetryAfter = after
			if route := b.one(err); route != "main" {
				t.Fatalf("%q was throttled", route)
			}
			return time.Until(b.status("main").PausedUntil)
		}
		last := time.Duration(0)
		for range 4 { // 1, 2, 4, 8 s and up to a quarter more
			d := throttle(0)
			if d < time.Second || d < last*3/2 || d > last*5/2+1250*time.Millisecond {
				t.Errorf("a pause of %v after one of %v", d, last)
			}
			if last = d; d > routing.MaxTurn {
				if w := b.wait(); w.Down || time.Until(w.At) < d {
					t.Errorf("for %v others wait for %v", d, time.Until(w.At))
				}
			}
			<-time.After(d)
		}
		if d := throttle(7 * time.Second); d != 7*time.Second {
			t.Errorf("asked for 7s it pauses for %v", d)
		}
		<-time.After(7 * time.Second)
		if d := throttle(1000 * time.Hour); d != time.Minute {
			t.Errorf("asked for 1000h it pauses for %v", d)
		}
		<-time.After(time.Minute)
		b.one(nil)
		if d := throttle(0); d > 1250*time.Millisecond {
			t.Errorf("after a success it pauses for %v", d)
		}
		<-time.After(time.Second)
		// The rest of the pause is shorter than what a message waits for.
		if route := b.one(nil); route != "main" {
			t.Errorf("%q was used while main was paused", route)
		}
	})
}

// TestThrottledMessage: the message that was refused goes to the next route at
// once, and with no other one back to the same.
func TestThrottledMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		p := b.plan(b.message())
		p.Done(b.next(p), because(carrier.ReasonThrottled))
		leg := b.next(p)
		if leg.Route != "backup" {
			t.Errorf("it went to %q", leg.Route)
		}
		p.Done(leg, down())
		_, err := p.Next(context.Background(), time.Now())
		var w *routing.Wait
		if !errors.As(err, &w) || w.Down || time.Until(w.At) < time.Second {
			t.Errorf("then %v", err)
		}
	})
}

// TestThrottledTogether: many that were refused at once are one strike.
func TestThrottledTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		var done []func()
		for range 100 {
			p := b.plan(b.message())
			leg := b.next(p)
			done = append(done, func() { p.Done(leg, because(carrier.ReasonThrottled)) })
		}
		for _, f := range done {
			f()
		}
		if d := time.Until(b.status("main").PausedUntil); d > 1250*time.Millisecond {
			t.Errorf("paused for %v", d)
		}
	})
}

// TestMisconfigured: an operator hears of it, and not a thousand times.
func TestMisconfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var metric int
		b := newBench(t, func(cfg *routing.Config) {
			cfg.Log = slog.New(slog.NewTextHandler(&out, nil))
			cfg.Metrics.Misconfigured = func(route, reason string) {
				if route != "main" || reason != carrier.ReasonFunds && reason != carrier.ReasonMisconfigured {
					t.Errorf("metric of %s, %s", route, reason)
				}
				metric++
			}
		}, via("main", 0))
		for range 100 {
			b.one(because(carrier.ReasonFunds))
			<-time.After(time.Second)
		}
		b.one(because(carrier.ReasonMisconfigured))
		if n := strings.Count(out.String(), "level=ERROR"); n != 3 || metric != 101 {
			t.Errorf("%d errors were logged and %d counted, want 3 and 101:\n%s", n, metric, out.String())
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failed, states []string
		b := newBench(t, func(cfg *routing.Config) {
			cfg.Metrics.Failed = func(route, reason string) { failed = append(failed, route+" "+reason) }
			cfg.Metrics.Breaker = func(route, state string) { states = append(states, route+" "+state) }
		}, via("main", 0))
		for range 5 {
			b.one(down())
		}
		<-time.After(5*time.Second + time.Millisecond)
		for range 3 {
			b.one(nil)
		}
		if got := strings.Join(states, ", "); got != "main open, main half-open, main closed" {
			t.Errorf("breaker: %s", got)
		}
		if len(failed) != 5 || failed[0] != "main unavailable" {
			t.Errorf("failed: %q", failed)
		}
		if s := b.status("main"); s.Sent != 3 || s.Failures[carrier.ReasonUnavailable] != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// TestReasonsAreBounded: a carrier that makes up reasons does not make time
// series and memory grow without end.
func TestReasonsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(map[string]int)
		b := newBench(t, func(cfg *routing.Config) {
			cfg.Metrics.Failed = func(_, reason string) { told[reason]++ }
		}, via("main", 0))
		for i := range 1000 {
			b.one(&carrier.Error{Class: carrier.Rejected, Reason: fmt.Sprintf("own_%d", i)})
			b.one(&carrier.Error{Class: carrier.Rejected, Reason: "own_0"})
		}
		failures := b.status("main").Failures
		if len(failures) != 65 || failures["other"] != 1000-64 || failures["own_0"] != 1001 {
			t.Errorf("%d reasons: %v", len(failures), failures)
		}
		if len(told) != 65 || told["other"] != 1000-64 {
			t.Errorf("metrics have %d reasons", len(told))
		}
	})
}
