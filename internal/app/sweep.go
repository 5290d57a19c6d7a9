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
	repeat(ctx, sweepRest, func(ctx context.Context) (pause time.Duration) {
		keep.Now, keep.Limit = now(), sweepSlice
		swept, err := s.SweepExpired(ctx, keep)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				log.WarnContext(ctx, "expired rows were not removed", "error", err)
			}
			return sweepRest
		case swept.Done:
			return sweepRest
		case swept.Removed > sweepSlice/2:
			return 0
		default:
			return sweepPause
		}
	})
}
