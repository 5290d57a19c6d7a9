// Package guard holds the arithmetic of limits: pure functions from the
// present, a limit and what is stored to a decision. It does no I/O and reads
// no clock, so that one core serves every store.
package guard

import "time"

// Bucket is a limit by the generic cell rate algorithm (GCRA, ITU-T I.371):
// Burst events at once, then one every Every. The zero Bucket limits nothing.
type Bucket struct {
	Burst int
	Every time.Duration
}

// Decision is what a limit says about one event.
type Decision struct {
	Allowed bool
	// Next is the theoretical arrival time to store when the event is allowed.
	Next time.Time
	// RetryAfter is how long until an event would be allowed, when it was not.
	RetryAfter time.Duration
}

// Unlimited reports whether b limits nothing.
func (b Bucket) Unlimited() bool { return b.Burst <= 0 || b.Every <= 0 }

// Take decides about one event at now, given the stored theoretical arrival
// time (zero when nothing is stored). A stored time further ahead than a full
// bucket can only come from a clock that was moved; it counts as a full bucket,
// so that nobody is locked out longer than Burst×Every.
func (b Bucket) Take(now, stored time.Time) Decision {
	if b.Unlimited() {
		return Decision{Allowed: true, Next: now}
	}
	tat := stored
	if full := now.Add(time.Duration(b.Burst) * b.Every); tat.After(full) {
		tat = full
	}
	if tat.Before(now) {
		tat = now
	}
	tolerance := time.Duration(b.Burst-1) * b.Every
	if ahead := tat.Sub(now); ahead > tolerance {
		return Decision{RetryAfter: ahead - tolerance}
	}
	return Decision{Allowed: true, Next: tat.Add(b.Every)}
}
