package rollup

import "time"

// Filter says what a Summary counts; zero values select all.
type Filter struct {
	Route string
	Area  int
}

// Tally is what was counted of something, with its times.
type Tally struct {
	Counts
	// ToDelivery and ToVerification are how long they took from their acceptance.
	ToDelivery, ToVerification Hist
}

// Failure is a reason of a route; Route is empty where there was none.
type Failure struct{ Route, Reason string }

// Summary adds blocks up for people.
type Summary struct {
	Filter Filter
	// Slot is how long a part of Series is, which begin at their keys.
	Slot     time.Duration
	Total    Tally
	Routes   map[string]*Tally
	Clients  map[string]*Tally
	Areas    [1000]Counts
	Failures map[Failure]int64
	Series   map[time.Time]*Counts
}

// NewSummary returns an empty one. Its times and failures stay empty where it is of an
// area code: they are not kept by area.
func NewSummary(f Filter, slot time.Duration) *Summary {
	return &Summary{
		Filter: f, Slot: slot, Routes: make(map[string]*Tally), Clients: make(map[string]*Tally),
		Failures: make(map[Failure]int64), Series: make(map[time.Time]*Counts),
	}
}

// Add adds the stored block of a client that begins at that time; ErrDamaged.
func (s *Summary) Add(client string, start time.Time, body []byte) error {
	of := entry(s.Clients, client)
	slot := entry(s.Series, start.UTC().Truncate(s.Slot))
	var at *Tally
	var counted Counts // of the route at hand
	name := ""
	settle := func() {
		if at == nil {
			return
		}
		for _, to := range [...]*Counts{&at.Counts, &of.Counts, &s.Total.Counts, slot} {
			to.Add(&counted)
		}
		counted = Counts{}
	}
	timed := func(to func(*Tally) *Hist) func(int, int64) {
		return func(i int, n int64) {
			if at != nil && s.Filter.Area == 0 {
				for _, t := range [...]*Tally{at, of, &s.Total} {
					to(t)[i] += n
				}
			}
		}
	}
	err := walk(body, visitor{
		route: func(route string) {
			settle()
			at, name = nil, route
			if s.Filter.Route == "" || s.Filter.Route == route {
				at = entry(s.Routes, route)
			}
		},
		delivered: timed(func(t *Tally) *Hist { return &t.ToDelivery }),
		verified:  timed(func(t *Tally) *Hist { return &t.ToVerification }),
		reason: func(reason string, n int64) {
			if at != nil && s.Filter.Area == 0 {
				s.Failures[Failure{name, reason}] += n
			}
		},
		area: func(code int, c *Counts) {
			if at == nil || s.Filter.Area != 0 && s.Filter.Area != code {
				return
			}
			counted.Add(c)
			s.Areas[code].Add(c)
		},
	})
	settle()
	return err
}

// entry returns a map's value, made when it is not there.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}
