package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
)

// script answers one scripted slice after the other and notes when it was asked.
type script struct {
	slices []store.Swept
	fail   int // the call that fails
	asked  []time.Duration
	began  time.Time
}

func (s *script) SweepExpired(_ context.Context, in store.Sweep) (store.Swept, error) {
	n := len(s.asked)
	s.asked = append(s.asked, time.Since(s.began))
	if in.KeepMessages != time.Hour || in.KeepEvents != time.Minute || in.Limit != sweepSlice || !in.Now.Equal(time.Now()) {
		return store.Swept{}, errors.New("not what was configured")
	}
	if n+1 == s.fail {
		return store.Swept{}, errors.New("down")
	}
	return s.slices[n%len(s.slices)], nil
}

// TestSweepPace: full slices follow at once, thin ones after a pause, rounds and
// failures after a rest.
func TestSweepPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{
			slices: []store.Swept{{Removed: sweepSlice}, {Removed: 1}, {Done: true}, {}, {}},
			fail:   4, began: time.Now(),
		}
		var log strings.Builder
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			sweep(ctx, s, time.Now, store.Sweep{KeepMessages: time.Hour, KeepEvents: time.Minute}, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		time.Sleep(3*sweepRest + time.Second/2)
		stop()
		<-ended
		want := []time.Duration{sweepRest, sweepRest, sweepRest + sweepPause, 2*sweepRest + sweepPause, 3*sweepRest + sweepPause}
		if len(s.asked) < len(want) {
			t.Fatalf("asked at %v, want %v", s.asked, want)
		}
		for i := range want {
			if s.asked[i] != want[i] {
				t.Errorf("slice %d at %v, want %v", i, s.asked[i], want[i])
			}
		}
		if strings.Count(log.String(), "down") != 1 || strings.Contains(log.String(), "configured") {
			t.Errorf("the log says %s", log.String())
		}
	})
}

// TestLogWriter: lines come out whole, in order and all of them.
func TestLogWriter(t *testing.T) {
	out, in := io.Pipe()
	read := make(chan string)
	go func() {
		raw, _ := io.ReadAll(out) // a pipe fails only when it is closed
		read <- string(raw)
	}()
	w := newLogWriter(in)
	line := strings.Repeat("x", 1000) + "\n"
	for range 500 { // several times the size at which it writes
		if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.Close()
	_ = in.Close()
	if got := <-read; got != strings.Repeat(line, 500) {
		t.Errorf("%d bytes came out, want %d", len(got), 500*len(line))
	}
}
