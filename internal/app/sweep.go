package app

import (
	"context"
	"log/slog"
	"time"

	"codeword/internal/store"
)

const (
	// sweepPause is between slices that found little, sweepRest between rounds.
	sweepPause = 50 * time.Millisecond
	sweepRest  = 30 * time.Second
	sweepSlice = 500
)

// sweepStore is the store's part of expiry.
type sweepStore interface {
	SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error)
}

// sweep removes what has expired, slice by slice, until ctx ends. A slice that
// was mostly expired is followed by the next at once, so that removal keeps up
// with any rate at which rows are made. keep says what is kept, and for how long.
func sweep(ctx context.Context, s sweepStore, now func() time.Time, keep store.Sweep, log *slog.Logger) {
	timer := time.NewTimer(sweepRest)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		keep.Now, keep.Limit = now(), sweepSlice
		swept, err := s.SweepExpired(ctx, keep)
		pause := sweepPause
		switch {
		case err != nil:
			if ctx.Err() == nil {
				log.WarnContext(ctx, "expired rows were not removed", "error", err)
			}
			pause = sweepRest
		case swept.Done:
			pause = sweepRest
		case swept.Removed > sweepSlice/2:
			pause = 0
		}
		timer.Reset(pause)
	}
}
