package fraud

import (
	"encoding/json"
	"fmt"
	"time"
)

// news is what a node counted since it last told the others.
type news struct {
	counts map[place]*tally
	// fates are of challenges that another node may know.
	fates []foreign
}

type place struct {
	key  Key
	slot int32
}

type tally struct {
	counts counts
	spread uint64
}

type foreign struct {
	phone uint64
	fate  Fate
}

// maxForeign and maxNews bound what waits to be told, as while the store is down.
const (
	maxForeign = 100_000
	maxNews    = 200_000
)

func newNews() *news { return &news{counts: make(map[place]*tally)} }

func (n *news) add(k Key, slot int32, add counts, spread uint64) {
	p := place{k, slot}
	t := n.counts[p]
	if t == nil {
		if len(n.counts) >= maxNews {
			return
		}
		t = &tally{}
		n.counts[p] = t
	}
	t.counts.add(add)
	t.spread |= spread
}

// page is news as nodes exchange it.
type page struct {
	Clients []clientPage `json:"clients"`
}

type clientPage struct {
	Client string `json:"client"`
	// Counts are scope, id, slot, spread, and then the counts in their order.
	Counts [][11]uint64 `json:"counts,omitempty"`
	// Fates are a phone and what became of its challenge.
	Fates [][2]uint64 `json:"fates,omitempty"`
}

// Page returns what this node counted since the last call, for the others to Merge;
// nil when there is nothing.
func (g *Guard) Page() []byte {
	var out page
	for _, c := range append(g.all(), g.client("")) {
		if p := c.page(); len(p.Counts)+len(p.Fates) > 0 {
			out.Clients = append(out.Clients, p)
		}
	}
	if len(out.Clients) == 0 {
		return nil
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil // numbers and strings can be written
	}
	return raw
}

func (c *client) page() clientPage {
	c.mu.Lock()
	n := c.news
	c.news = newNews()
	c.mu.Unlock()
	out := clientPage{Client: c.name}
	for p, t := range n.counts {
		n := &t.counts
		out.Counts = append(out.Counts, [11]uint64{
			uint64(p.key.Scope), p.key.ID, uint64(p.slot), t.spread, uint64(n.Sends), uint64(n.Fresh),
			uint64(n.Again), uint64(n.Cleared), uint64(n.Delivered), uint64(n.Failed), uint64(n.Verified),
		})
	}
	for _, f := range n.fates {
		out.Fates = append(out.Fates, [2]uint64{f.phone, uint64(f.fate)})
	}
	return out
}

// Merge counts what another node tells in a page at a time. A page must be merged once.
// What is of a time to come, by more than clocks may differ, is left out.
func (g *Guard) Merge(now time.Time, raw []byte) error {
	latest := g.cfg.slot(now) + jump
	var in page
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("fraud: page: %w", err)
	}
	for i := range in.Clients {
		p := &in.Clients[i]
		c := g.client(p.Client)
		c.mu.Lock()
		for _, n := range p.Counts {
			if n[2] > uint64(latest) || n[0] < uint64(Client) || n[0] > uint64(Device) {
				continue
			}
			c.history.begin(g.cfg.second(int32(n[2])))
			c.apply(g, Key{Scope(n[0]), n[1]}, int32(n[2]), counts{
				Sends: clip(n[4]), Fresh: clip(n[5]), Again: clip(n[6]), Cleared: clip(n[7]),
				Delivered: clip(n[8]), Failed: clip(n[9]), Verified: clip(n[10]),
			}, n[3])
		}
		for _, f := range p.Fates {
			if p.Client != "" && f[1] >= uint64(Verified) && f[1] <= uint64(Failed) {
				c.note(g, f[0], Fate(f[1]))
			}
		}
		c.mu.Unlock()
		if p.Client == "" {
			g.noteAny(p.Fates)
		}
	}
	return nil
}

// noteAny counts fates of challenges of whichever client.
func (g *Guard) noteAny(fates [][2]uint64) {
	for _, c := range g.all() {
		c.mu.Lock()
		for _, f := range fates {
			if f[1] >= uint64(Verified) && f[1] <= uint64(Failed) {
				c.note(g, f[0], Fate(f[1]))
			}
		}
		c.mu.Unlock()
	}
}

func clip(v uint64) uint32 { return uint32(min(v, 1<<20)) }
