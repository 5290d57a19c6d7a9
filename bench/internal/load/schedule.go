package load

import "time"

// Schedule fixes when each request of an open-loop run is due, whatever became
// of those before it: callers in the world do not wait for one another.
type Schedule struct {
	Start time.Time
	Rate  int64 // arrivals a second, at least 1
}

// Due returns when arrival n, counted from 0, is to be sent. It is reckoned from
// the start each time, so that rounding never adds up to drift.
func (s Schedule) Due(n int64) time.Time {
	whole, part := n/s.Rate, n%s.Rate
	return s.Start.Add(time.Duration(whole)*time.Second + time.Duration(part*int64(time.Second)/s.Rate))
}

// Arrivals returns how many arrivals are due within d of the start.
func (s Schedule) Arrivals(d time.Duration) int64 {
	whole, part := int64(d/time.Second), int64(d%time.Second)
	return whole*s.Rate + (part*s.Rate+int64(time.Second)-1)/int64(time.Second)
}
