package server

import (
	"testing"
	"time"
)

// admit takes n places and returns how many it got.
func admit(g *gate, n int) (got int) {
	for range n {
		if g.enter() {
			got++
		}
	}
	return got
}

// pass lets a round go by in that time, with those in flight there all along.
func pass(g *gate, took time.Duration) {
	g.began.Store(time.Now().Add(-took).UnixNano())
	for range round {
		g.in.Add(1) // the next one comes as soon as one leaves
		g.leave()
	}
}

func newGate(limit int64) *gate {
	g := &gate{max: limit}
	pass(g, 0) // the first round only begins to measure
	return g
}

func TestGateIsWideForABurst(t *testing.T) {
	g := newGate(512)
	if got := admit(g, 600); got != 512 {
		t.Errorf("%d of 600 at once, want 512", got)
	}
	g.began.Store(time.Now().Add(-time.Second).UnixNano())
	for range 512 { // however long it takes, it empties
		g.leave()
	}
	for range round {
		if !g.enter() {
			t.Fatal("a burst that is over keeps others out")
		}
		g.leave()
	}
	if got := admit(g, 600); got != 512 {
		t.Errorf("%d of 600 in the next burst, want 512", got)
	}
}

func TestGateNarrowsForAStandingQueue(t *testing.T) {
	tests := []struct {
		name   string
		max    int64
		flying int
		took   time.Duration // a round
		narrow bool
	}{
		{"overload", 512, 512, 32 * time.Millisecond, true},
		{"overload below the bound", 512, 300, 32 * time.Millisecond, true},
		{"many, and quick", 512, 400, 4 * time.Millisecond, false},
		{"slow, and few", 512, 20, 100 * time.Millisecond, false},
		{"idle for a day", 512, 0, 24 * time.Hour, false},
		{"a bound below the narrow one", 8, 8, time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGate(tt.max)
			if got := admit(g, tt.flying); got != tt.flying {
				t.Fatalf("%d of %d", got, tt.flying)
			}
			pass(g, tt.took)
			if g.narrow.Load() != tt.narrow {
				t.Errorf("narrow is %t", g.narrow.Load())
			}
			if g.bound() > tt.max || g.bound() < min(tt.max, narrowLeast) {
				t.Errorf("the bound is %d", g.bound())
			}
		})
	}
}

func TestGateStaysNarrowWhileItRefuses(t *testing.T) {
	g := newGate(512)
	admit(g, 512)
	pass(g, 100*time.Millisecond)
	if !g.narrow.Load() {
		t.Fatal("not narrow under overload")
	}
	for range 512 - 10 { // the queue is gone, the callers are not
		g.in.Add(-1)
	}
	for range 5 {
		g.refused.Store(true)
		pass(g, time.Millisecond)
		if !g.narrow.Load() {
			t.Fatal("wide again while requests are refused")
		}
	}
	pass(g, time.Millisecond)
	if g.narrow.Load() {
		t.Error("narrow after a round without a refusal")
	}
}
