package fraud

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// past is what is kept of a client over a restart.
type past struct {
	Since int64      `json:"since"`
	Asked [2]float64 `json:"asked"`
	Used  [2]float64 `json:"used"`
	All   [2]float64 `json:"all"`
	Best  [2]float64 `json:"best"`
	// Hours are those of the profile.
	Hours [][2]float64 `json:"hours"`
	// Levels are scope, id, sum and time of the keys that are used enough.
	Levels [][4]float64 `json:"levels,omitempty"`
	// Wide are those whose id does not fit into a float64.
	Wide map[string][2]float64 `json:"digests,omitempty"`
}

// keptLevel is from which sum on a key's history outlives a restart: less tells
// hardly anything.
const keptLevel = 1.5

func (f *faded) pair() [2]float64 { return [2]float64{float64(f.sum), float64(f.at)} }

// day is the grain of the times of levels: when a key's code was used last is nobody's
// business.
const day = 24 * 3600

// levelPair is a level as of the beginning of the day.
func (f *faded) levelPair() [2]float64 { return [2]float64{float64(f.sum), float64(f.at / day * day)} }

// fadedOf reads a pair; what makes no sense is nothing.
func fadedOf(p [2]float64) faded {
	if !(p[0] >= 0 && p[0] < 1e12 && p[1] >= 0 && p[1] < 1<<32) {
		return faded{}
	}
	return faded{sum: float32(p[0]), at: uint32(p[1])}
}

// Past returns the history of each client, for Recall after a restart.
func (g *Guard) Past(now time.Time) map[string][]byte {
	out := make(map[string][]byte)
	for _, c := range g.all() {
		if raw := c.past(g, now.Unix()); raw != nil {
			out[c.name] = raw
		}
	}
	return out
}

// keptKeys is how many keys' histories outlive a restart, those with the most.
const keptKeys = 100_000

func (c *client) past(g *Guard, now int64) []byte {
	type kept struct {
		key   Key
		level [2]float64
	}
	c.mu.Lock()
	h := c.history
	var keys []kept
	for packed, i := range c.book.index {
		if cl := c.book.cell(i); cl.level.value(now, g.cfg.History) >= keptLevel {
			keys = append(keys, kept{unpack(packed), cl.level.levelPair()})
		}
	}
	c.mu.Unlock() // the rest takes long, and sends wait
	if h.since == 0 {
		return nil
	}
	p := past{
		Since: h.since, Asked: h.asked.pair(), Used: h.used.pair(), All: h.all.pair(), Best: [2]float64{h.best, float64(h.bestAt)},
		Wide: make(map[string][2]float64),
	}
	for i := range h.hours {
		p.Hours = append(p.Hours, h.hours[i].pair())
	}
	slices.SortFunc(keys, func(a, b kept) int {
		return cmp.Or(cmp.Compare(b.level[0], a.level[0]), cmp.Compare(a.key.Scope, b.key.Scope), cmp.Compare(a.key.ID, b.key.ID))
	})
	for _, k := range keys[:min(len(keys), keptKeys)] {
		if k.key.loose() {
			p.Wide[fmt.Sprintf("%d:%x", k.key.Scope, k.key.ID)] = k.level
		} else {
			p.Levels = append(p.Levels, [4]float64{float64(k.key.Scope), float64(k.key.ID), k.level[0], k.level[1]})
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil // finite numbers can be written
	}
	return raw
}

// Recall takes over the history of a client as Past told it, in the place of what was
// counted since; of a key's history the one that is more stays.
func (g *Guard) Recall(clientID string, raw []byte) error {
	var p past
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("fraud: history of %s: %w", clientID, err)
	}
	c := g.client(clientID)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.history
	if h.since == 0 || p.Since < h.since {
		h.since = p.Since
	}
	h.asked, h.used, h.all = fadedOf(p.Asked), fadedOf(p.Used), fadedOf(p.All)
	if p.Best[0] >= 0 && p.Best[0] <= 1 {
		h.best, h.bestAt = p.Best[0], int64(p.Best[1])
	}
	for i := range min(len(p.Hours), hoursOfWeek) {
		h.hours[i] = fadedOf(p.Hours[i])
	}
	for _, l := range p.Levels {
		if l[0] != float64(Exchange) && l[0] != float64(Block) || !(l[1] >= 0 && l[1] < 1e7) {
			continue
		}
		c.recall(Key{Scope(l[0]), uint64(l[1])}, fadedOf([2]float64{l[2], l[3]}))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Wide)) {
		var k Key
		if n, err := fmt.Sscanf(name, "%d:%x", &k.Scope, &k.ID); err == nil && n == 2 && k.loose() && k.Scope <= Device {
			c.recall(k, fadedOf(p.Wide[name]))
		}
	}
	return nil
}

func (c *client) recall(k Key, level faded) {
	cl := c.book.find(k)
	if cl == nil {
		cl = c.book.open(k)
	}
	if level.sum > cl.level.sum {
		cl.level = level
	}
}

// Hold puts a decision in force that another node made, or that was made before a
// restart. A later one for the same key stays. One that has ended already counts as
// a strike.
func (g *Guard) Hold(d Decision) {
	c := g.client(d.Client)
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.Key.Scope == Client {
		c.alarmed = max(c.alarmed, d.Until.Unix())
		return
	}
	if h, known := c.holds[d.Key]; d.Key.Scope != 0 && (!known || h.made < d.At.UnixNano()) {
		c.hold(g, d)
	}
}

// Release ends a hold that was made until a time, and forgets that there was one. It
// tells whether there was.
func (g *Guard) Release(clientID string, k Key, made time.Time) bool {
	c := g.client(clientID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.Scope == Client {
		c.alarmed = 0
		return true
	}
	h, known := c.holds[k]
	if !known || h.made > made.UnixNano() {
		return false
	}
	delete(c.holds, k)
	c.holding.Store(int32(len(c.holds)))
	return true
}

// Holds lists what is held back at a time, the latest first. What a decision was made
// from, and names, it does not tell.
func (g *Guard) Holds(now time.Time) []Decision {
	var out []Decision
	for _, c := range g.all() {
		c.mu.Lock()
		for k, h := range c.holds {
			if h.holds(now) {
				out = append(out, h.decision(c.name, k))
			}
		}
		c.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Decision) int { return b.At.Compare(a.At) })
	return out
}
