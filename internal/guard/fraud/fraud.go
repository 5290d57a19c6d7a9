// Package fraud judges sends: it finds the prefixes, addresses and devices that
// SMS pumping comes from and holds them back for a while.
//
// Pumping asks for codes that nobody will type, to numbers whose operator shares
// what their messages bring in. Two things give it away together: the share of
// codes that are used collapses, and the volume leaves its own history. Both are
// judged for each NPA-NXX, thousands-block, end-user address, its network and
// device, and for the client as a whole.
//
// A Guard is arithmetic over what it is told: it does no I/O and reads no clock.
package fraud

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Scope is what kind of thing is judged.
type Scope uint8

// The scopes.
const (
	// Client is the client as a whole. It is never held back; when it is under
	// attack the others are judged more strictly.
	Client Scope = iota + 1
	// Exchange is an NPA-NXX, the ten thousand numbers of six common digits.
	Exchange
	// Block is a thousands-block, NPA-NXX-X.
	Block
	// Address is an end user's address.
	Address
	// Network is the /24 of an IPv4 address, the /64 of an IPv6 address.
	Network
	// Device is what the end user's device calls itself.
	Device
)

func (s Scope) String() string {
	switch s {
	case Client:
		return "client"
	case Exchange:
		return "exchange"
	case Block:
		return "block"
	case Address:
		return "address"
	case Network:
		return "network"
	case Device:
		return "device"
	default:
		return "invalid"
	}
}

// Key is one thing that is judged: the digits of an Exchange or a Block, a digest
// of the others.
type Key struct {
	Scope Scope
	ID    uint64
}

// Send is a message that somebody asked for.
type Send struct {
	At     time.Time
	Client string
	// Block is the seven digits NPA-NXX-X.
	Block uint32
	// Phone is a digest of the number within its client.
	Phone uint64
	// Address is the end user's; invalid when it is not known.
	Address netip.Addr
	// Device is a digest of what the end user's device calls itself; 0 when it is
	// not known.
	Device uint64
	// Safe: the operator vouches for the number or the address. It is counted and
	// never held back.
	Safe bool
}

// Guard judges the sends of all clients. It is safe for concurrent use; clients do
// not wait for each other.
type Guard struct {
	cfg  Config
	odds [101]atomic.Pointer[odds] // by the honest share in per cent

	// shared: other nodes count, too, and Page is called for what to tell them.
	shared atomic.Bool

	mu      sync.RWMutex
	clients map[string]*client
}

// Share says whether there are other nodes, which have to be told by Page. What was
// counted before they came they do not learn.
func (g *Guard) Share(with bool) { g.shared.Store(with) }

// New returns a Guard. Zero fields of cfg have their defaults.
func New(cfg Config) *Guard {
	cfg = cfg.withDefaults()
	return &Guard{cfg: cfg, clients: make(map[string]*client)}
}

// client is what is known of one client's sends.
type client struct {
	mu   sync.Mutex
	name string
	// book has the cells of all keys, and the slots of total, which is of the client.
	book  *book
	total cell
	// attacked are the slots of total in which the client was under attack.
	attacked map[int32]struct{}
	// latest is the slot of the latest send.
	latest int32
	// recent and former are the challenges whose codes may still be used, by phone.
	recent, former *traces
	turned         int64
	// holds are what is held back, and what was not long ago; holding is how many
	// there are.
	holds   map[Key]hold
	holding atomic.Int32
	history history
	// alarmed is until when the client counts as under attack.
	alarmed int64
	// surge is how many times the usual volume the client has, at least 1; grown is
	// since when it is a multiple.
	surge float64
	grown int64
	// news is what other nodes have to be told.
	news *news
}

// client returns what is known of a client, making room for a new one.
func (g *Guard) client(name string) *client {
	g.mu.RLock()
	c := g.clients[name]
	g.mu.RUnlock()
	if c != nil {
		return c
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c = g.clients[name]; c == nil {
		c = &client{
			name: name, surge: 1, book: newBook(), attacked: make(map[int32]struct{}),
			recent: newTraces(), former: newTraces(),
			holds: make(map[Key]hold), news: newNews(),
		}
		g.clients[name] = c
	}
	return c
}

// all returns all clients.
func (g *Guard) all() []*client {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := make([]*client, 0, len(g.clients))
	for name, c := range g.clients {
		if name != "" { // that is of fates whose client is not known
			out = append(out, c)
		}
	}
	return out
}

// keys are those that a send is judged by, the narrower before the wider.
func (g *Guard) keys(s *Send) (keys [maxKeys]Key) {
	keys[0], keys[1] = blockKey(s.Block), exchangeKey(s.Block)
	if s.Address.IsValid() {
		a := s.Address.Unmap().WithZone("")
		keys[2] = Key{Address, g.cfg.Hash(a.AsSlice())}
		keys[3] = Key{Network, g.cfg.Hash(networkOf(a))}
	}
	if s.Device != 0 {
		keys[4] = Key{Device, s.Device}
	}
	return keys
}

func blockKey(block uint32) Key    { return Key{Block, uint64(block)} }
func exchangeKey(block uint32) Key { return Key{Exchange, uint64(block / 10)} }

// networkOf is the part of an address that its owner can choose the rest of: the
// /24 or, as a provider gives one customer (RFC 6177), the /64.
func networkOf(a netip.Addr) []byte {
	if a.Is4() {
		return a.AsSlice()[:3]
	}
	return a.AsSlice()[:8]
}

// Check returns the decision that holds the send back, if there is one. used is what
// let it through within its usual volume; the zero Key when nothing did. It is given
// back when the send was not accepted after all.
func (g *Guard) Check(s *Send) (d Decision, held bool, used Key) {
	c := g.client(s.Client)
	if c.holding.Load() == 0 || s.Safe {
		return Decision{}, false, Key{}
	}
	keys := g.keys(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		h, known := c.holds[k]
		if k.Scope == 0 || !known || !h.holds(s.At) {
			continue
		}
		usual := h.usual(s.At)
		if usual {
			used = k
		} else {
			h.refused++
		}
		c.holds[k] = h
		if !usual {
			d = h.decision(c.name, k)
			d.Name = nameOf(k, s)
			return d, true, used
		}
	}
	return Decision{}, false, used
}

// GiveBack returns what a send used of a key's usual volume.
func (g *Guard) GiveBack(clientID string, used Key) {
	c := g.client(clientID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h, known := c.holds[used]; known {
		h.passed++
		c.holds[used] = h
	}
}

// Sent notes a send that was accepted. fresh tells that it began a challenge, and
// did not only repeat one that lives. What it gives rise to is returned: mostly
// nothing.
func (g *Guard) Sent(s *Send, fresh bool) []Decision {
	c := g.client(s.Client)
	keys := g.keys(s)
	slot := g.cfg.slot(s.At)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.begin(s.At.Unix())
	c.keepTime(g, s.At, slot)
	add := counts{Sends: 1}
	if fresh && c.remember(s, slot, &keys, g.cfg.MaxTraces) {
		add.Fresh = 1
	}
	c.count(g, Key{Scope: Client}, slot, add, 0)
	for i, k := range keys {
		if k.Scope != 0 {
			c.count(g, k, slot, add, spreadOf(i, s, &keys))
		}
	}
	if !fresh {
		c.repeat(g, s.Phone)
	}
	if s.Safe {
		return nil
	}
	return c.judge(g, s, &keys)
}

// jump is how far back a clock has to go to be noticed, in slots.
const jump = 12

// keepTime notices a clock that was set back: what it left in the future would hide
// the present, and outlast its time.
func (c *client) keepTime(g *Guard, now time.Time, slot int32) {
	if slot+jump < c.latest {
		for _, i := range c.book.index {
			c.book.cut(c.book.cell(i), slot)
		}
		c.book.cut(&c.total, slot)
		maps.DeleteFunc(c.attacked, func(at int32, _ struct{}) bool { return at > slot })
		c.turned = min(c.turned, now.Unix())
		c.alarmed = min(c.alarmed, now.Add(g.cfg.AlarmFor).Unix())
		c.history.since = min(c.history.since, now.Unix())
		for k, h := range c.holds {
			if most := now.Add(g.cfg.holdFor(h.strikes)).UnixNano(); h.until > most {
				h.until = most
				c.holds[k] = h
			}
		}
		c.latest = slot
	}
	c.latest = max(c.latest, slot)
}

// spreadOf is which bit tells that several different ones are behind a key: the
// blocks of an exchange, the addresses of a network, the phones of all others.
func spreadOf(i int, s *Send, keys *[maxKeys]Key) uint64 {
	switch keys[i].Scope {
	case Exchange:
		return 1 << (s.Block % 10)
	case Network:
		return 1 << (keys[2].ID % 64)
	default:
		return 1 << (s.Phone % 64)
	}
}

// count adds to a key, and to what other nodes will be told.
func (c *client) count(g *Guard, k Key, slot int32, add counts, spread uint64) {
	c.apply(g, k, slot, add, spread)
	if g.shared.Load() {
		c.news.add(k, slot, add, spread)
	}
}

// apply adds to a key.
func (c *client) apply(g *Guard, k Key, slot int32, add counts, spread uint64) {
	if k.Scope == Client {
		c.book.add(&c.total, slot, add, spread, g.cfg.slots()+settling)
		if add.Verified > 0 {
			c.history.verified(g, g.cfg.second(slot), add.Verified)
		}
		return
	}
	cl := c.book.find(k)
	if cl == nil {
		if k.loose() && c.book.loose >= g.cfg.MaxKeys && !c.book.evict() {
			return
		}
		cl = c.book.open(k)
	}
	c.book.add(cl, slot, add, spread, c.window(g))
	if add.Verified > 0 {
		cl.level.add(g.cfg.second(slot), float64(add.Verified), g.cfg.History)
	}
}

// loose tells whether there can be any number of keys of that scope.
func (k Key) loose() bool { return k.Scope >= Address }

// window is how many slots back evidence goes: less far while there is more than room
// for.
func (c *client) window(g *Guard) int32 {
	if c.book.slots-int(c.total.n) > g.cfg.MaxSlots {
		return g.cfg.slots() / 4
	}
	return g.cfg.slots()
}

// settling is for how many slots those of the client as a whole outlive the window:
// until a tick has read the honest share from them.
const settling = 12
