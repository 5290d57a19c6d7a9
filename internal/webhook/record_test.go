package webhook

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// picky fails at message.failed alone.
func picky(r *request) int {
	if bytes.Contains(r.body, []byte(KindMessageFailed)) {
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

// TestDisabledAfterADay: an endpoint is disabled when a delivery was given up, unless it
// took another one within the day before.
func TestDisabledAfterADay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes   time.Duration // after the one that fails was queued
		enabled bool
	}{
		"took nothing since": {-2 * time.Hour, false},
		"took one since":     {2 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, newMemory(), time.Now, instead(newReceiver(picky)))
				e, _ := b.create("https://example.com/")
				b.run()
				var fails store.EventID
				if c.takes < 0 {
					b.emit(KindMessageSent)
					time.Sleep(-c.takes)
					fails = b.emit(KindMessageFailed)
				} else {
					fails = b.emit(KindMessageFailed)
					time.Sleep(c.takes)
					b.emit(KindMessageSent)
				}
				time.Sleep(GiveUpAfter + time.Hour)
				if d := b.delivery(&e, fails); d.State != store.DeliveryFailed {
					t.Fatalf("delivery %+v", d)
				}
				if got, err := b.registry.Find(t.Context(), e.ID); err != nil || got.Enabled() != c.enabled {
					t.Errorf("enabled %t, want %t, %v", got.Enabled(), c.enabled, err)
				}
			})
		})
	}
}

// forgetful is a ledger that records no outcome for a while. It notes when the outcomes of
// which claim came.
type forgetful struct {
	*memory
	until time.Time
	last  map[int]time.Time
}

func (f *forgetful) RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error {
	for _, o := range outcomes {
		f.last[o.Claims] = time.Now()
	}
	if time.Now().Before(f.until) {
		return fault.New(fault.Unavailable, "down")
	}
	return f.memory.RecordWebhooks(ctx, now, outcomes)
}

// TestOutcomeAfterItsLease: while the store is down an outcome waits until its lease is
// over. Then it is given up, and the delivery made again.
func TestOutcomeAfterItsLease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ down, last time.Duration }{
		"shorter than a lease": {claimLease / 2, claimLease/2 + time.Second},
		"longer than a lease":  {2 * claimLease, claimLease + 2*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				st := &forgetful{memory: newMemory(), until: begun.Add(c.down), last: make(map[int]time.Time)}
				b := newBed(t, st, time.Now, instead(newReceiver(picky)))
				e, _ := b.create("https://example.com/")
				stop := b.run()
				id := b.emit(KindMessageSent)
				time.Sleep(5 * claimLease)
				stop()
				d := b.delivery(&e, id)
				if d.State != store.DeliveryDone || (d.Claims > 1) != (c.down > claimLease) {
					t.Errorf("delivery %+v", d)
				}
				if first := st.last[1].Sub(begun); first < c.down/2 || first > c.last {
					t.Errorf("the first outcome came last after %v, want up to %v", first, c.last)
				}
			})
		})
	}
}
