package store

import "time"

// Rollup is what was counted of one client's messages of an hour or a day, by the time
// of their acceptance; package rollup reads the body.
type Rollup struct {
	Client string
	// Span is an hour or a day, Start its begin.
	Span  time.Duration
	Start time.Time
	Body  []byte
}

// RollupKey names a Rollup.
type RollupKey struct {
	Client string
	Span   time.Duration
	Start  time.Time
}

// Key is the rollup's.
func (r *Rollup) Key() RollupKey { return RollupKey{r.Client, r.Span, r.Start} }

// RollupQuery lists rollups.
type RollupQuery struct {
	Span time.Duration
	// From and Until bound their begins: from From to before Until.
	From, Until time.Time
	// Client, when not empty, picks one client's.
	Client string
}

// KeepHourly is how long rollups of hours are kept, where those of days are kept as long:
// a month, and what it is compared with.
const KeepHourly = 45 * 24 * time.Hour

// OldestRollup is when the oldest rollup began that is still kept; the zero time, before
// which none did, when all are.
func (s *Sweep) OldestRollup() time.Time {
	if s.KeepRollups <= 0 {
		return time.Time{}
	}
	return s.Now.Add(-s.KeepRollups)
}
