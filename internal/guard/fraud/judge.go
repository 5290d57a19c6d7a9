package fraud

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Reason is one thing that a decision rests on.
type Reason string

// The reasons.
const (
	// ReasonUnverified: hardly any of the codes were used.
	ReasonUnverified Reason = "verified_share_collapsed"
	// ReasonVolume: far more than the key's history tells.
	ReasonVolume Reason = "volume_left_history"
	// ReasonEnumerated: more numbers of one thousands-block than is coincidence.
	ReasonEnumerated Reason = "numbers_enumerated"
	// ReasonAlarm: the client as a whole is under attack.
	ReasonAlarm Reason = "client_under_attack"
	// ReasonRelapse: it was held back not long ago.
	ReasonRelapse Reason = "held_back_before"
)

// Numbers are what a decision was made from.
type Numbers struct {
	// Seconds is how long a stretch of time the counts are of.
	Seconds   int    `json:"seconds"`
	Sends     uint32 `json:"sends"`
	Fresh     uint32 `json:"challenges"`
	Delivered uint32 `json:"delivered"`
	Failed    uint32 `json:"failed"`
	Verified  uint32 `json:"verified"`
	// Different is how many different numbers (of an exchange: blocks, of a network:
	// addresses) there were, about.
	Different int `json:"different"`
	// Expected is how many challenges the history tells for that time, and Share
	// which part of honest codes is used.
	Expected float64 `json:"expected"`
	Share    float64 `json:"honestShare"`
	// Evidence and Surprise are natural logarithms; see Config.
	Evidence float64 `json:"evidence"`
	Surprise float64 `json:"surprise"`
}

// Decision is that a key is held back, or, for the scope Client, that the client
// counts as under attack.
type Decision struct {
	At     time.Time
	Until  time.Time
	Client string
	Key    Key
	// Name is the key in words: "+1206555", "203.0.113.7". A device has none.
	Name string
	// Strikes is how many times it was held back in a row, this one included.
	Strikes int
	Reasons []Reason
	Numbers Numbers
	// Refused is how many sends it has held back.
	Refused int
}

// hold is a decision that is, or was, in force.
type hold struct {
	Decision
}

// odds returns the terms for the client's honest share.
func (c *client) odds(g *Guard, now int64) (*odds, float64) {
	p := c.history.share(g, now)
	i := int(math.Round(p * 100))
	o := g.odds[i].Load()
	if o == nil {
		o = g.cfg.oddsOf(float64(i) / 100)
		g.odds[i].Store(o)
	}
	return o, p
}

// judge looks at the keys of a send that was just counted, the narrower first, and
// holds back the first that has given itself away. The others get their turn with
// the next send, if there still is one.
func (c *client) judge(g *Guard, s *Send, keys *[maxKeys]Key) []Decision {
	now := s.At.Unix()
	for _, k := range keys {
		cl := c.cells[k]
		if k.Scope == 0 || cl == nil || c.held(k, s.At) {
			continue
		}
		d, ok := c.judgeKey(g, k, cl, now)
		if !ok {
			continue
		}
		d.Name = nameOf(k, s)
		c.hold(d)
		c.dealtWith(k, keys)
		return []Decision{d}
	}
	return nil
}

// busy is from how many challenges on a key is judged once a second only.
const busy = 100

// judgeKey applies the rules to one key.
func (c *client) judgeKey(g *Guard, k Key, cl *cell, now int64) (Decision, bool) {
	floor, evidence := g.cfg.Floor, g.cfg.Evidence
	var because Reason
	if c.alarmed > now {
		floor, evidence, because = g.cfg.FloorAlert, g.cfg.Alert, ReasonAlarm
	}
	before := c.holds[k]
	if before != nil && evidence > g.cfg.Relapse {
		floor, evidence, because = g.cfg.FloorAlert, g.cfg.Relapse, ReasonRelapse
	}
	if cl.fresh < floor || cl.fresh > busy && cl.judged == now {
		return Decision{}, false
	}
	cl.judged = now
	o, p := c.odds(g, now)
	slot := g.cfg.slot(time.Unix(now, 0))
	r := cl.run(slot, o)
	seconds := now - g.cfg.second(r.from) + 1
	expected := c.history.expected(g, &cl.level, now, max(float64(seconds), 60)) * c.surge
	num := numbersOf(r, int(seconds), expected, p)
	d := Decision{At: time.Unix(now, 0).UTC(), Client: c.name, Key: k, Numbers: num, Strikes: 1}
	if before != nil {
		d.Strikes = before.Strikes + 1
	}
	d.Until = d.At.Add(g.cfg.holdFor(d.Strikes))
	many := float64(r.counts.Fresh) >= g.cfg.Ratio*expected && num.Surprise >= g.cfg.Surprise
	switch {
	case !many || int(r.counts.Fresh) < floor:
		return d, false
	case k.Scope == Block && num.Different >= g.cfg.Enumeration:
		d.Reasons = []Reason{ReasonEnumerated, ReasonVolume}
	case num.Evidence >= evidence && num.Different >= spreadFloor(k.Scope, floor):
		d.Reasons = []Reason{ReasonUnverified, ReasonVolume}
	default:
		return d, false
	}
	if because != "" {
		d.Reasons = append(d.Reasons, because)
	}
	return d, true
}

// spreadFloor is how many different ones there must be: a few people who try again
// and again are no pumping, and what is behind a wider key is judged there.
func spreadFloor(s Scope, floor int) int {
	switch s {
	case Exchange, Network:
		return 3
	default:
		return floor * 3 / 4
	}
}

func numbersOf(r run, seconds int, expected, share float64) Numbers {
	return Numbers{
		Seconds: seconds, Sends: r.counts.Sends, Fresh: r.counts.Fresh, Delivered: r.counts.Delivered,
		Failed: r.counts.Failed, Verified: r.counts.Verified, Different: different(r.spread),
		Expected: round(expected), Share: round(share), Evidence: round(r.evidence),
		Surprise: round(surprise(float64(r.counts.Fresh), expected)),
	}
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// holdFor is how long the nth hold in a row lasts.
func (c *Config) holdFor(strikes int) time.Duration {
	d := c.HoldMin
	for ; strikes > 1 && d < c.HoldMax; strikes-- {
		d *= 2
	}
	return min(d, c.HoldMax)
}

func (c *client) held(k Key, at time.Time) bool {
	h := c.holds[k]
	return h != nil && at.Before(h.Until)
}

func (c *client) hold(d Decision) {
	c.holds[d.Key] = &hold{d}
	c.holding.Store(int32(len(c.holds)))
}

// dealtWith takes what is held back now out of the wider key around it, so that the
// rest of that is judged for itself.
func (c *client) dealtWith(k Key, keys *[maxKeys]Key) {
	var wider Key
	switch k.Scope {
	case Block:
		wider = keys[1]
	case Address:
		wider = keys[3]
	default:
	}
	if w, n := c.cells[wider], c.cells[k]; w != nil && n != nil {
		w.discount(n)
	}
	if n := c.cells[k]; n != nil {
		c.slots -= len(n.slots)
		n.slots, n.fresh = nil, 0
	}
}

// nameOf is a key in words.
func nameOf(k Key, s *Send) string {
	switch k.Scope {
	case Exchange:
		return fmt.Sprintf("+1%06d", s.Block/10)
	case Block:
		return fmt.Sprintf("+1%07d", s.Block)
	case Address:
		return s.Address.Unmap().WithZone("").String()
	case Network:
		a := s.Address.Unmap().WithZone("")
		size := 64
		if a.Is4() {
			size = 24
		}
		if p, err := a.Prefix(size); err == nil {
			return p.String()
		}
	case Client, Device:
	}
	return ""
}

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
	c.surge = c.surgeOf(g, now, slot)
	o, p := c.odds(g, now)
	r := c.total.run(slot, o)
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

// surgeOf is how many times as much there is of the client as a whole as its history
// tells. Where everything has grown, as in a sale, none of the parts is conspicuous
// for that; an attacker, who shares in the growth, has to be so by more.
func (c *client) surgeOf(g *Guard, now int64, slot int32) float64 {
	const stretch, most = 120, 10
	n := 0
	for i := len(c.total.slots) - 1; i >= 0 && g.cfg.second(slot-c.total.slots[i].at) < stretch; i-- {
		n += int(c.total.slots[i].counts.Fresh)
	}
	return min(max(float64(n)/max(c.history.expected(g, &c.history.all, now, stretch), 1), 1), most)
}

// alarmRatio is how many times the volume that its history tells a client must have.
const alarmRatio = 1.5

// mark notes in the slots that the alarm is about whether they tell of honest use.
func (c *client) mark(g *Guard, slot int32, alarm bool) {
	if !alarm {
		return
	}
	for i := len(c.total.slots) - 1; i >= 0 && g.cfg.second(slot-c.total.slots[i].at) < 120; i-- {
		c.total.slots[i].alarm = true
	}
}

// sweepCells is how many cells one tick looks at.
const sweepCells = 300

// forget drops what is past: slots of the client that have left the window, which
// tell the honest share, holds, and keys of which nothing is known any more.
func (c *client) forget(g *Guard, at time.Time) {
	now, last := at.Unix(), g.cfg.slot(at)-g.cfg.slots()
	for len(c.total.slots) > 0 && c.total.slots[0].at <= last {
		c.history.settle(g, &c.total.slots[0])
		c.total.slots = c.total.slots[1:]
	}
	for k, h := range c.holds {
		if at.Sub(h.Until) > g.cfg.Forget {
			delete(c.holds, k)
		}
	}
	c.holding.Store(int32(len(c.holds)))
	seen, oldest := 0, g.cfg.slot(at)-c.window(g)
	for k, cl := range c.cells {
		if seen++; seen > sweepCells {
			break
		}
		before := len(cl.slots)
		cl.prune(oldest)
		c.slots += len(cl.slots) - before
		if len(cl.slots) == 0 && cl.level.value(now, g.cfg.History) < 0.05 {
			delete(c.cells, k)
		}
	}
}
