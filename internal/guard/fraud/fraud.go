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

	mu      sync.RWMutex
	clients map[string]*client
}

// New returns a Guard. Zero fields of cfg have their defaults.
func New(cfg Config) *Guard {
	cfg = cfg.withDefaults()
	return &Guard{cfg: cfg, clients: make(map[string]*client)}
}

// client is what is known of one client's sends.
type client struct {
	mu    sync.Mutex
	name  string
	total cell
	cells map[Key]*cell
	// slots is how many the cells have together.
	slots int
	// recent and former are the challenges whose codes may still be used, by phone.
	recent, former map[uint64]trace
	turned         int64
	// holds are what is held back, and what was not long ago; holding is how many
	// there are.
	holds   map[Key]*hold
	holding atomic.Int32
	history history
	// alarmed is until when the client counts as under attack.
	alarmed int64
	// surge is how many times the usual volume the client has, at least 1.
	surge float64
	// news is what other nodes have to be told.
	news *news
}

// trace is where a challenge was counted, so that its code is counted there, too: the
// ids of its keys by their scopes; 0 where it has none.
type trace struct {
	slot int32
	ids  [maxKeys]uint64
}

// scopes are those of a send's keys, in the order in which they are judged: the
// narrower before the wider.
var scopes = [maxKeys]Scope{Block, Exchange, Address, Network, Device}

const maxKeys = 5

func (t *trace) keys() (keys [maxKeys]Key) {
	for i, id := range t.ids {
		if id != 0 {
			keys[i] = Key{scopes[i], id}
		}
	}
	return keys
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
			name: name, surge: 1, cells: make(map[Key]*cell),
			recent: make(map[uint64]trace), former: make(map[uint64]trace),
			holds: make(map[Key]*hold), news: newNews(),
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
	keys[0] = Key{Block, uint64(s.Block)}
	keys[1] = Key{Exchange, uint64(s.Block / 10)}
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

// networkOf is the part of an address that its owner can choose the rest of: the
// /24 or, as a provider gives one customer (RFC 6177), the /64.
func networkOf(a netip.Addr) []byte {
	if a.Is4() {
		return a.AsSlice()[:3]
	}
	return a.AsSlice()[:8]
}

// Check returns the decision that holds the send back, if there is one.
func (g *Guard) Check(s *Send) (Decision, bool) {
	c := g.client(s.Client)
	if c.holding.Load() == 0 || s.Safe {
		return Decision{}, false
	}
	keys := g.keys(s)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		if h := c.holds[k]; h != nil && s.At.Before(h.Until) {
			h.Refused++
			return h.Decision, true
		}
	}
	return Decision{}, false
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
	fresh = fresh && c.remember(s, slot, &keys, g.cfg.MaxTraces)
	add := counts{Sends: 1}
	if fresh {
		add.Fresh = 1
	}
	c.count(g, Key{Scope: Client}, slot, add, 0)
	for i, k := range keys {
		if k.Scope != 0 {
			c.count(g, k, slot, add, spreadOf(i, s, &keys))
		}
	}
	if s.Safe || !fresh {
		return nil
	}
	return c.judge(g, s, &keys)
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

// remember keeps where the challenge is counted. It fails when there are too many;
// such a send is no evidence, since its code could not be counted.
func (c *client) remember(s *Send, slot int32, keys *[maxKeys]Key, limit int) bool {
	if now := s.At.Unix(); now-c.turned >= int64(traceLife/time.Second) {
		c.former, c.recent, c.turned = c.recent, make(map[uint64]trace, len(c.recent)), now
	}
	if len(c.recent) >= limit {
		return false
	}
	t := trace{slot: slot}
	for i, k := range keys {
		t.ids[i] = k.ID
	}
	c.recent[s.Phone] = t
	return true
}

// traceLife is how long a code may be used, at most, after it was sent.
const traceLife = 16 * time.Minute

// Fate is what became of a message or its code.
type Fate uint8

// The fates.
const (
	Verified  Fate = iota + 1 // the code was used
	Delivered                 // a receipt says that it arrived
	Failed                    // it was rejected, or given up
)

// Note tells what became of a phone's latest challenge. On the node that accepted
// the send it counts; others pass it on (see Page).
//
// The client is empty for one that is not known; the digests of two clients' phones
// are not alike.
func (g *Guard) Note(clientID string, phone uint64, fate Fate) {
	clients := g.all()
	if clientID != "" {
		clients = []*client{g.client(clientID)}
	}
	for _, c := range clients {
		c.mu.Lock()
		known := c.note(g, phone, fate)
		c.mu.Unlock()
		if known {
			return
		}
	}
	if !g.cfg.Shared {
		return
	}
	c := g.client(clientID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.news.fates) < maxForeign {
		c.news.fates = append(c.news.fates, foreign{phone, fate})
	}
}

// note counts a fate where its challenge was counted, and tells whether it is known.
func (c *client) note(g *Guard, phone uint64, fate Fate) bool {
	t, ok := c.recent[phone]
	if !ok {
		if t, ok = c.former[phone]; !ok {
			return false
		}
	}
	var add counts
	switch fate {
	case Verified:
		add.Verified = 1
	case Delivered:
		add.Delivered = 1
	case Failed:
		add.Failed = 1
	}
	if fate != Delivered { // the last word on the challenge
		delete(c.recent, phone)
		delete(c.former, phone)
	}
	c.count(g, Key{Scope: Client}, t.slot, add, 0)
	for _, k := range t.keys() {
		if k.Scope != 0 {
			c.count(g, k, t.slot, add, 0)
		}
	}
	return true
}

// count adds to a key, and to what other nodes will be told.
func (c *client) count(g *Guard, k Key, slot int32, add counts, spread uint64) {
	c.apply(g, k, slot, add, spread)
	if g.cfg.Shared {
		c.news.add(k, slot, add, spread)
	}
}

// apply adds to a key. When there is no more room for new ones, what an attacker
// has the most of is left out; the wider scopes go on.
func (c *client) apply(g *Guard, k Key, slot int32, add counts, spread uint64) {
	if k.Scope == Client {
		c.total.add(slot, add, spread, g.cfg.slots()+settling)
		if add.Verified > 0 {
			c.history.verified(g, g.cfg.second(slot), add.Verified)
		}
		return
	}
	cl := c.cells[k]
	if cl == nil {
		if len(c.cells) >= g.cfg.MaxKeys && k.Scope != Exchange && k.Scope != Block {
			return
		}
		cl = &cell{}
		c.cells[k] = cl
	}
	before := len(cl.slots)
	cl.add(slot, add, spread, c.window(g))
	c.slots += len(cl.slots) - before
	if add.Verified > 0 {
		cl.level.add(g.cfg.second(slot), float64(add.Verified), g.cfg.History)
	}
}

// window is how many slots back evidence goes: less far while there is more than room
// for.
func (c *client) window(g *Guard) int32 {
	if c.slots > g.cfg.MaxSlots {
		return g.cfg.slots() / 4
	}
	return g.cfg.slots()
}

// settling is for how many slots those of the client as a whole outlive the window:
// until a tick has read the honest share from them.
const settling = 12
