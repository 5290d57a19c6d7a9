package intent

import (
	"encoding/binary"
	"time"

	"codeword/internal/store"
)

// lane is one of three ways to a phone. Each has limits of its own, so that whoever
// uses up those of one keeps nobody out of another. However many sessions and devices
// a stranger has, two lanes are all that he can use.
type lane uint8

const (
	// laneOpen is for callers of whom nothing is known.
	laneOpen lane = iota
	// laneBound is for all callers with a bearer, whoever they are.
	laneBound
	// laneKnown is for the bearer of the phone's own user, and for a device that
	// verified the phone before.
	laneKnown
)

// caller is who sends to a phone or guesses at its code.
type caller struct {
	// binding is empty without a bearer.
	binding store.Binding
	// user is the bearer's, zero without one.
	user   store.UserID
	device store.DeviceID
}

// lane tells which one a caller is in.
func (p *Phone) lane(c caller) lane {
	switch {
	case p.HasUser && c.user != (store.UserID{}) && c.user == p.User, p.Devices.Has(c.device):
		return laneKnown
	case c.binding != "":
		return laneBound
	default:
		return laneOpen
	}
}

// deviceMark begins the binding of a challenge to a device. With the digest it has
// another length than what package session makes.
const deviceMark = "device\x00"

// bindings are those of the challenges that a caller may use, his own first: the one
// of his session, that of his device if the phone knows it, and the one that nobody is
// bound to.
func (p *Phone) bindings(c caller) []store.Binding {
	out := make([]store.Binding, 0, 3)
	if c.binding != "" {
		out = append(out, c.binding)
	}
	if p.Devices.Has(c.device) {
		out = append(out, deviceMark+store.Binding(c.device[:]))
	}
	return append(out, "")
}

// Budget is what has been used up of a lane's limits: the theoretical arrival time of
// the burst limit, and logs of package guard.
type Budget struct {
	Burst         time.Time
	Day, Failures []byte
}

// Lanes are the budgets of the lanes bound and known, in this order, as an engine
// keeps them beside the phone; that of the open one has columns of its own. Each is
//
//	burst (8) events of day (1) events of failures (1) day failures
//
// with big-endian integers, the burst in Unix microseconds. What is missing, or torn,
// is a lane that nobody has used.
type Lanes []byte

const (
	budgetHead = 8 + 1 + 1
	stampSize  = 8
)

// next decodes the first budget and returns it with the rest.
func (l Lanes) next() (Budget, Lanes) {
	if len(l) < budgetHead {
		return Budget{}, nil
	}
	day := budgetHead + int(l[8])*stampSize
	end := day + int(l[9])*stampSize
	if len(l) < end {
		return Budget{}, nil
	}
	return Budget{
		Burst:    store.FromMicros(int64(binary.BigEndian.Uint64(l))),
		Day:      l[budgetHead:day:day],
		Failures: l[day:end:end],
	}, l[end:]
}

func (b *Budget) unused() bool { return b.Burst.IsZero() && len(b.Day)+len(b.Failures) == 0 }

func (b *Budget) append(to Lanes) Lanes {
	to = binary.BigEndian.AppendUint64(to, uint64(store.Micros(b.Burst)))
	to = append(to, byte(len(b.Day)/stampSize), byte(len(b.Failures)/stampSize))
	to = append(to, b.Day...)
	return append(to, b.Failures...)
}

// budget is what has been used up of a lane.
func (p *Phone) budget(l lane) Budget {
	if l == laneOpen {
		return p.Budget
	}
	bound, rest := p.Lanes.next()
	if l == laneBound {
		return bound
	}
	known, _ := rest.next()
	return known
}

// spend notes what has been used up of a lane.
func (p *Phone) spend(l lane, b Budget) {
	bound, known := p.budget(laneBound), p.budget(laneKnown)
	switch l {
	case laneOpen:
		p.Budget = b
		return
	case laneBound:
		bound = b
	case laneKnown:
		known = b
	}
	p.Lanes = bound.append(make(Lanes, 0, 2*budgetHead+len(bound.Day)+len(bound.Failures)+len(known.Day)+len(known.Failures)))
	if !known.unused() {
		p.Lanes = known.append(p.Lanes)
	}
}
