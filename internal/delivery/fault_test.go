package delivery_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/delivery"
	"codeword/internal/store"
)

func newNode() *node { return &node{queue: newQueue()} }

// TestCrash: what a dead process had claimed is sent by another once the leases
// have passed, and nothing is lost. The dead one can record nothing any more.
func TestCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		ids := q.put(500, nil)
		dying := carriertest.NewFake("fake", carriertest.After(20*time.Millisecond, carriertest.Accept()))
		first := start(t, q, dying, nil)
		first.Wake()
		after(300 * time.Millisecond)
		first.fail(errDown, errDown, nil) // from here on nothing of it reaches the store
		taken := q.statuses()[store.MessageSent]
		if taken == 0 || taken == 500 {
			t.Fatalf("the crash came too late or too early: %d sent", taken)
		}
		c := carriertest.NewFake("fake", nil)
		second := start(t, q, c, nil)
		after(29 * time.Second)
		before := len(c.Sent())
		after(10 * time.Second)
		want(t, q, statuses{store.MessageSent: 500})
		if len(c.Sent()) != 500-taken || before == 500-taken {
			t.Errorf("second sent %d of %d left, %d of them before the leases had passed", len(c.Sent()), 500-taken, before)
		}
		doubled := 0
		for _, id := range ids {
			if n := c.Times(id) + dying.Times(id); n == 0 {
				t.Fatalf("message %v was never sent", id)
			} else if n > 1 {
				doubled++
			}
		}
		t.Logf("%d recorded before the crash, %d doubled", taken, doubled)
		_ = first.end()
		_ = second.end()
	})
}

// TestTwoNodes: two processes share a queue without doing anything twice.
func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.After(5*time.Millisecond, carriertest.Deliver()))
		ids := q.put(2000, nil)
		a, b := start(t, q, c, nil), start(t, q, c, nil)
		after(10 * time.Second)
		want(t, q, statuses{store.MessageDelivered: 2000})
		sentTimes(t, c, ids, 1)
		_, _ = a.end(), b.end()
	})
}

// TestLostLease: an outcome that comes after the lease is dropped and counted.
func TestLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.After(5*time.Second, carriertest.Accept()))
		id := q.put(1, nil)[0]
		r := start(t, q, c, nil)
		after(time.Second)
		q.mu.Lock()
		q.rows[id].Claims++ // somebody else has it
		q.mu.Unlock()
		after(9 * time.Second)
		if r.counts.leaseLost != 1 || q.stale != 1 {
			t.Errorf("lost leases counted %d, stale outcomes %d, want 1 and 1", r.counts.leaseLost, q.stale)
		}
		_ = r.end()
	})
}

// TestRecordFails: while the store does not take outcomes nothing is claimed
// and nothing forgotten; once it does, nothing has been doubled.
func TestRecordFails(t *testing.T) {
	for _, outage := range []time.Duration{time.Second, 25 * time.Second} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, c := newQueue(), carriertest.NewFake("fake", nil)
				r := start(t, q, c, nil)
				r.fail(nil, errDown, nil)
				ids := q.put(1000, nil)
				r.Wake()
				after(outage)
				// Workers + 4 batches is what the loop may hold.
				if n := len(c.Sent()); n > 8+4*32 {
					t.Errorf("%d messages were sent with nothing recorded", n)
				}
				r.fail(nil, nil, nil)
				after(time.Minute)
				want(t, q, statuses{store.MessageSent: 1000})
				sentTimes(t, c, ids, 1)
				if r.counts.storeErrs["record"] == 0 || r.counts.leaseLost != 0 {
					t.Errorf("store errors %v, lost leases %d", r.counts.storeErrs, r.counts.leaseLost)
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestRecordFailsTooLong: after a whole lease outcomes are given up; messages
// are doubled then, but none is lost.
func TestRecordFailsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		r := start(t, q, c, nil)
		r.fail(nil, errDown, nil)
		q.put(10, nil)
		r.Wake()
		after(40 * time.Second)
		r.fail(nil, nil, nil)
		after(time.Minute)
		want(t, q, statuses{store.MessageSent: 10})
		if r.counts.unrecorded < 10 {
			t.Errorf("%d outcomes counted as given up, want 10 or more", r.counts.unrecorded)
		}
		_ = r.end()
	})
}

// TestRecordAnswerLost: outcomes that were recorded although the store said no
// are refused by the fence the second time, and the messages stay sent.
func TestRecordAnswerLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		r := start(t, q, c, nil)
		r.fail(nil, nil, errDown)
		ids := q.put(5, nil)
		r.Wake()
		after(time.Second)
		r.fail(nil, nil, nil)
		after(time.Minute)
		want(t, q, statuses{store.MessageSent: 5})
		sentTimes(t, c, ids, 1)
		_ = r.end()
	})
}

func TestClaimFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		r := start(t, q, c, nil)
		r.fail(errDown, nil, nil)
		q.put(10, nil)
		r.Wake()
		after(time.Minute)
		if n := r.counts.storeErrs["claim"]; n < 10 || n > 200 {
			t.Errorf("%d claims tried in a minute of outage", n)
		}
		r.fail(nil, nil, nil)
		after(5 * time.Second)
		want(t, q, statuses{store.MessageSent: 10})
		_ = r.end()
	})
}

// TestDrain: what was claimed is finished, what was not stays queued.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.After(time.Second, carriertest.Accept()))
		ids := q.put(100, nil)
		r := start(t, q, c, nil)
		after(1500 * time.Millisecond)
		begun := time.Now()
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("drained in %v", took)
		}
		got := q.statuses()
		if got[store.MessageSent] < 8 || got[store.MessageSent]+got[store.MessageQueued] != 100 {
			t.Errorf("after the drain: %v", got)
		}
		for _, id := range ids {
			if m := q.get(id); (m.Status == store.MessageSent) != (c.Times(id) == 1) {
				t.Errorf("message %v: %v, sent %d times", id, m.Status, c.Times(id))
			}
		}
	})
}

// TestDrainInterrupts: sends that take too long are cut off and recorded as
// unknown, and what was not begun can be claimed at once by another.
func TestDrainInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.Hang())
		q.put(12, nil)
		r := start(t, q, c, func(cfg *delivery.Config) {
			cfg.DrainTimeout = 4 * time.Second
			cfg.Workers, cfg.Batch = 8, 16
		})
		after(time.Second)
		begun := time.Now()
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("drained in %v, want at most 4s", took)
		}
		want(t, q, statuses{store.MessageUnknown: 8, store.MessageQueued: 4})
		if left := q.claim(store.Claim{Now: time.Now(), Lease: time.Minute, Limit: 100}); len(left) != 4 {
			t.Errorf("%d messages can be claimed at once, want 4", len(left))
		}
		if r.counts.outcomes["fake unknown interrupted"] != 8 {
			t.Errorf("outcomes %v", r.counts.outcomes)
		}
	})
}

// TestDrainStoreDown: Run returns in time even when nothing can be recorded.
func TestDrainStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		q.put(5, nil)
		r := start(t, q, c, nil)
		r.fail(nil, errDown, nil)
		after(2 * time.Second)
		begun := time.Now()
		err := r.end()
		if took := time.Since(begun); err == nil || took > 20*time.Second {
			t.Errorf("Run returned %v after %v, want an error within 20s", err, took)
		}
		want(t, q, statuses{store.MessageQueued: 5})
	})
}

// TestSlowCarrier: messages do not wait out their leases behind slow sends, so
// nothing is sent twice and no claims are wasted.
func TestSlowCarrier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.After(9*time.Second, carriertest.Accept()))
		ids := q.put(300, func(m *store.Message) { m.ExpiresAt = m.ExpiresAt.Add(time.Hour) })
		r := start(t, q, c, nil)
		r.Wake()
		after(10 * time.Minute)
		want(t, q, statuses{store.MessageSent: 300})
		sentTimes(t, c, ids, 1)
		for _, id := range ids {
			if n := q.get(id).Claims; n > 6 {
				t.Errorf("message %v was claimed %d times", id, n)
			}
		}
		_ = r.end()
	})
}

// TestCarrierIgnoresContext: sends that never return are reported as unknown,
// their workers replaced, and everything else is sent meanwhile.
func TestCarrierIgnoresContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hang := carriertest.HangUntil(release)
		script := []carriertest.Step{hang, hang, hang, hang, hang, hang, hang, hang} // as many as workers
		q, c := newQueue(), carriertest.NewFake("fake", nil, script...)
		ids := q.put(100, nil)
		r := start(t, q, c, nil)
		after(time.Minute)
		want(t, q, statuses{store.MessageUnknown: 8, store.MessageSent: 92})
		close(release)
		after(time.Minute)
		want(t, q, statuses{store.MessageUnknown: 8, store.MessageSent: 92})
		sentTimes(t, c, ids, 1)
		if q.stale != 0 {
			t.Errorf("%d outcomes were recorded twice", q.stale)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestCarrierNeverReturns: replacements end, and with them the memory and the
// messages that such a carrier can take; Run still ends in time.
func TestCarrierNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.HangUntil(release))
		q.put(1000, func(m *store.Message) { m.ExpiresAt = m.ExpiresAt.Add(time.Hour) })
		goroutines := runtime.NumGoroutine()
		r := start(t, q, c, nil)
		after(5 * time.Minute)
		if n := c.Peak(); n > 16 {
			t.Errorf("%d sends hang, want at most 16", n)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 40 {
			t.Errorf("%d goroutines more than before", n)
		}
		begun := time.Now()
		_ = r.end()
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("Run returned after %v", took)
		}
		close(release)
		synctest.Wait()
	})
}

// TestRandomFaults: with carriers and store failing at random times, every
// message ends, and only those with an unknown outcome or a "not taken" are
// anything but sent once.
func TestRandomFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := []carriertest.Step{
			carriertest.Accept(), carriertest.Deliver(), carriertest.Panic(1), carriertest.Hang(),
			carriertest.Fail(carrier.Retryable, "busy"), carriertest.Fail(carrier.Rejected, "no"),
			carriertest.Fail(carrier.Unknown, "cut"), carriertest.After(3*time.Second, carriertest.Accept()),
		}
		for range 3 { // as often as a breaker lets pass
			steps = append(steps, carriertest.Accept(), carriertest.Deliver(), carriertest.Accept(), carriertest.Deliver())
		}
		var script []carriertest.Step
		for i := range 4000 {
			script = append(script, steps[(i*i+i/3)%len(steps)])
		}
		q, c := newQueue(), carriertest.NewFake("fake", nil, script...)
		ids := q.put(2000, func(m *store.Message) { m.ExpiresAt = m.ExpiresAt.Add(time.Hour) })
		r := start(t, q, c, nil)
		for range 100 {
			r.fail(nil, errDown, nil)
			after(2 * time.Second)
			r.fail(errDown, nil, nil)
			after(2 * time.Second)
			r.fail(nil, nil, nil)
			after(4 * time.Second)
		}
		after(30 * time.Minute)
		if n := q.statuses()[store.MessageQueued]; n != 0 {
			t.Errorf("%d messages never ended", n)
		}
		retries := make(map[store.MessageID]int)
		for _, o := range q.recorded {
			if o.Status == store.MessageQueued && o.Error == "busy" {
				retries[o.ID]++
			}
		}
		for _, id := range ids {
			if n := c.Times(id); n > retries[id]+1 {
				t.Errorf("message %v was sent %d times after %d retries", id, n, retries[id])
			}
		}
		if r.counts.leaseLost != 0 || r.counts.unrecorded != 0 {
			t.Errorf("leases lost %d, outcomes given up %d", r.counts.leaseLost, r.counts.unrecorded)
		}
		_ = r.end()
	})
}
