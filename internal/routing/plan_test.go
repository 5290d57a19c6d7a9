package routing_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// TestPath: the routes that a message takes when every one but the inbox fails
// to take it, and what the last decision says.
func TestPath(t *testing.T) {
	local := via("local", 0)
	local.AreaCodes = []string{"212", "650"}
	east := via("east", 0)
	east.AreaCodes = []string{"212"}
	main, backup := via("main", 1), via("backup", 2)
	sent := func(tried ...string) func(*store.Message) {
		return func(m *store.Message) { m.Status, m.Tried, m.Taken = store.MessageSent, tried, tried }
	}
	tests := []struct {
		name     string
		client   *tenant.Client
		routes   []routing.Route
		change   func(*store.Message)
		want     []string
		decision string
	}{
		{"test client", &tenant.Client{}, []routing.Route{main}, nil, []string{"inbox"}, ""},
		{"no routes", live(), nil, nil, []string{"inbox"}, ""},
		{"inbox named", live("main", "inbox"), []routing.Route{main}, nil, []string{"inbox"}, ""},
		{"unknown route named", live("gone"), []routing.Route{main}, nil, nil, ""},
		{"none but a named one", live("main"), nil, nil, nil, ""},
		{
			"by priority", live(),
			[]routing.Route{backup, main},
			nil,
			[]string{"main", "backup"},
			"main=tried backup=chosen",
		},
		{
			"one named", live("backup"),
			[]routing.Route{backup, main},
			nil,
			[]string{"backup"},
			"main=not_allowed backup=chosen",
		},
		{
			"area codes", live(),
			[]routing.Route{backup, local, east},
			nil,
			[]string{"local", "backup"},
			"east=area_code local=tried backup=chosen",
		},
		{"no route for the area", live(), []routing.Route{east}, nil, nil, ""},
		{
			"tried in an earlier claim", live(),
			[]routing.Route{main, backup},
			func(m *store.Message) { m.Tried = []string{"main"} },
			[]string{"backup", "main"},
			"main=chosen backup=tried",
		},
		{
			"all tried in earlier claims", live(),
			[]routing.Route{main, backup},
			func(m *store.Message) { m.Tried = []string{"main", "backup", "main"} },
			[]string{"main", "backup"},
			"main=tried backup=chosen",
		},
		{
			"sent and not heard of", live(),
			[]routing.Route{main, backup},
			sent("main"),
			[]string{"backup"},
			"main=tried backup=chosen",
		},
		{"sent over all and not heard of", live(), []routing.Route{main, backup}, sent("backup", "main"), nil, ""},
		{
			"sent over one, not taken by the other", live(),
			[]routing.Route{main, backup},
			func(m *store.Message) {
				m.Status, m.Tried, m.Taken = store.MessageUnknown, []string{"main", "backup"}, []string{"backup"}
			},
			[]string{"main"},
			"main=chosen backup=tried",
		},
		{
			"queued again after a failed receipt", live(),
			[]routing.Route{main, backup},
			func(m *store.Message) { m.Tried, m.Taken = []string{"main"}, []string{"main"} },
			[]string{"backup"},
			"main=tried backup=chosen",
		},
		{"shown in the inbox and not heard of", live(), nil, sent(), nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil, tt.routes...)
			m := b.message()
			if tt.change != nil {
				tt.change(m)
			}
			b.client = tt.client
			p := b.plan(m)
			var path []string
			var last string
			for {
				leg, err := p.Next(context.Background(), time.Now())
				if err != nil {
					if !errors.Is(err, routing.ErrNone) {
						t.Errorf("the path ends with %v", err)
					}
					break
				}
				if leg.Inbox() != (leg.Route == "inbox") || leg.Carrier == nil {
					t.Errorf("leg %+v", leg)
				}
				path, last = append(path, leg.Route), leg.Decision
				p.Done(leg, down())
			}
			if !slices.Equal(path, tt.want) || last != tt.decision {
				t.Errorf("path %q, last decision %q; want %q, %q", path, last, tt.want, tt.decision)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	heavy, light := via("heavy", 0), via("light", 0)
	heavy.Weight = 3
	b := newBench(t, nil, heavy, light)
	got := make(map[string]int)
	for range 4000 {
		got[b.one(nil)]++
	}
	if got["heavy"] < 2850 || got["heavy"] > 3150 || got["light"] != 4000-got["heavy"] {
		t.Errorf("weights 3 and 1 gave %v", got)
	}
}

// TestTimeouts: another look at a message is worth something only while there
// is a route left for it.
func TestTimeouts(t *testing.T) {
	main, backup := via("main", 0), via("backup", 1)
	main.ReceiptTimeout, main.UnknownTimeout, main.PriceMicros = time.Minute, 20*time.Second, 7500
	backup.ReceiptTimeout = time.Hour
	b := newBench(t, nil, main, backup)
	p := b.plan(b.message())
	first := b.next(p)
	if first.ReceiptTimeout != time.Minute || first.UnknownTimeout != 20*time.Second || first.PriceMicros != 7500 {
		t.Errorf("first leg %+v", first)
	}
	p.Done(first, down())
	if second := b.next(p); second.ReceiptTimeout != time.Hour {
		t.Errorf("main did not take it and may do so later, but a receipt is waited for %v", second.ReceiptTimeout)
	}
	m := b.message()
	m.Status, m.Tried, m.Taken = store.MessageSent, []string{"main"}, []string{"main"}
	if last := b.next(b.plan(m)); last.ReceiptTimeout != 0 {
		t.Errorf("a receipt is waited for with no route left: %v", last.ReceiptTimeout)
	}
	alone := newBench(t, nil, main)
	if leg := alone.next(alone.plan(alone.message())); leg.ReceiptTimeout != 0 || leg.UnknownTimeout != 0 {
		t.Errorf("with one route the timeouts are %v and %v", leg.ReceiptTimeout, leg.UnknownTimeout)
	}
}

// TestDoneCountsOnce: a send that was given up and returns after all.
func TestDoneCountsOnce(t *testing.T) {
	b := newBench(t, nil, via("main", 0))
	p := b.plan(b.message())
	leg := b.next(p)
	p.Done(leg, because(carrier.ReasonTimeout))
	p.Done(leg, nil)
	p.Done(leg, down())
	s := b.status("main")
	if s.Sent != 0 || s.InFlight != 0 || !maps.Equal(s.Failures, map[string]uint64{carrier.ReasonTimeout: 1}) {
		t.Errorf("%+v", s)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, same, backup := via("slow", 0), via("same", 0), via("backup", 1)
		slow.Rate, same.Rate = 10, 10
		b := newBench(t, nil, slow, same, backup)
		got := map[string]int{b.one(nil): 1}
		got[b.one(nil)]++
		if got["slow"] != 1 || got["same"] != 1 {
			t.Fatalf("two messages at once took %v, want one each", got)
		}
		begun := time.Now()
		if route := b.one(nil); route == "backup" || time.Since(begun) != 100*time.Millisecond {
			t.Errorf("the third took %q after %v, want to wait for its turn", route, time.Since(begun))
		}
	})
}

// TestRateBooks: messages that are sent away come back one after the other.
func TestRateBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := via("slow", 0)
		slow.Rate = 10
		b := newBench(t, nil, slow)
		busy := make(chan *routing.Wait, 200)
		sent := make(chan struct{}, 200)
		for range 200 {
			p := b.plan(b.message())
			go func() {
				leg, err := p.Next(context.Background(), time.Now())
				var w *routing.Wait
				if errors.As(err, &w) {
					busy <- w
					return
				}
				p.Done(leg, nil)
				sent <- struct{}{}
			}()
		}
		now := time.Now()
		<-time.After(time.Second)
		synctest.Wait()
		if n := len(sent); n != 6 {
			t.Errorf("%d sent within half a second at 10 a second, want 6", n)
		}
		perSecond := make(map[int]int)
		for range len(busy) {
			w := <-busy
			if w.Down {
				t.Error("a busy route is down")
			}
			after := w.At.Sub(now)
			if after <= 0 || after > 16*time.Second {
				t.Errorf("sent away for %v", after)
			}
			perSecond[int(after/time.Second)]++
		}
		for second, n := range perSecond {
			// Up to 15 s ahead each has its turn; the rest is spread over the end.
			if second < 6 && n > 11 {
				t.Errorf("%d messages were sent away until second %d", n, second)
			}
		}
	})
}

// TestSpill: a message that has waited for long takes any route.
func TestSpill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, backup := via("slow", 0), via("backup", 1)
		slow.Rate = 0.01
		b := newBench(t, nil, slow, backup)
		b.one(nil)
		if w := b.wait(); w.Down {
			t.Error("a busy route is down")
		}
		m := b.message()
		m.CreatedAt = time.Now().Add(-11 * time.Second)
		if leg := b.next(b.plan(m)); leg.Route != "backup" || leg.Decision != "slow=busy backup=chosen" {
			t.Errorf("it took %q: %s", leg.Route, leg.Decision)
		}
	})
}

// TestThrottledSpill: a message does not wait longer for a route that wants a
// long pause than it takes for others to be an alternative.
func TestThrottledSpill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		err := because(carrier.ReasonThrottled)
		err.RetryAfter = time.Minute
		b.one(err)
		m := b.message()
		w := b.waitOf(m)
		if d := time.Until(w.At); w.Down || d < 10*time.Second || d > 11*time.Second {
			t.Errorf("it waits for %v", d)
		}
		<-time.After(time.Until(w.At))
		if leg := b.next(b.plan(m)); leg.Route != "backup" {
			t.Errorf("then %q: %s", leg.Route, leg.Decision)
		}
	})
}

// TestNextNeverOutlivesTheCode: no turn after the code's death is waited for.
func TestNextNeverOutlivesTheCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := via("slow", 0)
		slow.Rate = 5
		b := newBench(t, nil, slow)
		b.one(nil)
		m := b.message()
		m.ExpiresAt = time.Now().Add(150 * time.Millisecond)
		leg, err := b.plan(m).Next(context.Background(), time.Now())
		var w *routing.Wait
		if !errors.As(err, &w) || w.At.Before(m.ExpiresAt) {
			t.Errorf("got %q and %v", leg.Route, err)
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := via("slow", 0)
		slow.Rate = 5
		b := newBench(t, nil, slow)
		b.one(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := b.plan(b.message()).Next(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSwap: routes that stay keep what is known of them.
func TestSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, backup := via("main", 0), via("backup", 1)
		main.Rate = 100
		b := newBench(t, nil, main, backup)
		for range 5 {
			b.one(down())
		}
		p := b.plan(b.message())
		leg := b.next(p)
		if leg.Route != "backup" {
			t.Fatalf("took %q", leg.Route)
		}
		if err := b.Swap([]routing.Route{{Name: "", Rate: -1}}); err == nil {
			t.Error("nonsense was taken")
		}
		main.Weight, main.Rate = 7, 50
		if err := b.Swap([]routing.Route{main, via("third", 0)}); err != nil {
			t.Fatal(err)
		}
		if s := b.status("main"); s.Breaker != "open" || s.Weight != 7 {
			t.Errorf("main: %+v", s)
		}
		p.Done(leg, down()) // over a route that is gone
		if leg := b.next(p); leg.Route != "third" || leg.Decision != "main=breaker_open third=chosen" {
			t.Errorf("then %q: %s", leg.Route, leg.Decision)
		}
		main.Carrier = carriertest.NewFake("main", nil)
		if err := b.Swap([]routing.Route{main}); err != nil {
			t.Fatal(err)
		}
		if s := b.status("main"); s.Breaker != "closed" || len(s.Failures) != 0 {
			t.Errorf("a new carrier inherited %+v", s)
		}
	})
}

// TestAvailableWhenMisconfigured: a lone route that refuses everything until an
// operator acts is no route, but is asked again now and then, and as soon as it
// takes a message it is one.
func TestAvailableWhenMisconfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0))
		wrong := carrier.NewError(carrier.ReasonMisconfigured, nil)
		want := func(available bool) {
			t.Helper()
			if got := b.Available(live()); got != available {
				t.Errorf("available: %v", got)
			}
		}
		for range 4 {
			b.one(wrong)
		}
		want(true)
		b.one(wrong)
		want(false)
		if b.status("main").Breaker != "closed" {
			t.Error("the route counts as ill")
		}
		<-time.After(10 * time.Second)
		want(true)
		b.one(wrong)
		want(false)
		b.one(nil)
		want(true)
	})
}

func TestAvailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil, via("main", 0), via("backup", 1))
		for range 5 {
			b.one(down())
		}
		for name, tt := range map[string]struct {
			client *tenant.Client
			want   bool
		}{
			"any": {live(), true}, "main": {live("main"), false}, "backup": {live("backup"), true},
			"test": {&tenant.Client{}, true}, "inbox": {live("inbox"), true}, "unknown": {live("gone"), false},
		} {
			if got := b.Available(tt.client); got != tt.want {
				t.Errorf("%s: %v, want %v", name, got, tt.want)
			}
		}
		<-time.After(6 * time.Second)
		if !b.Available(live("main")) {
			t.Error("nobody may probe main")
		}
	})
}
