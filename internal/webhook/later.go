package webhook

import (
	"context"
	"time"

	"codeword/internal/store"
)

const (
	// maxLater bounds what waits, maxLaterBatch what is told at once.
	maxLater      = 8192
	maxLaterBatch = 128
	// laterTries is how often a batch is tried while the store is down.
	laterTries = 60
)

// hand hands over a message that may have arrived, or failed, before its outcome was
// recorded. It stays in memory: a kill loses what was not told yet, some milliseconds'
// worth.
func (e *Emitter) hand(id store.MessageID) {
	select {
	case e.later <- id:
	default:
		e.cfg.Dropped(KindMessageDelivered)
	}
}

// Run tells what was handed over, until ctx ends. What waits then is told if that takes
// no more than a little while.
func (e *Emitter) Run(ctx context.Context) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, stop) })()
	for base.Err() == nil {
		batch := e.gather(ctx, maxLaterBatch)
		if len(batch) == 0 {
			return nil
		}
		e.tell(ctx, base, batch)
	}
	e.lose(ctx, e.gather(ctx, maxLater), base.Err())
	return nil
}

// gather takes what waits, up to most; until ctx ends it waits for something.
func (e *Emitter) gather(ctx context.Context, most int) (batch []store.MessageID) {
	select {
	case id := <-e.later:
		batch = append(batch, id)
	case <-ctx.Done():
	}
	for len(batch) < most {
		select {
		case id := <-e.later:
			batch = append(batch, id)
		default:
			return batch
		}
	}
	return batch
}

// tell queues a batch, with patience while ctx lives.
func (e *Emitter) tell(ctx, base context.Context, batch []store.MessageID) {
	for try := 1; ; try++ {
		limited, cancel := context.WithTimeout(base, storeTimeout)
		err := e.settle(limited, batch)
		cancel()
		if err == nil {
			return
		}
		if try == laterTries || ctx.Err() != nil {
			e.lose(ctx, batch, err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// lose counts what could not be told.
func (e *Emitter) lose(ctx context.Context, batch []store.MessageID, err error) {
	if len(batch) == 0 {
		return
	}
	for range batch {
		e.cfg.Dropped(KindMessageDelivered)
	}
	e.cfg.Log.ErrorContext(ctx, "webhooks were lost: they could not be queued", "count", len(batch), "error", err)
}
