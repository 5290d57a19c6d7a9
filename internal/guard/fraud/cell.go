package fraud

import (
	"math"
	"math/bits"
)

// counts are what is counted, of one key in one slot of time. Whatever becomes of a
// challenge is counted in the slot in which it began.
type counts struct {
	Sends uint32 // messages
	Fresh uint32 // challenges begun
	// Again are messages that repeated one of those, at most maxAgain of each;
	// Cleared are those of them whose challenge was used, or failed, after all.
	Again, Cleared uint32
	Delivered      uint32
	Failed         uint32
	Verified       uint32
}

func (c *counts) add(o counts) {
	c.Sends += o.Sends
	c.Fresh += o.Fresh
	c.Again += o.Again
	c.Cleared += o.Cleared
	c.Delivered += o.Delivered
	c.Failed += o.Failed
	c.Verified += o.Verified
}

// open is how many challenges could still be used, or could have been, and how many
// times they were repeated.
func (c *counts) open() uint32 { return less(c.Fresh, c.Failed+c.Verified) + c.again() }

// again is how many messages repeated challenges that are open.
func (c *counts) again() uint32 { return less(c.Again, c.Cleared) }

// less is a-b, or 0.
func less(a, b uint32) uint32 { return a - min(a, b) }

// slot is a slot of time.
type slot struct {
	at     int32
	alarm  bool // the client was under attack; only used for the client as a whole
	counts counts
	// spread has a bit for each of what is behind the key, by its digest.
	spread uint64
}

// cell is what is counted of one key: the slots of the window in which something
// was, oldest first, and how much its codes were used in the past.
type cell struct {
	slots []slot
	// fresh is how many challenges are in them.
	fresh int
	level faded
	// judged is the second in which it was last judged.
	judged int64
}

// add counts in a slot and drops what is older than the window.
func (c *cell) add(at int32, add counts, spread uint64, window int32) {
	if s := c.find(at, window); s != nil {
		s.counts.add(add)
		s.spread |= spread
		c.fresh += int(add.Fresh)
	}
}

// find returns the slot, making it if it is within the window; nil if it is past.
func (c *cell) find(at, window int32) *slot {
	n := len(c.slots)
	if n == 0 || c.slots[n-1].at < at {
		c.prune(at - window)
		c.slots = append(c.slots, slot{at: at})
		return &c.slots[len(c.slots)-1]
	}
	if at <= c.slots[n-1].at-window {
		return nil
	}
	for i := n - 1; i >= 0; i-- {
		switch s := &c.slots[i]; {
		case s.at == at:
			return s
		case s.at < at:
			return c.insert(i+1, at)
		}
	}
	return c.insert(0, at)
}

func (c *cell) insert(i int, at int32) *slot {
	c.slots = append(c.slots, slot{})
	copy(c.slots[i+1:], c.slots[i:])
	c.slots[i] = slot{at: at}
	return &c.slots[i]
}

// prune drops the slots up to last.
func (c *cell) prune(last int32) {
	n := 0
	for n < len(c.slots) && c.slots[n].at <= last {
		c.fresh -= int(c.slots[n].counts.Fresh)
		n++
	}
	if n > 0 {
		c.slots = append(c.slots[:0], c.slots[n:]...)
	}
}

// discount takes out of c what is counted in other: it has been dealt with.
func (c *cell) discount(other *cell) {
	j := 0
	for i := range c.slots {
		s := &c.slots[i]
		for j < len(other.slots) && other.slots[j].at < s.at {
			j++
		}
		if j < len(other.slots) && other.slots[j].at == s.at {
			o := other.slots[j].counts
			s.counts.Sends = less(s.counts.Sends, o.Sends)
			c.fresh -= int(min(s.counts.Fresh, o.Fresh))
			s.counts.Fresh = less(s.counts.Fresh, o.Fresh)
			s.counts.Again = less(s.counts.Again, o.Again)
			s.counts.Cleared = less(s.counts.Cleared, o.Cleared)
			s.counts.Delivered = less(s.counts.Delivered, o.Delivered)
			s.counts.Failed = less(s.counts.Failed, o.Failed)
			s.counts.Verified = less(s.counts.Verified, o.Verified)
		}
	}
}

// cut drops the slots after last, which a clock that was set back left in the future.
func (c *cell) cut(last int32) {
	n := len(c.slots)
	for n > 0 && c.slots[n-1].at > last {
		c.fresh -= int(c.slots[n-1].counts.Fresh)
		n--
	}
	c.slots = c.slots[:n]
}

// odds are the terms of the likelihood ratio of pumping against honest use, for one
// honest share: of a code that was used, and of one that was not by its age in slots.
type odds struct {
	used   float64
	unused []float64
}

// oddsOf computes the terms for an honest share of p. A code that will be used is so
// with F(age) by that age, an exponential distribution after a delay; what is old is
// taken as younger by a slot, since it is somewhere within its own.
func (c *Config) oddsOf(p float64) *odds {
	q := min(c.AttackShare, p/4)
	o := &odds{used: math.Log(q / p), unused: make([]float64, c.slots()+1)}
	for age := range o.unused {
		since := float64(max(0, age-1))*c.Slot.Seconds() - c.Delay.Seconds()
		if since <= 0 {
			continue
		}
		f := 1 - math.Exp(-since/c.Lag.Seconds())
		o.unused[age] = math.Log((1 - q*f) / (1 - p*f))
	}
	return o
}

// maxEvidence bounds what is held against a key, so that honest use outweighs it
// before long.
const maxEvidence = 50

// run is the latest stretch of time in which pumping explains a key better than
// honest use does: a cumulative sum (Page, 1954) over the slots.
type run struct {
	evidence float64
	counts   counts
	spread   uint64
	// from is the slot in which it began.
	from int32
}

// run adds up the slots until now.
func (c *cell) run(now int32, o *odds) run {
	r := run{from: now}
	for i := range c.slots {
		s := &c.slots[i]
		age := now - s.at
		if age < 0 || int(age) >= len(o.unused) {
			continue
		}
		if r.evidence <= 0 {
			r = run{from: s.at}
		}
		r.evidence += float64(s.counts.Verified)*o.used + float64(s.counts.open())*o.unused[age]
		r.evidence = min(r.evidence, maxEvidence)
		r.counts.add(s.counts)
		r.spread |= s.spread
	}
	if r.evidence < 0 {
		return run{from: now}
	}
	return r
}

// recent is all that was counted from a slot on, whatever it says.
func (c *cell) recent(now, from int32, o *odds) run {
	r := run{from: now}
	for i := len(c.slots) - 1; i >= 0 && c.slots[i].at >= from; i-- {
		s := &c.slots[i]
		if age := now - s.at; age >= 0 && int(age) < len(o.unused) {
			r.evidence += float64(s.counts.Verified)*o.used + float64(s.counts.open())*o.unused[age]
		}
		r.counts.add(s.counts)
		r.spread |= s.spread
		r.from = s.at
	}
	return r
}

// different estimates how many different ones are behind a spread (linear counting).
func different(spread uint64) int {
	n := bits.OnesCount64(spread)
	if n == 64 {
		n = 63
	}
	return int(math.Round(-64 * math.Log(1-float64(n)/64)))
}
