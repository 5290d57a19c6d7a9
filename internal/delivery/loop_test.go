package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/delivery"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

type statuses = map[store.MessageStatus]int

func TestTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.After(time.Millisecond, carriertest.Accept()))
		r := start(t, q, c, nil)
		ids := q.put(10_000, nil)
		r.Wake()
		after(30 * time.Second)
		want(t, q, statuses{store.MessageSent: 10_000})
		sentTimes(t, c, ids, 1)
		if c.Peak() > 8 {
			t.Errorf("%d sends at once, want at most 8", c.Peak())
		}
		if n := len(q.batches); n > 10_000/32*4 {
			t.Errorf("%d records for 10,000 outcomes", n)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
		m := q.get(ids[0])
		if m.Route != "fake" || m.CarrierRef != "fake-"+m.ID.String() || m.Error != "" {
			t.Errorf("recorded route %q, ref %q, error %q", m.Route, m.CarrierRef, m.Error)
		}
	})
}

func TestMessageContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", carriertest.Deliver())
		r := start(t, q, c, nil)
		id := q.put(1, nil)[0]
		r.Wake()
		after(20 * time.Millisecond) // two gatherings, far below the poll
		want(t, q, statuses{store.MessageDelivered: 1})
		got := c.Sent()[0]
		if got.ID != id || got.To.E164() != "+16502530000" ||
			string(got.Text) != "123456 is your Codeword verification code. Don't share it." ||
			!got.ValidUntil.Equal(q.get(id).ExpiresAt) {
			t.Errorf("sent %+v", got)
		}
		if err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestPoll: a message whose Wake never came is found all the same.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		r := start(t, q, c, nil)
		after(3500 * time.Millisecond)
		q.put(1, nil)
		after(time.Second)
		want(t, q, statuses{store.MessageSent: 1})
		_ = r.end()
	})
}

func TestOutcomes(t *testing.T) {
	const gone = 15 * time.Minute // all codes are dead, all tries used up
	tests := []struct {
		name   string
		change func(*store.Message)
		script []carriertest.Step
		rest   carriertest.Step
		status store.MessageStatus
		reason string
		sends  int // negative: from 2 to so many
	}{
		{"rejected", nil, nil, carriertest.Fail(carrier.Rejected, "invalid_number"), store.MessageFailed, "invalid_number", 1},
		{
			"retried until taken", nil,
			[]carriertest.Step{carriertest.Fail(carrier.Retryable, "throttled"), carriertest.Fail(carrier.Retryable, "throttled")},
			nil, store.MessageSent, "", 3,
		},
		{"retried for as long as the code lives", nil, nil, carriertest.Fail(carrier.Retryable, "busy"), store.MessageFailed, "busy", -80},
		{
			"retried until the code died", func(m *store.Message) { m.ExpiresAt = time.Now().Add(5 * time.Second) },
			nil, carriertest.Fail(carrier.Retryable, "busy"), store.MessageFailed, "busy", -6,
		},
		{"unknown outcome", nil, nil, carriertest.Fail(carrier.Unknown, "cut_off"), store.MessageUnknown, "cut_off", 1},
		{"untyped error", nil, nil, carriertest.FailWith(errors.New("+16502530000?")), store.MessageUnknown, "carrier_error", 1},
		{"hang", nil, nil, carriertest.Hang(), store.MessageUnknown, "timeout", 1},
		{"panic", nil, nil, carriertest.Panic("123456"), store.MessageUnknown, "panic", 1},
		{"expired", func(m *store.Message) { m.ExpiresAt = time.Now() }, nil, nil, store.MessageExpired, "expired", 0},
		{"erased", func(m *store.Message) { m.Sealed = nil }, nil, nil, store.MessageFailed, "phone_erased", 0},
		{"unreadable", func(m *store.Message) { m.Sealed = []byte("x") }, nil, nil, store.MessageFailed, "number_unreadable", 0},
		{"key retired", func(m *store.Message) { m.KeyVersion = 99 }, nil, nil, store.MessageFailed, "code_unavailable", 0},
		{"client gone", func(m *store.Message) { m.Client = "client-gone" }, nil, nil, store.MessageFailed, "client_unknown", 0},
		{"crashed too often", func(m *store.Message) { m.Claims = 100 }, nil, nil, store.MessageFailed, "gave_up", 0},
		{
			"hostile ref", nil, nil, func(context.Context, carrier.Message) (carrier.Receipt, error) {
				return carrier.Receipt{Ref: "ref\xff" + strings.Repeat("x", 1<<20)}, nil
			}, store.MessageSent, "", 1,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, c := newQueue(), carriertest.NewFake("fake", tt.rest, tt.script...)
				r := start(t, q, c, nil)
				id := q.put(1, tt.change)[0]
				r.Wake()
				after(gone)
				m := q.get(id)
				if m.Status != tt.status || m.Error != tt.reason {
					t.Errorf("got %v %q, want %v %q", m.Status, m.Error, tt.status, tt.reason)
				}
				if n := c.Times(id); n != tt.sends && (tt.sends >= 0 || n < 2 || n > -tt.sends) {
					t.Errorf("sent %d times, want %d", n, tt.sends)
				}
				if len(m.CarrierRef) > 128 || strings.Contains(m.CarrierRef, "\xff") {
					t.Errorf("ref of %d bytes", len(m.CarrierRef))
				}
				if err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTakesExpired: the inbox shows a code that was dead from the start.
func TestTakesExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		busy := carriertest.Fail(carrier.Retryable, "busy")
		c := carriertest.NewFake("fake", carriertest.Deliver(), busy, busy).WithTraits(carrier.Traits{TakesExpired: true})
		r := start(t, q, c, nil)
		q.put(1, func(m *store.Message) { m.Client, m.ExpiresAt = "client-test", time.Now().Add(-time.Hour) })
		r.Wake()
		after(time.Minute)
		want(t, q, statuses{store.MessageDelivered: 1})
		_ = r.end()
	})
}

// TestComesBack: what is missing when a message is claimed may be there later.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		begun := time.Now()
		r := start(t, q, c, func(cfg *delivery.Config) {
			clients := cfg.Clients
			cfg.Clients = func(id string) *tenant.Client {
				if time.Since(begun) < 4*time.Second {
					panic("cache on fire")
				}
				return clients(id)
			}
			if err := cfg.Router.Swap(nil); err != nil {
				t.Error(err)
			}
		})
		ids := q.put(20, nil)
		r.Wake()
		after(10 * time.Second)
		want(t, q, statuses{store.MessageQueued: 20})
		if reason := q.get(ids[0]).Error; reason != "route_unknown" {
			t.Errorf("without a route the reason is %q", reason)
		}
		if err := r.router.Swap([]routing.Route{{Name: "fake", Carrier: c}}); err != nil {
			t.Fatal(err)
		}
		after(20 * time.Second)
		want(t, q, statuses{store.MessageSent: 20})
		sentTimes(t, c, ids, 1)
		_ = r.end()
	})
}

// TestWakeIsNotLost: whenever Wake is called, the message is sent long before
// the next poll.
func TestWakeIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil)
		r := start(t, q, c, func(cfg *delivery.Config) { cfg.Poll = time.Hour })
		for i := range 200 {
			q.put(1, nil)
			r.Wake()
			after(time.Duration(i) * 100 * time.Microsecond)
		}
		after(100 * time.Millisecond)
		want(t, q, statuses{store.MessageSent: 200})
		_ = r.end()
	})
}

// TestLogsNothingSecret: neither number nor code reach the log, however a
// carrier fails.
func TestLogsNothingSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		quote := func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
			return carrier.Receipt{}, errors.New("bad: " + m.To.E164() + string(m.Text))
		}
		blow := func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
			panic(m.To.E164() + string(m.Text))
		}
		index := func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
			return carrier.Receipt{Ref: string(m.Text)[len(m.Text):][:len(m.To.E164())]}, nil
		}
		q, c := newQueue(), carriertest.NewFake("fake", nil, quote, blow, index)
		r := start(t, q, c, func(cfg *delivery.Config) {
			cfg.Log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
			cfg.Workers = 1
		})
		q.put(3, nil)
		r.Wake()
		after(time.Second)
		_ = r.end()
		log := out.String()
		if strings.Contains(log, "6502530000") || strings.Contains(log, "123456 is") || strings.Count(log, "delivery: panic") != 2 {
			t.Errorf("want two panics logged and no secret, got %s", log)
		}
		if !strings.Contains(log, "slice bounds out of range") {
			t.Errorf("the runtime's own error is missing: %s", log)
		}
		want(t, q, statuses{store.MessageUnknown: 3})
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, c := newQueue(), carriertest.NewFake("fake", nil, carriertest.Fail(carrier.Rejected, "spam"))
		r := start(t, q, c, func(cfg *delivery.Config) { cfg.Workers = 1 })
		q.put(3, nil)
		q.put(1, func(m *store.Message) { m.Client = "client-gone" })
		r.Wake()
		after(6 * time.Second)
		_ = r.end()
		if got := r.counts.outcomes; got["fake failed spam"] != 1 || got["fake sent "] != 2 || got[" queued client_unknown"] < 2 {
			t.Errorf("outcomes %v", got)
		}
		if r.counts.depth != 1 {
			t.Errorf("depth %d, want 1", r.counts.depth)
		}
	})
}

func TestNewNamesWrongFields(t *testing.T) {
	if _, err := delivery.New(config(t, newNode(), carriertest.NewFake("fake", nil))); err != nil {
		t.Fatal(err)
	}
	_, err := delivery.New(delivery.Config{Workers: -1, Batch: -1, Lease: time.Second, MaxClaims: -1, Poll: -1, SendTimeout: -1})
	for _, field := range []string{"Queue", "Workers", "Batch", "MaxClaims", "Poll", "SendTimeout"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	cfg := config(t, newNode(), carriertest.NewFake("fake", nil))
	cfg.Lease = 19 * time.Second
	if _, err := delivery.New(cfg); err == nil {
		t.Error("a lease that two sends outlast was accepted")
	}
}

func TestExponential(t *testing.T) {
	f := delivery.Exponential(time.Second, time.Minute)
	for claims, full := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second,
		7: time.Minute, 1000: time.Minute, 1 << 62: time.Minute,
	} {
		for range 50 {
			if d := f(claims); d < full/2-1 || d > full {
				t.Fatalf("after %d claims %v, want %v to %v", claims, d, full/2, full)
			}
		}
	}
}
