package routing

import (
	"errors"
	"strings"
)

// Reason says what was made of one route when a message was routed. The words
// are stored with every dispatch and do not change.
type Reason string

// The reasons.
const (
	// Chosen: the message went this way.
	Chosen Reason = "chosen"
	// Explored: it went this way to learn how the route fares.
	Explored Reason = "explored"
	// NotAllowed: the client's settings do not name the route.
	NotAllowed Reason = "not_allowed"
	// AreaCode: the route does not take the number's area code.
	AreaCode Reason = "area_code"
	// Tried: the message was handed to the route before.
	Tried Reason = "tried"
	// BreakerOpen: the route failed too often just now.
	BreakerOpen Reason = "breaker_open"
	// Stalled: the route has stopped answering.
	Stalled Reason = "stalled"
	// Throttled: the carrier wants to be left alone for a while.
	Throttled Reason = "throttled"
	// Busy: the route's rate is used up.
	Busy Reason = "busy"
	// Unhealthy: too few of the codes that it brings are verified.
	Unhealthy Reason = "unhealthy"
	// LowerPriority: a route with a lower number could be used.
	LowerPriority Reason = "lower_priority"
	// NotDrawn: of several routes of one priority the dice picked another.
	NotDrawn Reason = "not_drawn"
)

func (r Reason) known() bool {
	switch r {
	case Chosen, Explored, NotAllowed, AreaCode, Tried, BreakerOpen, Stalled, Throttled, Busy, Unhealthy, LowerPriority, NotDrawn:
		return true
	default:
		return false
	}
}

// Decision is what was made of one route.
type Decision struct {
	Route  string
	Reason Reason
}

// FormatDecision writes what was made of the routes, in the order in which they
// are configured, such as "main=breaker_open backup=chosen".
func FormatDecision(decisions []Decision) string {
	var b strings.Builder
	b.Grow(32 * len(decisions))
	for i, d := range decisions {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(d.Route)
		b.WriteByte('=')
		b.WriteString(string(d.Reason))
	}
	return b.String()
}

// errDecision is what ParseDecision says of a text that is none.
var errDecision = errors.New("routing: not a decision")

// ParseDecision reads what FormatDecision wrote; nil for the empty text.
func ParseDecision(s string) ([]Decision, error) {
	if s == "" {
		return nil, nil
	}
	var out []Decision
	for part := range strings.SplitSeq(s, " ") {
		name, reason, ok := strings.Cut(part, "=")
		if !ok || !routeName.MatchString(name) || !Reason(reason).known() {
			return nil, errDecision
		}
		out = append(out, Decision{Route: name, Reason: Reason(reason)})
	}
	return out, nil
}
