package simulate

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// stream gives the sends of a scenario in order.
type stream interface {
	next() (event, bool)
}

func source(s *Scenario) stream {
	if len(s.Records) > 0 {
		return newReplay(s)
	}
	m := &merged{}
	m.add(newCrowd(s))
	for i := range s.Attacks {
		m.add(newPumper(s, i))
	}
	return m
}

// merged gives the sends of several streams in order.
type merged struct {
	streams []stream
	heads   []event
	alive   []bool
}

func (m *merged) add(s stream) {
	e, ok := s.next()
	m.streams, m.heads, m.alive = append(m.streams, s), append(m.heads, e), append(m.alive, ok)
}

func (m *merged) next() (event, bool) {
	first := -1
	for i := range m.streams {
		if m.alive[i] && (first < 0 || m.heads[i].at.Before(m.heads[first].at)) {
			first = i
		}
	}
	if first < 0 {
		return event{}, false
	}
	e := m.heads[first]
	m.heads[first], m.alive[first] = m.streams[first].next()
	return e, true
}

// crowd is the honest people.
type crowd struct {
	s   *Scenario
	h   *Honest
	rnd *rand.Rand
	at  time.Time
	end time.Time
}

func newCrowd(s *Scenario) *crowd {
	return &crowd{
		s: s, h: &s.Honest, rnd: rand.New(rand.NewPCG(s.Seed, 1)), //nolint:gosec // it has to be repeatable
		at: s.Start, end: s.Start.Add(s.Warmup + s.Length),
	}
}

// next thins out a Poisson process of the highest rate to that of the hour.
func (c *crowd) next() (event, bool) {
	if c.h.PerSecond <= 0 {
		return event{}, false
	}
	top := c.h.PerSecond * (1 + c.h.Swing)
	for i := range c.s.Surges {
		top = max(top, c.h.PerSecond*(1+c.h.Swing)*c.s.Surges[i].Times)
	}
	for {
		c.at = c.at.Add(time.Duration(c.rnd.ExpFloat64() / top * float64(time.Second)))
		if !c.at.Before(c.end) {
			return event{}, false
		}
		if c.rnd.Float64()*top < c.rate() {
			return c.person(), true
		}
	}
}

func (c *crowd) rate() float64 {
	hour := float64(c.at.Hour()) + float64(c.at.Minute())/60
	rate := c.h.PerSecond * (1 + c.h.Swing*math.Sin((hour-10)/24*2*math.Pi))
	if d := c.at.Weekday(); d == time.Saturday || d == time.Sunday {
		rate *= 0.75
	}
	if u := c.surge(); u != nil {
		rate *= u.Times
	}
	return rate
}

// surge is the one that there is now, or nil.
func (c *crowd) surge() *Surge {
	after := c.at.Sub(c.s.Start) - c.s.Warmup
	for i := range c.s.Surges {
		if u := &c.s.Surges[i]; after >= u.After && after < u.After+u.Length {
			return u
		}
	}
	return nil
}

// person is somebody who wants to sign in. Low numbers of blocks are chosen more
// often: half of the people are in a fifth of the blocks.
func (c *crowd) person() event {
	u := c.rnd.Float64()
	block := uint64(math.Pow(u, 2.3) * float64(c.h.Blocks))
	e := event{at: c.at, attack: -1, use: -1, phone: blockDigits(block)*1000 + c.rnd.Uint64N(1000)}
	e.known = c.rnd.Float64() < c.h.Known
	verified, late := c.h.Verified, time.Duration(0)
	if u := c.surge(); u != nil {
		verified, late = u.Verified, u.Late
	}
	if c.rnd.Float64() < verified {
		e.use = late + typing(c.rnd)
	}
	if c.rnd.Float64() < c.h.Shared {
		e.address = addressOf(100, c.rnd.Uint64N(uint64(c.h.Gateways)))
	} else {
		e.address = addressOf(71, c.rnd.Uint64N(1<<24))
	}
	return e
}

// typing is how long it takes until a message has come and its code is used.
func typing(rnd *rand.Rand) time.Duration {
	return time.Duration((6 + rnd.ExpFloat64()*22) * float64(time.Second))
}

// blockDigits is the nth of the blocks that people are in, as seven digits, scattered
// over the area codes.
func blockDigits(n uint64) uint64 {
	n = n * 524_287 % 6_400_000 // a bijection: the two have no common factor
	return 2_000_000 + n
}

// pumper is somebody who has messages sent.
type pumper struct {
	a      *Attack
	index  int
	rnd    *rand.Rand
	at     time.Time
	end    time.Time
	blocks []uint64
	sent   uint64
}

func newPumper(s *Scenario, index int) *pumper {
	a := &s.Attacks[index]
	p := &pumper{
		a: a, index: index, rnd: rand.New(rand.NewPCG(s.Seed, 100+uint64(index))), //nolint:gosec // it has to be repeatable
		at: s.Start.Add(s.Warmup + a.After),
	}
	p.end = p.at.Add(a.Length)
	for i := range a.Blocks {
		area := 201 + uint64(i%a.AreaCodes)*31
		p.blocks = append(p.blocks, area*10_000+(200+p.rnd.Uint64N(800))*10+p.rnd.Uint64N(10))
	}
	slices.Sort(p.blocks)
	return p
}

func (p *pumper) next() (event, bool) {
	p.at = p.at.Add(time.Duration(p.rnd.ExpFloat64() / p.a.PerSecond * float64(time.Second)))
	if !p.at.Before(p.end) {
		return event{}, false
	}
	p.sent++
	e := event{at: p.at, attack: p.index, use: -1, phone: p.blocks[p.rnd.IntN(len(p.blocks))]*1000 + p.rnd.Uint64N(1000)}
	if p.rnd.Float64() < p.a.Verified {
		e.use = typing(p.rnd)
	}
	n := p.sent
	if p.a.Addresses > 0 {
		n = p.rnd.Uint64N(uint64(p.a.Addresses))
	}
	// Scattered, so that a botnet's addresses share no network.
	e.address = addressOf(byte(101+p.index%20), n*7_919_207%(1<<24))
	return e, true
}

// replay gives recorded sends.
type replay struct {
	records []Record
	attacks map[string]int
	n       int
}

func newReplay(s *Scenario) *replay {
	r := &replay{records: slices.Clone(s.Records), attacks: make(map[string]int)}
	slices.SortStableFunc(r.records, func(a, b Record) int { return a.At.Compare(b.At) })
	for i := range s.Attacks {
		r.attacks[s.Attacks[i].Name] = i
	}
	return r
}

func (r *replay) next() (event, bool) {
	if r.n == len(r.records) {
		return event{}, false
	}
	rec := &r.records[r.n]
	r.n++
	e := event{at: rec.At, phone: rec.Number, use: rec.VerifiedAfter, known: rec.Known, attack: -1}
	if i, ok := r.attacks[rec.Attack]; ok && rec.Attack != "" {
		e.attack = i
	}
	if a, err := netip.ParseAddr(rec.Address); err == nil {
		e.address = a
	}
	return e, true
}
