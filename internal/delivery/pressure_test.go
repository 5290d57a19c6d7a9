package delivery_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/delivery"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// TestMainKilled: under load the main route dies, and with it what it was
// doing; within seconds everything goes over the backup, and back after it has
// returned. Nothing is lost, and nothing sent twice but what had no answer.
func TestMainKilled(t *testing.T) {
	for name, death := range map[string]carriertest.Step{
		"refused":    carriertest.Fail(carrier.Retryable, "unavailable"),
		"black hole": carriertest.Hang(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var mu sync.Mutex
				step := carriertest.After(50*time.Millisecond, carriertest.Accept())
				set := func(next carriertest.Step) {
					mu.Lock()
					defer mu.Unlock()
					step = next
				}
				alive := step
				main := carriertest.NewFake("main", func(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
					mu.Lock()
					now := step
					mu.Unlock()
					return now(ctx, m)
				})
				backup := carriertest.NewFake("backup", carriertest.After(50*time.Millisecond, carriertest.Accept()))
				routes := pair(main, backup)
				for i := range routes {
					routes[i].ReceiptTimeout = 0 // this is about outcomes
				}
				r := startRoutes(t, q, routes, func(cfg *delivery.Config) { cfg.Workers, cfg.Batch = 0, 0 })
				load := func(d time.Duration) (ids []store.MessageID) {
					for end := time.Now().Add(d); time.Now().Before(end); after(100 * time.Millisecond) {
						ids = append(ids, q.put(25, nil)...)
						r.Wake()
					}
					return ids
				}
				ids := load(5 * time.Second)
				if len(backup.Sent()) != 0 {
					t.Error("the backup was used before")
				}
				set(death)
				killed := len(main.Sent())
				ids = append(ids, load(5*time.Second)...)
				late := load(20 * time.Second)
				for _, id := range late {
					if d := q.dispatched(id); len(d) > 0 && d[0].Route == "main" && d[0].At.Sub(q.get(id).CreatedAt) > time.Second {
						t.Fatalf("main was tried late: %+v", d)
					}
				}
				probes := len(main.Sent())
				t.Logf("main got %d messages in 25 s after it died", probes-killed)
				set(alive)
				after(time.Minute)
				ids = append(ids, late...)
				ids = append(ids, load(5*time.Second)...)
				if n := len(main.Sent()) - probes; n < 1200 {
					t.Errorf("main was given %d of 1250 after it came back", n)
				}
				after(2 * time.Minute)
				want(t, q, statuses{store.MessageSent: len(ids)})
				doubled := 0
				for _, id := range ids {
					sent := 0
					for _, d := range q.dispatched(id) {
						if d.Status != store.MessageQueued {
							sent++
						}
					}
					if sent > 1 {
						doubled++
					}
				}
				t.Logf("%d of %d messages had an unknown outcome and were sent again", doubled, len(ids))
				if name == "refused" && doubled > 0 {
					t.Errorf("%d doubled", doubled)
				}
				if delays := slowest(q, late); delays > 5*time.Second {
					t.Errorf("5 s after main had died a message still took %v", delays)
				}
				_ = r.end()
			})
		})
	}
}

// slowest returns how long after their acceptance the messages were taken, the
// probes of a dead route aside.
func slowest(q *queue, ids []store.MessageID) (worst time.Duration) {
	for _, id := range ids {
		d := q.dispatched(id)
		if d[0].Route != "main" {
			worst = max(worst, d[len(d)-1].At.Sub(q.get(id).CreatedAt))
		}
	}
	return worst
}

// TestRateAcrossWorkers: however many workers, a route gets no more messages a
// second than it should, and nearly as many.
func TestRateAcrossWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var mu sync.Mutex
		perSecond := make(map[int64]int)
		slow := carriertest.NewFake("slow", func(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
			mu.Lock()
			perSecond[time.Now().Unix()]++
			mu.Unlock()
			return carriertest.After(100*time.Millisecond, carriertest.Accept())(ctx, m)
		})
		backup := carriertest.NewFake("backup", nil)
		routes := []routing.Route{{Name: "slow", Carrier: slow, Rate: 50}, {Name: "backup", Carrier: backup, Priority: 1, Rate: 0.01}}
		r := startRoutes(t, q, routes, func(cfg *delivery.Config) { cfg.Workers, cfg.Batch = 256, 256 })
		ids := q.put(3000, nil)
		r.Wake()
		after(66 * time.Second)
		want(t, q, statuses{store.MessageSent: 3000})
		for second, n := range perSecond {
			if n > 51 {
				t.Errorf("%d messages in second %d", n, second)
			}
		}
		claims := 0
		for _, id := range ids {
			claims += q.get(id).Claims
		}
		if claims > 3000*8 {
			t.Errorf("%d claims for 3000 messages", claims)
		}
		t.Logf("%d claims; %d went over the backup", claims, len(backup.Sent()))
		_ = r.end()
	})
}

// TestBusyEndsNoMessage: a message that has to wait for its turn very often is
// not given up while its code lives.
func TestBusyEndsNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		throttled := carriertest.Fail(carrier.Retryable, carrier.ReasonThrottled)
		c := carriertest.NewFake("main", throttled)
		r := start(t, q, c, func(cfg *delivery.Config) { cfg.MaxClaims = 8 })
		ids := q.put(5, nil)
		after(9*time.Minute + 30*time.Second)
		for _, id := range ids {
			if m := q.get(id); m.Status != store.MessageQueued || m.Claims > 8 {
				t.Errorf("%v %q after %d claims", m.Status, m.Error, m.Claims)
			}
		}
		after(time.Minute)
		want(t, q, statuses{store.MessageFailed: 5})
		if m := q.get(ids[0]); m.Error != carrier.ReasonThrottled && m.Error != "no_capacity" {
			t.Errorf("gave up as %q", m.Error)
		}
		_ = r.end()
	})
}

// TestThrottlePause: a carrier that asks for patience gets it, and everything
// waits for it rather than costing more.
func TestThrottlePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var mu sync.Mutex
		var early int
		until := time.Now().Add(5 * time.Second)
		refused := carrier.NewError(carrier.ReasonThrottled, nil)
		refused.RetryAfter = 5 * time.Second
		main := carriertest.NewFake("main", func(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				early++
				return carrier.Receipt{}, refused
			}
			return carrier.Receipt{Ref: "1"}, nil
		})
		backup := carriertest.NewFake("backup", nil)
		r := startRoutes(t, q, pair(main, backup), nil)
		q.put(1, nil)
		r.Wake()
		after(time.Second)
		q.put(100, nil)
		r.Wake()
		after(3 * time.Second)
		if len(backup.Sent()) != 1 || early != 1 {
			t.Errorf("%d were refused and %d took the backup, want one", early, len(backup.Sent()))
		}
		if over, _ := r.Overloaded("client-live", time.Second); !over {
			t.Error("nobody waits for a turn")
		}
		after(8 * time.Second)
		want(t, q, statuses{store.MessageSent: 101})
		if len(backup.Sent()) != 1 {
			t.Errorf("%d took the backup", len(backup.Sent()))
		}
		_ = r.end()
	})
}

// TestEverythingDown: with all routes down messages wait, and leave as soon as
// one is back.
func TestEverythingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var mu sync.Mutex
		broken := true
		step := func(context.Context, carrier.Message) (carrier.Receipt, error) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return carrier.Receipt{}, carrier.NewError(carrier.ReasonUnavailable, nil)
			}
			return carrier.Receipt{}, nil
		}
		main, backup := carriertest.NewFake("main", step), carriertest.NewFake("backup", step)
		r := startRoutes(t, q, pair(main, backup), nil)
		ids := q.put(200, nil)
		r.Wake()
		after(3 * time.Minute)
		want(t, q, statuses{store.MessageQueued: 200})
		if n := len(main.Sent()) + len(backup.Sent()); n > 400 {
			t.Errorf("%d sends to dead carriers", n)
		}
		noRoute := 0
		for _, id := range ids {
			if q.get(id).Error == "no_route" {
				noRoute++
			}
		}
		if noRoute < 150 {
			t.Errorf("%d messages say that there is no route", noRoute)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		after(time.Minute)
		for _, id := range ids {
			if s := q.get(id).Status; s != store.MessageSent {
				t.Fatalf("a message is still %v a minute later", s)
			}
		}
		_ = r.end()
	})
}
