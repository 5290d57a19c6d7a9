package routing_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// bench is a router with what a test needs to send messages through it. It
// runs within a synctest bubble.
type bench struct {
	*routing.Router
	t      *testing.T
	client *tenant.Client
	serial uint64
}

// dice returns a repeatable Config.Rand.
func dice() func() float64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	return func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Float64()
	}
}

func newBench(t *testing.T, change func(*routing.Config), routes ...routing.Route) *bench {
	t.Helper()
	cfg := routing.Config{
		Inbox: carriertest.NewFake("inbox", nil), Routes: routes, Rand: dice(),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&cfg)
	}
	r, err := routing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Router: r, t: t, client: live()}
}

// live returns a live client that takes those routes.
func live(routes ...string) *tenant.Client {
	return &tenant.Client{ID: "client-live", Live: true, Settings: tenant.Settings{Routes: routes}}
}

// via returns a route over a carrier of its own.
func via(name string, priority int) routing.Route {
	return routing.Route{Name: name, Carrier: carriertest.NewFake(name, nil), Priority: priority}
}

// message returns a fresh queued message.
func (b *bench) message() *store.Message {
	b.serial++
	m := &store.Message{Status: store.MessageQueued, Claims: 1, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute)}
	binary.BigEndian.PutUint64(m.ID[:], b.serial)
	return m
}

func number(t *testing.T) phone.Number {
	t.Helper()
	n, err := phone.Parse("+16502530000")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (b *bench) plan(m *store.Message) *routing.Plan {
	p := b.Plan(b.client, m, number(b.t))
	return &p
}

// next returns the next leg of a plan, or fails the test.
func (b *bench) next(p *routing.Plan) routing.Leg {
	b.t.Helper()
	leg, err := p.Next(context.Background(), time.Now())
	if err != nil {
		b.t.Fatalf("no leg: %v", err)
	}
	return leg
}

// one routes one fresh message, which fares as said, and tells where it went.
func (b *bench) one(failure *carrier.Error) string {
	b.t.Helper()
	p := b.plan(b.message())
	leg := b.next(p)
	p.Done(leg, failure)
	return leg.Route
}

// wait returns the *Wait that a fresh message gets, or fails the test.
func (b *bench) wait() *routing.Wait {
	b.t.Helper()
	return b.waitOf(b.message())
}

// waitOf returns the *Wait that the message gets, or fails the test.
func (b *bench) waitOf(m *store.Message) *routing.Wait {
	b.t.Helper()
	p := b.plan(m)
	leg, err := p.Next(context.Background(), time.Now())
	var w *routing.Wait
	if !errors.As(err, &w) {
		b.t.Fatalf("got route %q and %v, want to wait", leg.Route, err)
	}
	return w
}

func (b *bench) status(route string) routing.Status {
	b.t.Helper()
	for _, s := range b.Status() {
		if s.Route == route {
			return s
		}
	}
	b.t.Fatalf("no status of %s", route)
	return routing.Status{}
}

func down() *carrier.Error            { return carrier.NewError(carrier.ReasonUnavailable, nil) }
func because(r string) *carrier.Error { return carrier.NewError(r, nil) }
