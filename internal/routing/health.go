package routing

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The health of a route is the share of the messages it took whose codes were
// verified. It is the only receipt that a carrier cannot fake. It is compared
// between routes and never with a wish, for two reasons. What share people
// verify is the business's affair: where few do, few do on every route. And
// whoever asks for codes in order not to use them harms all routes alike. (All
// that serve the same traffic: a route that is kept for one business, or one
// area, is judged by it.)
//
// Verified codes reach the process that verified them, whichever process sent
// the message. With several, each sees its part of them, the same part for each
// route, so that the comparison still holds.
const (
	healthWindow = 30 * time.Minute
	bucketSpan   = 10 * time.Second
	buckets      = int64(healthWindow / bucketSpan)
	// maturity is how old a message has to be for its silence to mean something.
	maturity = time.Minute
	halfLife = 5 * time.Minute
	// gradeEvery is how old a grade may be.
	gradeEvery = time.Second
	// priorMean is what is believed as long as nothing is known of any route.
	priorMean = 0.5
)

// health counts messages by when they were accepted.
type health struct {
	mu   sync.Mutex
	ring [buckets]bucket
}

type bucket struct {
	slot           int64 // which span of time it holds
	sent, verified uint32
}

// add counts messages that were accepted at a time. What lies outside of the
// window, or ahead by more than clocks differ, is dropped.
func (h *health) add(now, at time.Time, sent, verified uint32) {
	slot := slotOf(at)
	if age := slotOf(now) - slot; age >= buckets || age < -int64(maturity/bucketSpan) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := &h.ring[slot%buckets]
	if b.slot != slot {
		*b = bucket{slot: slot}
	}
	b.sent += sent
	b.verified += verified
}

// slotOf numbers spans of time; it is never negative.
func slotOf(t time.Time) int64 { return max(0, t.Unix()/int64(bucketSpan/time.Second)) }

// tally is what a route's health is made of.
type tally struct {
	sent, verified float64
	// fresh counts messages that are too young to say anything.
	fresh int
}

// tally weighs the buckets: half as much for each half-life, and none more than
// limit messages. Otherwise the many messages from when a route was fully used
// would drown the few that are spent on exploring it later.
func (h *health) tally(now time.Time, limit float64) (t tally) {
	current := slotOf(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.ring {
		b := &h.ring[i]
		age := time.Duration(current-b.slot) * bucketSpan
		switch {
		case b.sent == 0 || age >= healthWindow || age < -maturity:
		case age <= maturity:
			t.fresh += int(b.sent)
		default:
			sent := float64(b.sent)
			weight := math.Exp2(-age.Seconds()/halfLife.Seconds()) * min(1, limit/sent)
			t.sent += weight * sent
			t.verified += weight * float64(min(b.verified, b.sent))
		}
	}
	return t
}

// grade is how well a route fares.
type grade struct {
	// mean is the expected share of verified codes, spread its standard
	// deviation, both of a beta distribution.
	mean, spread float64
	// observed is the share without what is believed beforehand, and samples how
	// many messages it rests on.
	observed, samples float64
	fresh             int
	// ill: it fared worse than another when it was last graded.
	ill bool
}

// graded is when the routes were last graded.
type graded struct{ at atomic.Int64 }

// refresh grades the routes anew, at most once in gradeEvery. What all routes
// have in common is the prior of each, with the weight of MinSamples messages:
// a route that is not known yet is taken for average.
func (r *Router) refresh(t *table, now time.Time) {
	last := r.graded.at.Load()
	if age := now.UnixNano() - last; age >= 0 && age < int64(gradeEvery) || !r.graded.at.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	weight := float64(r.cfg.MinSamples)
	tallies := make([]tally, len(t.routes))
	var sent, verified float64
	for i, rt := range t.routes {
		tallies[i] = rt.health.tally(now, weight)
		sent += tallies[i].sent
		verified += tallies[i].verified
	}
	prior := (verified + priorMean*weight) / (sent + weight)
	grades := make([]*grade, len(t.routes))
	for i, rt := range t.routes {
		of := tallies[i]
		n := of.sent + weight
		mean := (of.verified + prior*weight) / n
		grades[i] = &grade{
			mean: mean, spread: math.Sqrt(mean * (1 - mean) / (n + 1)), samples: of.sent, fresh: of.fresh,
			observed: of.verified / max(of.sent, forgotten), ill: rt.grade.Load().ill,
		}
	}
	for i, rt := range t.routes {
		grades[i].ill = slices.ContainsFunc(grades, grades[i].worse)
		rt.grade.Store(grades[i])
	}
}

const (
	// recovered is how well, compared with another, a route has to fare again.
	recovered = 0.75
	// forgotten is the number of samples below which nothing is known any more.
	forgotten = 1
)

// worse tells whether a route fares less than half as well as another, each
// given the benefit of one standard deviation of doubt. A route that did has to
// show that it does better now: if the doubt that grows with time were enough,
// it would get everything again every few minutes, until it has failed anew.
func (g *grade) worse(than *grade) bool {
	if g == than {
		return false
	}
	if g.ill && g.samples >= forgotten {
		return than.samples >= forgotten && g.observed < recovered*than.observed
	}
	return g.mean+g.spread < (than.mean-than.spread)/2
}

// poor tells whether a route that is well known brings so few verified codes
// that it is worth knowing whether others bring more.
func (g *grade) poor(minSamples int) bool {
	return g.samples >= float64(minSamples) && g.mean < priorMean/2
}

// unknown tells whether too few messages were sent over a route, young ones
// included, to know how it fares.
func (g *grade) unknown(minSamples int) bool {
	return g.samples+float64(g.fresh) < float64(minSamples)
}
