package delivery_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// pair returns two routes, the second for what the first does not take.
func pair(main, backup *carriertest.Fake) []routing.Route {
	return []routing.Route{
		{Name: "main", Carrier: main, Priority: 1, PriceMicros: 7500, ReceiptTimeout: time.Minute, UnknownTimeout: 30 * time.Second},
		{Name: "backup", Carrier: backup, Priority: 2, PriceMicros: 9000, ReceiptTimeout: time.Minute, UnknownTimeout: 30 * time.Second},
	}
}

// trail tells where a message was handed to, and what came of it.
func trail(q *queue, id store.MessageID) []string {
	var out []string
	for _, d := range q.dispatched(id) {
		out = append(out, strings.TrimSpace(d.Route+" "+d.Status.String()+" "+d.Error))
	}
	return out
}

// notFor does not take its first n messages, for a reason that passes.
func notFor(n int32, reason string) carriertest.Step {
	var calls atomic.Int32
	return func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
		if calls.Add(1) <= n {
			return carrier.Receipt{}, carrier.NewError(reason, nil)
		}
		return carrier.Receipt{Ref: m.ID.String()}, nil
	}
}

// TestRoutes: what becomes of a message with two routes, when nobody brings a
// receipt.
func TestRoutes(t *testing.T) {
	retryable, rejected := carriertest.Fail(carrier.Retryable, "unavailable"), carriertest.Fail(carrier.Rejected, "invalid_number")
	unknown, optOut := carriertest.Fail(carrier.Unknown, "connection_lost"), carriertest.Fail(carrier.Rejected, "opted_out")
	soon := func(m *store.Message) { m.ExpiresAt = time.Now().Add(20 * time.Second) }
	tests := []struct {
		name         string
		change       func(*store.Message)
		main, backup carriertest.Step
		trail        []string
		status       store.MessageStatus
		reason       string
	}{
		{"taken", soon, carriertest.Accept(), carriertest.Accept(), []string{"main sent"}, store.MessageSent, ""},
		{"failover", soon, retryable, carriertest.Accept(), []string{"main queued unavailable", "backup sent"}, store.MessageSent, ""},
		{"rejected", nil, rejected, carriertest.Accept(), []string{"main failed invalid_number"}, store.MessageFailed, "invalid_number"},
		{"opted out", nil, optOut, carriertest.Accept(), []string{"main failed opted_out"}, store.MessageFailed, "opted_out"},
		{
			"rejected by the second", nil, retryable, rejected,
			[]string{"main queued unavailable", "backup failed invalid_number"},
			store.MessageFailed, "invalid_number",
		},
		{"unknown", soon, unknown, carriertest.Accept(), []string{"main unknown connection_lost"}, store.MessageUnknown, "connection_lost"},
		{
			"unknown for too long", nil, unknown, carriertest.Accept(),
			[]string{"main unknown connection_lost", "backup sent"},
			store.MessageSent, "",
		},
		{
			"unknown over both", nil, unknown, unknown,
			[]string{"main unknown connection_lost", "backup unknown connection_lost"},
			store.MessageUnknown, "connection_lost",
		},
		{"no receipt", nil, carriertest.Accept(), carriertest.Accept(), []string{"main sent", "backup sent"}, store.MessageSent, ""},
		{
			"no receipt, and the second does not take it", nil, carriertest.Accept(), retryable,
			[]string{"main sent", "backup queued unavailable"},
			store.MessageSent, "",
		},
		{
			"no receipt of the second, and the first takes it after all", nil,
			notFor(1, "unavailable"), carriertest.Accept(),
			[]string{"main queued unavailable", "backup sent", "main sent"},
			store.MessageSent, "",
		},
		{
			"unknown, and the second is busy for a while", nil, unknown, notFor(3, "throttled"),
			[]string{"main unknown connection_lost", "backup queued throttled", "backup sent"},
			store.MessageSent, "",
		},
		{
			"an opt-out however it is classed", nil,
			carriertest.FailWith(&carrier.Error{Class: carrier.Retryable, Effect: carrier.EffectOptOut, Reason: "opted_out"}), carriertest.Accept(),
			[]string{"main failed opted_out"},
			store.MessageFailed, "opted_out",
		},
		{
			"no receipt, and the second rejects it", nil, carriertest.Accept(), rejected,
			[]string{"main sent", "backup failed invalid_number"},
			store.MessageFailed, "invalid_number",
		},
		{"delivered at once", nil, carriertest.Deliver(), carriertest.Accept(), []string{"main delivered"}, store.MessageDelivered, ""},
		{"opted out before", func(m *store.Message) { m.OptedOut = true }, nil, nil, nil, store.MessageFailed, "opted_out"},
		{"the code used before", func(m *store.Message) { m.Spent = true }, nil, nil, nil, store.MessageExpired, "code_spent"},
		{
			"the code used meanwhile", func(m *store.Message) { m.Spent, m.Status = true, store.MessageUnknown },
			nil, nil, nil, store.MessageUnknown, "",
		},
		{"expired before", func(m *store.Message) { m.ExpiresAt = time.Now() }, nil, nil, nil, store.MessageExpired, "expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				main, backup := carriertest.NewFake("main", tt.main), carriertest.NewFake("backup", tt.backup)
				r := startRoutes(t, q, pair(main, backup), nil)
				id := q.put(1, tt.change)[0]
				r.Wake()
				after(15 * time.Minute)
				m := q.get(id)
				if got := slices.Compact(trail(q, id)); !slices.Equal(got, tt.trail) {
					t.Errorf("trail %q, want %q", got, tt.trail)
				}
				if m.Status != tt.status || m.Error != tt.reason {
					t.Errorf("got %v %q, want %v %q", m.Status, m.Error, tt.status, tt.reason)
				}
				if m.OptedOut != (tt.reason == "opted_out") {
					t.Error("the opt-out was not noted")
				}
				for _, s := range append(main.Sent(), backup.Sent()...) {
					if s.Text != main.Sent()[0].Text {
						t.Error("two texts")
					}
				}
				_ = r.end()
			})
		})
	}
}

// TestDispatches: what is recorded of each handing-over.
func TestDispatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		main := carriertest.NewFake("main", nil, carriertest.After(2*time.Second, carriertest.Fail(carrier.Retryable, "unavailable")))
		r := startRoutes(t, q, pair(main, carriertest.NewFake("backup", nil)), nil)
		id := q.put(1, nil)[0]
		begun := time.Now()
		r.Wake()
		after(5 * time.Second)
		d := q.dispatched(id)
		if len(d) != 2 {
			t.Fatalf("%d dispatches", len(d))
		}
		d[0].At, d[1].At = d[0].At.Round(time.Second), d[1].At.Round(time.Second)
		want := []store.Dispatch{
			{
				At: begun, Claim: 1, Route: "main", Decision: "main=chosen backup=lower_priority", Status: store.MessageQueued,
				Error: "unavailable", Segments: 1, PriceMicros: 7500,
			},
			{
				At: begun.Add(2 * time.Second), Claim: 1, Route: "backup", Decision: "main=tried backup=chosen", Status: store.MessageSent,
				CarrierRef: "fake-" + id.String(), Segments: 1, PriceMicros: 9000,
			},
		}
		for i := range want {
			want[i].At = want[i].At.Round(time.Second)
			if d[i] != want[i] {
				t.Errorf("dispatch %d:\n%+v, want\n%+v", i, d[i], want[i])
			}
		}
		if m := q.get(id); m.Route != "backup" || m.CarrierRef != "fake-"+id.String() {
			t.Errorf("route %q, ref %q", m.Route, m.CarrierRef)
		}
		_ = r.end()
	})
}

// TestInboxHasNoDispatches, since nothing was handed to anybody.
func TestInboxHasNoDispatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("main", carriertest.Deliver())
		r := start(t, q, c, nil)
		id := q.put(1, func(m *store.Message) { m.Client = "client-test" })[0]
		r.Wake()
		after(time.Second)
		if m := q.get(id); m.Status != store.MessageDelivered || m.Route != "inbox" || len(q.dispatched(id)) != 0 {
			t.Errorf("%v over %q with %d dispatches", m.Status, m.Route, len(q.dispatched(id)))
		}
		_ = r.end()
	})
}

// TestReceiptInTime: a message of which a receipt has come is left alone.
func TestReceiptInTime(t *testing.T) {
	for _, step := range []carriertest.Step{carriertest.Accept(), carriertest.Fail(carrier.Unknown, "timeout")} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			main, backup := carriertest.NewFake("main", step), carriertest.NewFake("backup", nil)
			r := startRoutes(t, q, pair(main, backup), nil)
			id := q.put(1, nil)[0]
			r.Wake()
			after(29 * time.Second)
			if n := len(backup.Sent()); n != 0 {
				t.Errorf("%d sends before the timeout", n)
			}
			q.receive(id)
			after(10 * time.Minute)
			if n := len(backup.Sent()); n != 0 || q.get(id).Status != store.MessageDelivered {
				t.Errorf("%d sends, %v", n, q.get(id).Status)
			}
			_ = r.end()
		})
	}
}

// TestUnknownKeepsItsReference: a receipt can tell what the answer did not.
func TestUnknownKeepsItsReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		main := carriertest.NewFake("main", func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
			return carrier.Receipt{Ref: "ref-" + m.ID.String()}, carrier.NewError(carrier.ReasonTimeout, nil)
		})
		r := startRoutes(t, q, pair(main, carriertest.NewFake("backup", nil)), nil)
		id := q.put(1, nil)[0]
		r.Wake()
		after(time.Second)
		want := "ref-" + id.String()
		if got := q.dispatched(id); len(got) != 1 || got[0].CarrierRef != want || q.get(id).CarrierRef != want || q.get(id).Status != store.MessageUnknown {
			t.Errorf("recorded %+v", got)
		}
		_ = r.end()
	})
}

// TestFailedReceipts: each route is used once, however often a carrier takes a
// message and then says that it failed.
func TestFailedReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		main, backup := carriertest.NewFake("main", nil), carriertest.NewFake("backup", nil)
		r := startRoutes(t, q, pair(main, backup), nil)
		id := q.put(1, nil)[0]
		r.Wake()
		for range 20 {
			after(5 * time.Second)
			q.lose(id, "unreachable")
			r.Wake()
		}
		after(5 * time.Second)
		if got := q.get(id); got.Status != store.MessageFailed || got.Error != "unreachable" {
			t.Errorf("got %v %q, want failed for the receipt's reason", got.Status, got.Error)
		}
		if got := trail(q, id); !slices.Equal(got, []string{"main sent", "backup sent"}) {
			t.Errorf("handed over as %q", got)
		}
		_ = r.end()
	})
}

// TestSwapMidTraffic: routes come and go under load.
func TestSwapMidTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		step := carriertest.After(20*time.Millisecond, carriertest.Accept())
		main, backup := carriertest.NewFake("main", step), carriertest.NewFake("backup", step)
		routes := pair(main, backup)
		r := startRoutes(t, q, routes, nil)
		ids := q.put(4000, nil)
		r.Wake()
		for i := range 40 {
			after(250 * time.Millisecond)
			next := [][]routing.Route{routes, routes[:1], routes[1:]}[i%3]
			if err := r.router.Swap(next); err != nil {
				t.Fatal(err)
			}
		}
		after(50 * time.Second)
		want(t, q, statuses{store.MessageSent: 4000})
		for _, id := range ids {
			if n := main.Times(id) + backup.Times(id); n != 1 {
				t.Fatalf("message %v was sent %d times", id, n)
			}
		}
		if len(main.Sent()) == 0 || len(backup.Sent()) == 0 {
			t.Error("one route was never used")
		}
		_ = r.end()
	})
}

// TestTwoNodesTwoRoutes: two processes, a faulty main route and lost receipts;
// no message is handed again to a route that may have it, or to anybody after
// its receipt came.
func TestTwoNodesTwoRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var script []carriertest.Step
		for i := range 1500 {
			script = append(script, []carriertest.Step{
				carriertest.Accept(), carriertest.Fail(carrier.Retryable, "unavailable"), carriertest.Accept(),
				carriertest.Fail(carrier.Unknown, "connection_lost"), carriertest.Accept(),
			}[i%5])
		}
		main := carriertest.NewFake("main", nil, script...)
		backup := carriertest.NewFake("backup", nil)
		ids := q.put(1500, nil)
		a, b := startRoutes(t, q, pair(main, backup), nil), startRoutes(t, q, pair(main, backup), nil)
		after(15 * time.Second)
		received := make(map[store.MessageID]int)
		for i, id := range ids {
			if i%2 == 0 && q.get(id).Status == store.MessageSent {
				q.receive(id)
				received[id] = main.Times(id) + backup.Times(id)
			}
		}
		after(20 * time.Minute)
		for _, id := range ids {
			took := make(map[string]int)
			for _, d := range q.dispatched(id) {
				if d.Status != store.MessageQueued {
					took[d.Route]++
				}
			}
			if took["main"] > 1 || took["backup"] > 1 {
				t.Fatalf("message %v: %q", id, trail(q, id))
			}
			if n, ok := received[id]; ok && main.Times(id)+backup.Times(id) != n {
				t.Fatalf("message %v was sent again after its receipt: %q", id, trail(q, id))
			}
		}
		if len(received) < 500 || q.stale != 0 {
			t.Errorf("%d receipts, %d stale outcomes", len(received), q.stale)
		}
		_, _ = a.end(), b.end()
	})
}

// TestOverloaded: callers hear of a queue that nobody keeps up with, and of
// nothing else.
func TestOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		slow := carriertest.NewFake("slow", nil)
		r := startRoutes(t, q, []routing.Route{{Name: "slow", Carrier: slow, Rate: 1}}, nil)
		q.put(1, func(m *store.Message) { m.Client = "client-gone" })
		after(30 * time.Second)
		if over, _ := r.Overloaded("client-live", 10*time.Second); over {
			t.Error("overloaded by a message that waits for its client")
		}
		q.put(100, nil)
		after(9 * time.Second)
		if over, _ := r.Overloaded("client-live", 20*time.Second); over {
			t.Error("overloaded too early")
		}
		after(21 * time.Second)
		over, wait := r.Overloaded("client-live", 20*time.Second)
		if !over || wait < time.Second || wait > 30*time.Second {
			t.Errorf("overloaded %v, again in %v", over, wait)
		}
		if over, _ := r.Overloaded("client-other", 20*time.Second); over {
			t.Error("overloaded by what another client's route cannot take")
		}
		if over, _ := r.Overloaded("client-live", 0); over {
			t.Error("overloaded without a limit")
		}
		after(2 * time.Minute)
		if over, _ := r.Overloaded("client-live", 20*time.Second); over {
			t.Error("still overloaded with an empty queue")
		}
		_ = r.end()
	})
}

// TestHungSendGoesElsewhere: what a carrier never answers is unknown, and later
// sent over another route, with the hanging send on record.
func TestHungSendGoesElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		q := newQueue()
		main, backup := carriertest.NewFake("main", carriertest.HangUntil(release)), carriertest.NewFake("backup", nil)
		r := startRoutes(t, q, pair(main, backup), nil)
		id := q.put(1, nil)[0]
		r.Wake()
		after(50 * time.Second)
		close(release)
		after(time.Second)
		if got := trail(q, id); !slices.Equal(got, []string{"main unknown timeout", "backup sent"}) {
			t.Errorf("trail %q", got)
		}
		if s := r.router.Status(); s[0].InFlight != 0 {
			t.Errorf("%+v", s[0])
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}
