package routing

import (
	"slices"
	"sync/atomic"
	"time"
)

// choice is what was made of every route at one moment for one message.
type choice struct{ options []option }

// option is what was made of one route.
type option struct {
	*route
	// reason says why not; empty while the route can be used. Busy and Throttled
	// pass within delay, BreakerOpen and Stalled not before until.
	reason Reason
	delay  time.Duration
	until  time.Time
	grade  *grade
	// demoted: a route that can be used fares twice as well.
	demoted bool
	// again: the message was handed to it in an earlier claim.
	again bool
	// rank orders the routes that can be used, the lowest first: those that the
	// message has not tried, then those that are healthy, then by priority.
	rank int
}

// consider looks at all routes.
func (p *Plan) consider(now time.Time) choice {
	t := p.r.table.Load()
	p.r.refresh(t, now)
	c := choice{options: make([]option, len(t.routes))}
	for i, rt := range t.routes {
		o := &c.options[i]
		o.route, o.grade = rt, rt.grade.Load()
		o.reason, o.until = p.refuse(rt, now)
	}
	for i := range c.options {
		o := &c.options[i]
		if o.reason != "" {
			continue
		}
		for j := range c.options {
			other := &c.options[j]
			o.demoted = o.demoted || other.reason == "" && o.grade.worse(other.grade)
		}
		o.rank = o.Priority
		if o.demoted {
			o.rank += maxPriority + 1
		}
		if o.again = slices.Contains(p.m.Tried, o.Name); o.again {
			o.rank += 2 * (maxPriority + 1)
		}
	}
	return c
}

// refuse tells why the route is not for this message, or not now; "" if it is.
func (p *Plan) refuse(rt *route, now time.Time) (reason Reason, until time.Time) {
	switch {
	case !rt.allows(p.client):
		return NotAllowed, until
	case rt.areas != nil && !rt.areas[p.npa]:
		return AreaCode, until
	case slices.Contains(p.tried, rt.Name), p.holds(rt.Name):
		return Tried, until
	default:
		return rt.trouble(now)
	}
}

// draw takes a route that can be used right now: of those with the lowest rank
// one at random, by weight and health. While one of them is merely busy, those
// with a higher rank are no choice, unless the message has waited for too long.
func (p *Plan) draw(c *choice, now time.Time) (Leg, bool) {
	if o := p.explore(c); o != nil {
		if leg, ok := p.take(c, o, Explored, now); ok {
			return leg, true
		}
	}
	spills := now.Sub(p.m.CreatedAt) >= spillAfter
	for lead := c.lead(); lead != nil; lead = c.lead() {
		rank, busy := lead.rank, false
		for o := c.toss(rank, p.r.cfg.Rand); o != nil; o = c.toss(rank, p.r.cfg.Rand) {
			if leg, ok := p.take(c, o, Chosen, now); ok {
				return leg, true
			}
			busy = busy || o.reason != BreakerOpen
		}
		if busy && !spills {
			break
		}
	}
	return Leg{}, false
}

// lead returns a route of the lowest rank that can be used.
func (c *choice) lead() (lead *option) {
	for i := range c.options {
		if o := &c.options[i]; o.reason == "" && (lead == nil || o.rank < lead.rank) {
			lead = o
		}
	}
	return lead
}

// minHealth keeps a route in the draw that brings next to nothing, while those
// beside it are no better.
const minHealth = 0.01

// toss draws one of the routes of a rank that can be used.
func (c *choice) toss(rank int, random func() float64) (drawn *option) {
	var total float64
	for i := range c.options {
		if o := &c.options[i]; o.reason == "" && o.rank == rank {
			total += o.share()
		}
	}
	at := random() * total
	for i := range c.options {
		if o := &c.options[i]; o.reason == "" && o.rank == rank {
			drawn = o
			if at -= o.share(); at < 0 {
				break
			}
		}
	}
	return drawn
}

func (o *option) share() float64 { return float64(o.Weight) * max(o.grade.mean, minHealth) }

// explore returns, for a small share of the messages, a route that would not
// get any otherwise, in order to learn how it fares: a demoted one, so that it
// comes back once it has recovered, and one of which too little is known while
// the best one is poor. Only messages that were not tried before take part.
func (p *Plan) explore(c *choice) *option {
	lead := c.lead()
	if lead == nil || p.redeliver || len(p.tried) > 0 || len(p.m.Tried) > 0 {
		return nil
	}
	samples := p.r.cfg.MinSamples
	poor := lead.grade.poor(samples)
	var found []*option
	for i := range c.options {
		o := &c.options[i]
		if o.reason == "" && o.rank > lead.rank && (o.demoted || poor && o.grade.unknown(samples)) {
			found = append(found, o)
		}
	}
	if len(found) == 0 || p.r.cfg.Rand() >= p.r.cfg.Explore {
		return nil
	}
	return found[min(int(p.r.cfg.Rand()*float64(len(found))), len(found)-1)]
}

// take hands the message to a route if that is possible right now; otherwise it
// notes why not.
func (p *Plan) take(c *choice, o *option, why Reason, now time.Time) (Leg, bool) {
	if o.delay = o.paused(now); o.delay > 0 {
		o.reason = Throttled
		return Leg{}, false
	}
	var ok bool
	if o.delay, ok = o.limiter.take(now, 0); !ok {
		o.reason = Busy
		return Leg{}, false
	}
	return p.begin(c, o, why, now)
}

// begin hands the message to a route whose turn it has.
func (p *Plan) begin(c *choice, o *option, why Reason, now time.Time) (Leg, bool) {
	ticket, ok := o.begin(now)
	if !ok {
		o.reason, o.until = BreakerOpen, now.Add(stallCheck)
		return Leg{}, false
	}
	leg := Leg{
		At: now, Route: o.Name, Carrier: o.Carrier, Decision: c.decision(o, why), PriceMicros: o.PriceMicros,
		route: o.route, ticket: ticket, done: new(atomic.Bool),
	}
	if c.others(p, o) {
		leg.ReceiptTimeout, leg.UnknownTimeout = o.ReceiptTimeout, o.UnknownTimeout
	}
	p.tried = append(p.tried, o.Name)
	return leg, true
}

// soonest returns the busy route that will be free first; nil if none is busy.
func (c *choice) soonest() (found *option) {
	for i := range c.options {
		o := &c.options[i]
		if (o.reason == Busy || o.reason == Throttled) && (found == nil || o.delay < found.delay) {
			found = o
		}
	}
	return found
}

// others tells whether there is a route to which the message could go later,
// should nothing be heard of it.
func (c *choice) others(p *Plan, chosen *option) bool {
	for i := range c.options {
		o := &c.options[i]
		if o != chosen && o.reason != NotAllowed && o.reason != AreaCode && !p.holds(o.Name) {
			return true
		}
	}
	return false
}

// decision writes down what was made of every route.
func (c *choice) decision(chosen *option, why Reason) string {
	out := make([]Decision, len(c.options))
	for i := range c.options {
		o := &c.options[i]
		d := Decision{Route: o.Name, Reason: o.reason}
		switch {
		case o == chosen:
			d.Reason = why
		case o.reason != "":
		case o.rank <= chosen.rank:
			d.Reason = NotDrawn
		case o.again:
			d.Reason = Tried
		case o.demoted:
			d.Reason = Unhealthy
		default:
			d.Reason = LowerPriority
		}
		out[i] = d
	}
	return FormatDecision(out)
}
