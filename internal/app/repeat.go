package app

import (
	"context"
	"time"
)

// repeat calls do, for the first time after first and then after the pause that do tells,
// until ctx ends.
func repeat(ctx context.Context, first time.Duration, do func(context.Context) (pause time.Duration)) {
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		timer.Reset(do(ctx))
	}
}
