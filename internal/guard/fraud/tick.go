package fraud

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Tick does what is due: it says which clients have come under attack, and forgets
// what is past. It is to be called about once a second.
func (g *Guard) Tick(now time.Time) []Decision {
	var out []Decision
	for _, c := range g.all() {
		c.mu.Lock()
		if d, ok := c.alarm(g, now); ok {
			out = append(out, d)
		}
		c.forget(g, now)
		c.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Decision) int { return cmp.Compare(a.Client, b.Client) })
	return out
}

// alarm judges the client as a whole. It returns a decision when an alarm begins.
func (c *client) alarm(g *Guard, at time.Time) (Decision, bool) {
	now, slot := at.Unix(), g.cfg.slot(at)
	c.surge = c.surgeNow(g, now, slot)
	o, p := c.odds(g, now)
	r := c.book.of(&c.total).run(slot, o)
	seconds := now - g.cfg.second(r.from) + 1
	expected := c.history.expected(g, &c.history.all, now, max(float64(seconds), 60))
	num := numbersOf(r, int(seconds), expected, p)
	begun := c.alarmed > now
	if int(r.counts.Fresh) < g.cfg.FloorClient || num.Evidence < g.cfg.Evidence ||
		float64(r.counts.Fresh) < alarmRatio*expected || num.Surprise < g.cfg.Surprise {
		c.mark(g, slot, begun)
		return Decision{}, false
	}
	c.alarmed = at.Add(g.cfg.AlarmFor).Unix()
	c.mark(g, slot, true)
	return Decision{
		At: at, Until: at.Add(g.cfg.AlarmFor), Client: c.name, Key: Key{Scope: Client}, Strikes: 1,
		Reasons: []Reason{ReasonUnverified, ReasonVolume}, Numbers: num,
	}, !begun
}

// A surge is believed for what it is as long as it is young: then nobody has had the
// time to use a code. Afterwards only codes that are used tell of one.
const (
	surgeMost  = 10
	surgeYoung = 300
	surgeFrom  = 1.5
)

// surgeNow is how many times as much there is of the client as a whole as its history
// tells. Where everything has grown, as in a sale, none of the parts is conspicuous
// for that.
func (c *client) surgeNow(g *Guard, now int64, slot int32) float64 {
	const stretch = 120
	begun := c.times(g, now, slot, 0, stretch, func(n *counts) uint32 { return n.Fresh })
	used := c.times(g, now, slot, stretch/2, 5*stretch/2, func(n *counts) uint32 { return n.Verified })
	used /= c.history.share(g, now)
	if begun < surgeFrom {
		c.grown = 0
	} else if c.grown == 0 {
		c.grown = now
	}
	if c.grown == 0 || now-c.grown < surgeYoung {
		used = max(used, begun)
	}
	return min(max(used, 1), surgeMost)
}

// times compares what is counted between two ages in seconds with what history tells.
func (c *client) times(g *Guard, now int64, slot int32, from, to int64, of func(*counts) uint32) float64 {
	var n uint32
	total := c.book.of(&c.total)
	for i := len(total) - 1; i >= 0; i-- {
		s := &total[i]
		if age := g.cfg.second(slot - s.at); age >= to {
			break
		} else if age >= from {
			n += of(&s.counts)
		}
	}
	return float64(n) / max(c.history.expected(g, &c.history.all, now, float64(to-from)), 1)
}

// alarmRatio is how many times the volume that its history tells a client must have.
const alarmRatio = 1.5

// mark notes in the slots that the alarm is about whether they tell of honest use.
func (c *client) mark(g *Guard, slot int32, alarm bool) {
	if !alarm {
		return
	}
	total := c.book.of(&c.total)
	for i := len(total) - 1; i >= 0 && g.cfg.second(slot-total[i].at) < 120; i-- {
		c.attacked[total[i].at] = struct{}{}
	}
}

// A tick looks at one in sweepShare of the cells, and at sweepLeast at least.
const (
	sweepShare = 600
	sweepLeast = 100
)

// forget drops what is past: slots of the client that have left the window, which
// tell the honest share, holds, and keys of which nothing is known any more.
func (c *client) forget(g *Guard, at time.Time) {
	now, last := at.Unix(), g.cfg.slot(at)-g.cfg.slots()
	total := c.book.of(&c.total)
	for i := 0; i < len(total) && total[i].at <= last; i++ {
		_, attacked := c.attacked[total[i].at]
		c.history.settle(g, &total[i], attacked)
	}
	c.book.prune(&c.total, last)
	maps.DeleteFunc(c.attacked, func(at int32, _ struct{}) bool { return at <= last })
	for k, h := range c.holds {
		if time.Duration(at.UnixNano()-h.until) > g.cfg.Forget {
			delete(c.holds, k)
		}
	}
	c.holding.Store(int32(len(c.holds)))
	seen, oldest := 0, g.cfg.slot(at)-c.window(g)
	for packed, i := range c.book.index {
		if seen++; seen > max(sweepLeast, len(c.book.index)/sweepShare) {
			break
		}
		k, cl := unpack(packed), c.book.cell(i)
		c.book.prune(cl, oldest)
		least := 0.05
		if k.loose() {
			least = keptLevel
		}
		if cl.n == 0 && cl.level.value(now, g.cfg.History) < least {
			c.book.drop(k)
		}
	}
	if c.book.wasteful() {
		c.book = c.book.copied(&c.total)
	}
}
