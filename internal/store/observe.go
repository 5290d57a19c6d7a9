package store

import "time"

// Observe is told how long the writes of an engine take. Either all of it is set or
// nothing: the zero value measures nothing. It is called by those who commit, so it
// must not block.
type Observe struct {
	// Now is the clock.
	Now func() time.Time
	// Waited: an operation was queued for that long before its group began.
	Waited func(time.Duration)
	// Committed: a group was carried out, or failed, in that time.
	Committed func(time.Duration)
}
