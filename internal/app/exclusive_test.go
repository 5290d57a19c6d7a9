package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// turns is a leader whose turn is free after a time, and lost as often as is said.
type turns struct {
	after time.Duration
	lost  int
}

func (l *turns) Lead(ctx context.Context, _ string, f func(context.Context) error) error {
	select {
	case <-time.After(l.after):
	case <-ctx.Done():
		return nil
	}
	for ; l.lost > 0; l.lost-- {
		turn, cancel := context.WithCancel(ctx)
		go func() {
			time.Sleep(time.Millisecond)
			cancel()
		}()
		_ = f(turn)
	}
	return f(ctx)
}

func TestLeadNow(t *testing.T) {
	t.Parallel()
	failure := errors.New("failure")
	for name, c := range map[string]struct {
		leader turns
		f      func(context.Context) error
		stop   time.Duration
		want   string
		runs   int
	}{
		"at once":     {f: func(context.Context) error { return nil }, runs: 1},
		"a moment":    {leader: turns{after: time.Second}, f: func(context.Context) error { time.Sleep(time.Hour); return nil }, runs: 1},
		"fails":       {f: func(context.Context) error { return failure }, runs: 1, want: "failure"},
		"taken":       {leader: turns{after: time.Hour}, want: "a server runs on here"},
		"lost":        {leader: turns{lost: 2}, f: func(ctx context.Context) error { return sleep(ctx, time.Minute) }, runs: 3},
		"interrupted": {f: func(ctx context.Context) error { return sleep(ctx, time.Hour) }, stop: time.Minute, runs: 1, want: "canceled"},
		"before":      {leader: turns{after: time.Hour}, stop: time.Second, want: "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				runs := 0
				err := leadNow(ctx, &c.leader, "here", func(ctx context.Context) error {
					runs++
					return c.f(ctx)
				})
				if runs != c.runs || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%d runs, %v", runs, err)
				}
			})
		})
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// layer is an engine in front of another.
type layer struct {
	engine
	below engine
}

func (l layer) beneath() engine { return l.below }

// leading is an engine that has turns.
type leading struct {
	engine
	turns
}

func TestCapability(t *testing.T) {
	t.Parallel()
	var plain engine = layer{below: struct{ engine }{}}
	if _, ok := capability[leader](plain); ok {
		t.Error("an engine does what neither it nor the one beneath it can")
	}
	ran := false
	f := func(context.Context) error { ran = true; return nil }
	if err := lead(t.Context(), plain, "x", f); err != nil || !ran {
		t.Errorf("where there is one node nothing ran: %v", err)
	}
	bottom := &leading{turns: turns{lost: 1}}
	if l, ok := capability[leader](layer{below: layer{below: bottom}}); !ok || l != leader(bottom) {
		t.Error("what the engine at the bottom can is not found")
	}
}
