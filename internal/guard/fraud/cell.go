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
	counts counts
	// spread has a bit for each of what is behind the key, by its digest.
	spread uint64
}

// cell is what is counted of one key: how much its codes were used in the past, and,
// in a book, the slots of the window in which something was.
type cell struct {
	level faded
	// judged is the second in which it was last judged.
	judged uint32
	// fresh is how many challenges are in its slots.
	fresh int32
	// n slots are in the block run of that class; see book.
	n     int32
	run   uint32
	class uint8
}

// weight is how much is known of a key.
func (c *cell) weight() float64 { return float64(c.fresh) + float64(c.level.sum) }

// timeline is the slots of a cell, oldest first.
type timeline []slot

// discount takes out of c what is counted in other: it has been dealt with.
func (b *book) discount(c, other *cell) {
	slots, others := b.of(c), b.of(other)
	for i := range slots {
		s := &slots[i]
		for len(others) > 0 && others[0].at < s.at {
			others = others[1:]
		}
		if len(others) > 0 && others[0].at == s.at {
			o := others[0].counts
			s.counts.Sends = less(s.counts.Sends, o.Sends)
			c.fresh -= int32(min(s.counts.Fresh, o.Fresh))
			s.counts.Fresh = less(s.counts.Fresh, o.Fresh)
			s.counts.Again = less(s.counts.Again, o.Again)
			s.counts.Cleared = less(s.counts.Cleared, o.Cleared)
			s.counts.Delivered = less(s.counts.Delivered, o.Delivered)
			s.counts.Failed = less(s.counts.Failed, o.Failed)
			s.counts.Verified = less(s.counts.Verified, o.Verified)
		}
	}
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
func (t timeline) run(now int32, o *odds) run {
	r := run{from: now}
	for i := range t {
		s := &t[i]
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
func (t timeline) recent(now, from int32, o *odds) run {
	r := run{from: now}
	for i := len(t) - 1; i >= 0 && t[i].at >= from; i-- {
		s := &t[i]
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
