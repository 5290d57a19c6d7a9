package routing

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// ErrNone says that no route is left for a message: its client may take none
// that is configured and takes its number, or it was handed to all of them.
var ErrNone = errors.New("routing: no route")

// Wait says that a route is there, but not now.
type Wait struct {
	// At is when to try again.
	At time.Time
	// Down: every route that is left is out of order. Otherwise one is only busy,
	// and the message waits for nothing but its turn.
	Down bool
}

// Error implements error.
func (w *Wait) Error() string {
	if w.Down {
		return "routing: every route is down"
	}
	return "routing: busy"
}

// MaxTurn is how long Next waits for a busy route at most.
const MaxTurn = 500 * time.Millisecond

// spillAfter is how long a message waits for the routes of its priority while
// those are merely busy. After that it takes any other as well: a code that
// comes late is worth little, whatever it costs.
const spillAfter = 10 * time.Second

// Plan finds the routes for one message, one after the other. Next and Done
// are called by one goroutine at a time; see Done for the exception.
//
// No route is used twice in one plan. In a later claim a message may try a route
// again that did not take it, after those that it has not tried. One that took
// it, or may have, does not get it again.
type Plan struct {
	r         *Router
	client    *tenant.Client
	m         *store.Message
	npa       int
	inbox     bool
	shown     bool // in the inbox
	redeliver bool
	tried     []string // in this plan
	throttled []string // those of them that only wanted patience
}

// Leg is one handing-over of the message to a carrier.
type Leg struct {
	// At is when it was the message's turn.
	At      time.Time
	Route   string
	Carrier carrier.Carrier
	// Decision says why this route, as FormatDecision writes it; empty for the
	// inbox.
	Decision string
	// PriceMicros is what one segment costs.
	PriceMicros int64
	// ReceiptTimeout and UnknownTimeout are after how long another route is to
	// get the message, if the carrier took it or may have taken it; 0: never, or
	// there is no other route.
	ReceiptTimeout, UnknownTimeout time.Duration

	route  *route // nil: the inbox
	ticket ticket
	done   *atomic.Bool
}

// Inbox tells whether the leg leads to the inbox, which is no route.
func (l *Leg) Inbox() bool { return l.route == nil }

// Plan begins the routing of a claimed message to a number.
func (r *Router) Plan(c *tenant.Client, m *store.Message, to phone.Number) Plan {
	return Plan{
		r: r, client: c, m: m, npa: to.NPA(), inbox: r.table.Load().usesInbox(c),
		redeliver: m.Status == store.MessageSent || m.Status == store.MessageUnknown,
	}
}

// TakesExpired tells whether the message is of use even after its code has
// died, as it is in the inbox.
func (p *Plan) TakesExpired() bool { return p.inbox && p.r.cfg.Inbox.Traits().TakesExpired }

// holds tells whether a carrier has, or may have, the message by that route, or
// took it and could not deliver it: it does not get it again, so that broken
// receipts cannot have a message sent, and paid, over and over.
func (p *Plan) holds(route string) bool { return slices.Contains(p.m.Taken, route) }

// Next returns where the message goes next. It waits at most MaxTurn for its
// turn, and never until the code has died. Errors are ErrNone, a *Wait, and that
// of ctx. Each leg has to be given back with Done.
func (p *Plan) Next(ctx context.Context, now time.Time) (Leg, error) {
	if p.inbox {
		if p.redeliver || p.shown {
			return Leg{}, ErrNone
		}
		p.shown = true
		return Leg{At: now, Route: tenant.RouteInbox, Carrier: p.r.cfg.Inbox}, nil
	}
	deadline := earlier(p.m.ExpiresAt, now.Add(MaxTurn))
	for ; ; now = p.r.cfg.Now() {
		c := p.consider(now)
		if leg, ok := p.draw(&c, now); ok {
			return leg, nil
		}
		o := c.soonest()
		if o == nil {
			return Leg{}, p.stuck(&c, now)
		}
		if o.delay > deadline.Sub(now) {
			return Leg{}, &Wait{At: p.turn(&c, o, now)}
		}
		if o.reason == Throttled {
			if err := sleep(ctx, o.delay); err != nil {
				return Leg{}, err
			}
			continue
		}
		delay, ok := o.limiter.take(now, deadline.Sub(now))
		if !ok {
			continue
		}
		if err := sleep(ctx, delay); err != nil {
			return Leg{}, err
		}
		now = p.r.cfg.Now()
		if o.paused(now) > 0 {
			continue
		}
		if leg, ok := p.begin(&c, o, Chosen, now); ok {
			return leg, nil
		}
	}
}

// turn is when a message is to come back that is sent away to wait for a route.
// A long pause is not waited for when there is a route for messages that have
// waited for too long.
func (p *Plan) turn(c *choice, o *option, now time.Time) time.Time {
	at := o.limiter.book(now.Add(o.delay), p.r.cfg.Rand())
	if c.lead() == nil || o.reason != Throttled && o.delay <= spillAfter {
		return at
	}
	spread := time.Duration(p.r.cfg.Rand() * float64(minPause))
	return earlier(at, p.m.CreatedAt.Add(spillAfter+spread))
}

// Done gives a leg back with what came of it; nil when the carrier took the
// message. It counts once, however often and by whomever it is called.
func (p *Plan) Done(leg Leg, err *carrier.Error) {
	if leg.route == nil || !leg.done.CompareAndSwap(false, true) {
		return
	}
	now := p.r.cfg.Now()
	leg.route.end(leg.ticket, err, now)
	switch {
	case err == nil, err.Class == carrier.Unknown:
		leg.route.health.add(now, p.m.CreatedAt, 1, 0)
	case err.Effect == carrier.EffectThrottle:
		p.throttled = append(p.throttled, leg.Route)
	}
}

// stuck tells why there is no leg, although none is merely busy.
func (p *Plan) stuck(c *choice, now time.Time) error {
	var busy, down time.Time
	for i := range c.options {
		o := &c.options[i]
		switch {
		case o.reason == Tried && slices.Contains(p.throttled, o.Name):
			if pause := o.paused(now); pause > 0 || busy.IsZero() {
				busy = earlier(busy, now.Add(max(pause, minPause/2)))
			}
		case o.reason == BreakerOpen, o.reason == Stalled:
			down = earlier(down, o.until)
		}
	}
	switch {
	case !busy.IsZero():
		return &Wait{At: busy.Add(time.Duration(p.r.cfg.Rand() * float64(minPause)))}
	case !down.IsZero():
		return &Wait{At: down, Down: true}
	default:
		return ErrNone
	}
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
