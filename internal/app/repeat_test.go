package app

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestRepeat: pauses are as told, also none, and begin when the work is done; the end of
// the context is the end.
func TestRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		pauses := []time.Duration{0, time.Minute, time.Hour}
		var at []time.Duration
		time.AfterFunc(5*time.Minute, stop)
		repeat(ctx, time.Second, func(context.Context) time.Duration {
			at = append(at, time.Since(began))
			time.Sleep(time.Millisecond)
			return pauses[len(at)-1]
		})
		want := []time.Duration{time.Second, time.Second + time.Millisecond, time.Minute + time.Second + 2*time.Millisecond}
		if !slices.Equal(at, want) || time.Since(began) != 5*time.Minute {
			t.Errorf("called at %v until %v; want %v", at, time.Since(began), want)
		}
	})
}
