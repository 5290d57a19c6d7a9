package load

import (
	"context"
	"time"

	"codeword/bench/internal/wire"
)

// worker is one connection and the loop that uses it.
type worker struct {
	*run
	conn    *wire.Conn
	release func() bool // ends the watch that closes conn when the run is canceled
	timer   *time.Timer
}

func (w *worker) dial(ctx context.Context) error {
	raw, err := w.cfg.Dial(ctx)
	if err != nil {
		return err
	}
	w.conn = wire.NewConn(raw)
	w.release = context.AfterFunc(ctx, func() { _ = raw.Close() })
	return nil
}

func (w *worker) drop() {
	if w.conn != nil {
		w.release()
		_ = w.conn.Close()
		w.conn = nil
	}
}

// loop sends requests until the run is over.
func (w *worker) loop(ctx context.Context) {
	var buf []byte
	for now := time.Now(); ctx.Err() == nil; {
		due, ok := w.due(now)
		if !ok {
			return
		}
		if w.cfg.Rate > 0 {
			if now, ok = w.await(ctx, due); !ok {
				continue
			}
		}
		request, id, ok := w.cfg.Workload.Next(buf[:0])
		if !ok || w.conn == nil && !w.redial(ctx) {
			return
		}
		buf = request
		sent := now
		resp, err := w.conn.Do(request)
		now = time.Now()
		if err != nil {
			w.failed(err)
			w.drop()
			continue
		}
		if err := w.answered(id, resp, due, sent, now); err != nil {
			w.cancel(err)
			return
		}
		if resp.Close {
			w.drop()
		}
	}
}

// await sleeps until an arrival is due and returns the time then. ok is false
// when it is so late that sending it would only measure the generator.
func (w *worker) await(ctx context.Context, due time.Time) (now time.Time, ok bool) {
	now = time.Now()
	if wait := due.Sub(now); wait > 0 {
		if w.timer == nil {
			w.timer = time.NewTimer(wait)
		} else {
			w.timer.Reset(wait)
		}
		select {
		case <-w.timer.C:
		case <-ctx.Done():
			return now, false
		}
		now = time.Now()
	}
	lag := now.Sub(due)
	if lag > maxLag {
		w.unsent.Add(1)
		return now, false
	}
	w.stats.Lag.Record(lag)
	return now, true
}

// redial replaces a lost connection; a server that is full or restarting gets a
// bounded number of tries.
func (w *worker) redial(ctx context.Context) bool {
	for range maxRedials {
		err := w.dial(ctx)
		if err == nil {
			return true
		}
		w.failed(err)
		select {
		case <-time.After(redialDelay):
		case <-ctx.Done():
			return false
		}
		if !w.end.IsZero() && time.Now().After(w.end) {
			return false
		}
	}
	return false
}
