package fraud

import (
	"fmt"
	"math"
	"net/netip"
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
	Again     uint32 `json:"repeated"`
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
	// Wider is the key around it, if there is one: the exchange of a block, the network
	// of an address.
	Wider Key
	// Name is the key in words: "+1206555", "203.0.113.7". A device has none.
	Name string
	// Strikes is how many times it was held back in a row, this one included.
	Strikes int
	Reasons []Reason
	Numbers Numbers
	// Refused is how many sends it has held back.
	Refused int
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
	for i, k := range keys {
		cl := c.book.find(k)
		if k.Scope == 0 || cl == nil || c.held(k, s.At) {
			continue
		}
		d, ok := c.judgeKey(g, k, cl, now)
		if !ok {
			continue
		}
		if k.Scope == Block || k.Scope == Address {
			d.Wider = keys[i+1]
		}
		d.Name = nameOf(k, s)
		c.hold(g, d)
		return []Decision{d}
	}
	return nil
}

// busy is from how many challenges on a key is judged once a second only.
const busy = 100

// bar is what a key has to show before it is held back.
type bar struct {
	floor    int
	evidence float64
	// strict counts repetitions as well, and looks at the latest challenges whose
	// codes could not be used yet.
	strict  bool
	because Reason
}

func (c *client) barFor(g *Guard, k Key, now int64) bar {
	switch _, before := c.holds[k]; {
	case c.alarmed > now:
		return bar{g.cfg.FloorAlert, g.cfg.Alert, true, ReasonAlarm}
	case before:
		return bar{g.cfg.FloorAlert, g.cfg.Relapse, false, ReasonRelapse}
	default:
		return bar{g.cfg.Floor, g.cfg.Evidence, false, ""}
	}
}

// latestFor is how long a stretch of time is looked at, whatever became of its
// challenges, while the client is under attack and for numbers that are enumerated.
const latestFor = 90

// judgeKey applies the rules to one key.
func (c *client) judgeKey(g *Guard, k Key, cl *cell, now int64) (Decision, bool) {
	b := c.barFor(g, k, now)
	if cl.fresh == 0 || int(cl.fresh) < b.floor && !b.strict || cl.fresh > busy && cl.judged == uint32(now) {
		return Decision{}, false
	}
	cl.judged = uint32(now)
	o, p := c.odds(g, now)
	slot := g.cfg.slot(time.Unix(now, 0))
	d, ok := c.weigh(g, k, cl, now, c.book.of(cl).run(slot, o), b, p)
	if ok || !b.strict && k.Scope != Block {
		return d, ok
	}
	r := c.book.of(cl).recent(slot, g.cfg.slot(time.Unix(now-latestFor, 0)), o)
	switch {
	case b.strict:
		b.evidence = 0
	case r.evidence < 0: // codes were used, which tells more
		return d, false
	default: // numbers are enumerated faster than codes can be used: by that alone
		b.evidence = math.Inf(1)
	}
	return c.weigh(g, k, cl, now, r, b, p)
}

// weigh holds what was seen of a key against the bar.
func (c *client) weigh(g *Guard, k Key, cl *cell, now int64, r run, b bar, p float64) (Decision, bool) {
	seconds := now - g.cfg.second(r.from) + 1
	usual := c.history.expected(g, &cl.level, now, 1)
	expected := usual * max(float64(seconds), 60) * c.surge
	volume := int(r.counts.Fresh)
	if b.strict {
		volume += int(r.counts.again())
	}
	num := numbersOf(r, int(seconds), expected, p)
	num.Surprise = round(surprise(float64(volume), expected))
	if volume < b.floor || float64(volume) < g.cfg.Ratio*expected || num.Surprise < g.cfg.Surprise {
		return Decision{}, false
	}
	d := Decision{At: time.Unix(now, 0).UTC(), Client: c.name, Key: k, Numbers: num, Strikes: 1}
	switch {
	case k.Scope == Block && num.Different >= g.cfg.Enumeration:
		d.Reasons = []Reason{ReasonEnumerated, ReasonVolume}
	case num.Evidence >= b.evidence && num.Different >= spreadFloor(k.Scope, b.floor):
		d.Reasons = []Reason{ReasonUnverified, ReasonVolume}
	default:
		return d, false
	}
	if b.because != "" {
		d.Reasons = append(d.Reasons, b.because)
	}
	if before, held := c.holds[k]; held {
		d.Strikes = before.strikes + 1
	}
	d.Until = d.At.Add(g.cfg.holdFor(d.Strikes))
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
		Seconds: seconds, Sends: r.counts.Sends, Fresh: r.counts.Fresh, Again: r.counts.again(),
		Delivered: r.counts.Delivered, Failed: r.counts.Failed, Verified: r.counts.Verified,
		Different: different(r.spread), Expected: round(expected), Share: round(share), Evidence: round(r.evidence),
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
	h, known := c.holds[k]
	return known && h.holds(at)
}

// NetworkName is the network of an address in words, its /24 or /64; empty for none.
func NetworkName(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	size := 64
	if a.Is4() {
		size = 24
	}
	p, err := a.Prefix(size)
	if err != nil {
		return ""
	}
	return p.String()
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
		return NetworkName(s.Address)
	case Client, Device:
	}
	return ""
}
