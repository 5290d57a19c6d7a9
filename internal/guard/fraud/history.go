package fraud

import (
	"math"
	"time"
)

// faded counts what happened, the past less the longer ago it is: with the time
// constant tau a steady rate r comes to r times tau.
type faded struct {
	sum float32
	at  uint32
}

// add counts n at a time in Unix seconds. What comes late fades as if it had come in
// time.
func (f *faded) add(at int64, n float64, tau time.Duration) {
	if at < int64(f.at) {
		n *= math.Exp(-float64(int64(f.at)-at) / tau.Seconds())
		at = int64(f.at)
	}
	f.sum = float32(f.value(at, tau) + n)
	f.at = uint32(at)
}

// value is the sum as of a time.
func (f *faded) value(at int64, tau time.Duration) float64 {
	if f.sum == 0 {
		return 0
	}
	return float64(f.sum) * math.Exp(-float64(max(0, at-int64(f.at)))/tau.Seconds())
}

// hoursOfWeek is the grain of a client's profile.
const hoursOfWeek = 7 * 24

// history is what is known of a client's honest past. It is counted in codes that
// were used, which somebody who pumps cannot add to without holding the phones.
type history struct {
	// since is when it began, in Unix seconds.
	since int64
	// hours are the codes used in each hour of the week (UTC, from Thursday, when the
	// epoch began).
	hours [hoursOfWeek]faded
	all   faded
	// asked and used are the challenges of finished slots, of which the honest share
	// is told.
	asked, used faded
	// best is the highest share of late, fading ten times as slowly.
	best   float64
	bestAt int64
}

func (h *history) begin(now int64) {
	if h.since == 0 {
		h.since = now
	}
}

func hourOf(now int64) int { return int(now / 3600 % hoursOfWeek) }

// verified counts codes that were used.
func (h *history) verified(g *Guard, now int64, n uint32) {
	h.all.add(now, float64(n), g.cfg.History)
	h.hours[hourOf(now)].add(now, float64(n), g.cfg.History)
}

// priorChallenges is how many challenges the assumed share weighs as much as.
const priorChallenges = 50

// share is which part of honest codes is used.
func (h *history) share(g *Guard, now int64) float64 {
	asked, used := h.asked.value(now, g.cfg.History), h.used.value(now, g.cfg.History)
	p := (used + priorChallenges*g.cfg.HonestShare) / (asked + priorChallenges)
	return min(max(p, shareLeast, h.best*shareFall), shareMost)
}

// The bounds of the honest share. It may fall to shareFall of the best of late, so
// that who begins slowly does not teach the guard that nobody uses codes.
const (
	shareLeast = 0.3
	shareMost  = 0.95
	shareFall  = 0.6
	bestFades  = 10
)

// settle takes a slot that has left the window into account. Those in which the
// client was under attack tell nothing about honest use.
func (h *history) settle(g *Guard, s *slot, attacked bool) {
	if attacked || s.counts.Fresh <= s.counts.Failed {
		return
	}
	at := g.cfg.second(s.at)
	h.asked.add(at, float64(s.counts.Fresh-s.counts.Failed), g.cfg.History)
	h.used.add(at, float64(min(s.counts.Verified, s.counts.Fresh-s.counts.Failed)), g.cfg.History)
	if h.asked.value(at, g.cfg.History) < 4*priorChallenges {
		return
	}
	if dt := at - h.bestAt; dt > 0 {
		h.best *= math.Exp(-float64(dt) / (bestFades * g.cfg.History.Seconds()))
		h.bestAt = at
	}
	h.best = max(h.best, h.share(g, at))
}

// span is the time in seconds over which what faded counts was gathered.
func (h *history) span(g *Guard, now int64) float64 {
	tau := g.cfg.History.Seconds()
	age := float64(max(3600, now-h.since))
	return tau * -math.Expm1(-age/tau)
}

// When a profile of the week is believed.
const (
	profileAge    = 7 * 24 * 3600
	profileVolume = 500
)

// factor is how the hour compares with the average of the week.
func (h *history) factor(g *Guard, now int64) float64 {
	all := h.all.value(now, g.cfg.History)
	if now-h.since < profileAge || all < profileVolume {
		return 1
	}
	// An hour and those beside it, so that a few codes do not make a profile.
	sum := 0.0
	for d := -1; d <= 1; d++ {
		sum += h.hours[(hourOf(now)+d+hoursOfWeek)%hoursOfWeek].value(now, g.cfg.History)
	}
	return min(max(sum/3/(all/hoursOfWeek), 0.2), 5)
}

// expected is how many challenges a key that used level codes in the past begins in
// so many seconds around now.
func (h *history) expected(g *Guard, level *faded, now int64, seconds float64) float64 {
	used := level.value(now, g.cfg.History) / h.span(g, now)
	return used / h.share(g, now) * h.factor(g, now) * seconds
}

// surprise is the negative logarithm of a bound of the chance that n or more happen
// where expected are expected (Chernoff's bound of a Poisson tail).
func surprise(n, expected float64) float64 {
	if n <= expected {
		return 0
	}
	expected = max(expected, 1e-9)
	return n*math.Log(n/expected) - n + expected
}
