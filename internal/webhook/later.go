package webhook

import (
	"context"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// later is a message that may have arrived, or failed, before it was recorded. It is
// handed over in memory: a kill loses what was not told yet, some milliseconds' worth.
type later struct {
	message store.MessageID
}

const (
	// maxLater bounds what waits, maxLaterBatch what is told at once.
	maxLater      = 8192
	maxLaterBatch = 128
	// laterTries is how often a batch is tried while the store is down.
	laterTries = 60
)

func (e *Emitter) hand(l later) {
	select {
	case e.later <- l:
	default:
		e.cfg.Dropped(KindMessageDelivered)
	}
}

// Run tells what was handed over, until ctx ends, and then what waits.
func (e *Emitter) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	for {
		var batch []later
		select {
		case l := <-e.later:
			batch = append(batch, l)
		case <-ctx.Done():
			select {
			case l := <-e.later:
				batch = append(batch, l)
			default:
				return nil
			}
		}
	more:
		for len(batch) < maxLaterBatch {
			select {
			case l := <-e.later:
				batch = append(batch, l)
			default:
				break more
			}
		}
		e.tell(ctx, base, batch)
	}
}

// tell queues a batch, with patience while ctx lives.
func (e *Emitter) tell(ctx, base context.Context, batch []later) {
	for try := 1; ; try++ {
		limited, cancel := context.WithTimeout(base, storeTimeout)
		webhooks, err := e.make(limited, batch)
		if err == nil {
			err = e.queue(limited, webhooks)
		}
		cancel()
		if err == nil {
			return
		}
		if try == laterTries || ctx.Err() != nil {
			for range batch {
				e.cfg.Dropped("later")
			}
			e.cfg.Log.ErrorContext(ctx, "webhooks were lost: they could not be queued", "count", len(batch), "error", err)
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func (e *Emitter) make(ctx context.Context, batch []later) ([]store.Webhook, error) {
	var out []store.Webhook
	for i := range batch {
		w, ok, err := e.settled(ctx, batch[i].message)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		if ok {
			out = append(out, w)
		}
	}
	return out, nil
}
