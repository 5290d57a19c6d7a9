package fraud

import "time"

// trace is where a challenge was counted, so that its code is counted there, too, and
// what became of its messages so far. There are many of these: they are kept small.
type trace struct {
	slot int32
	// block is that of its number, which tells the exchange.
	block uint32
	// more is where the digests of the others of its keys are, if it has any.
	more uint32
	// again is how many repetitions were counted, sends how many messages there were,
	// failed how many of those could not be sent.
	again, sends, failed uint8
	state                state
}

// state is a set of what is known of a challenge.
type state uint8

const (
	delivered state = 1 << iota // one of its messages was
	lost                        // none of them could be sent
	further                     // it has keys beside its number's
)

func (s state) has(what state) bool { return s&what != 0 }

// digests are of the keys beside those of the number, 0 where there is none.
type digests [len(scopes)]uint64

// traces are by phone.
type traces struct {
	byPhone map[uint64]trace
	further pool[digests]
}

func newTraces() *traces {
	return &traces{byPhone: make(map[uint64]trace)}
}

// put keeps a new trace.
func (ts *traces) put(phone uint64, t trace, ids digests) {
	ts.drop(phone)
	if ids != (digests{}) {
		t.state |= further
		t.more = ts.further.take(0)
		ts.further.at(t.more, 0)[0] = ids
	}
	ts.byPhone[phone] = t
}

func (ts *traces) drop(phone uint64) {
	if t, ok := ts.byPhone[phone]; ok && t.state.has(further) {
		ts.further.give(t.more, 0)
	}
	delete(ts.byPhone, phone)
}

// maxKeys is how many keys a send is judged by: its block, its exchange, and these.
const maxKeys = 2 + len(scopes)

var scopes = [...]Scope{Address, Network, Device}

// keys are those that a trace was counted by.
func (ts *traces) keys(t *trace) (keys [maxKeys]Key) {
	keys[0], keys[1] = blockKey(t.block), exchangeKey(t.block)
	if !t.state.has(further) {
		return keys
	}
	for i, id := range ts.further.at(t.more, 0)[0] {
		if id != 0 {
			keys[2+i] = Key{scopes[i], id}
		}
	}
	return keys
}

// traceLife is how long a code may be used, at most, after it was sent.
const traceLife = 16 * time.Minute

// maxAgain is how many repetitions of a challenge are evidence. More are limited by
// the phone's own limits.
const maxAgain = 2

// remember keeps where the challenge is counted. It fails when there are too many;
// such a send is no evidence, since its code could not be counted.
func (c *client) remember(s *Send, slot int32, keys *[maxKeys]Key, limit int) bool {
	if now := s.At.Unix(); now-c.turned >= int64(traceLife/time.Second) {
		c.former, c.recent, c.turned = c.recent, newTraces(), now
	}
	if len(c.recent.byPhone) >= limit {
		return false
	}
	var ids digests
	for i, k := range keys[2:] {
		ids[i] = k.ID
	}
	c.recent.put(s.Phone, trace{slot: slot, sends: 1, block: s.Block}, ids)
	return true
}

// find returns the trace of a phone, and which those are that it is among.
func (c *client) find(phone uint64) (trace, *traces, bool) {
	if t, ok := c.recent.byPhone[phone]; ok {
		return t, c.recent, true
	}
	t, ok := c.former.byPhone[phone]
	return t, c.former, ok
}

// repeat counts that the phone's challenge was sent again.
func (c *client) repeat(g *Guard, phone uint64) {
	t, in, ok := c.find(phone)
	if !ok {
		return
	}
	t.sends = min(t.sends, 254) + 1
	switch {
	case t.state.has(lost): // this one may arrive
		t.state &^= lost
		c.tally(g, in, &t, counts{Fresh: 1})
	case t.again < maxAgain:
		t.again++
		c.tally(g, in, &t, counts{Again: 1})
	}
	in.byPhone[phone] = t
}

// tally counts where the challenge was counted.
func (c *client) tally(g *Guard, in *traces, t *trace, add counts) {
	c.count(g, Key{Scope: Client}, t.slot, add, 0)
	for _, k := range in.keys(t) {
		if k.Scope != 0 {
			c.count(g, k, t.slot, add, 0)
		}
	}
}

// Fate is what became of a message or its code.
type Fate uint8

// The fates.
const (
	Verified  Fate = iota + 1 // the code was used
	Delivered                 // a receipt says that it arrived
	Failed                    // a message of it was rejected, or given up
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
	if !g.shared.Load() {
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
// A challenge has failed when none of its messages could be sent; until then it is
// evidence, so that a message that is made to fail takes nothing back.
func (c *client) note(g *Guard, phone uint64, fate Fate) bool {
	t, in, ok := c.find(phone)
	if !ok {
		return false
	}
	switch fate {
	case Verified:
		add := counts{Verified: 1, Cleared: uint32(t.again)}
		if t.state.has(lost) {
			add = counts{Fresh: 1, Verified: 1} // it arrived after all
		}
		c.tally(g, in, &t, add)
		in.drop(phone)
		return true
	case Delivered:
		if !t.state.has(delivered | lost) {
			t.state |= delivered
			c.tally(g, in, &t, counts{Delivered: 1})
		}
	case Failed:
		t.failed = min(t.failed, 254) + 1
		if t.failed >= t.sends && !t.state.has(delivered|lost) {
			t.state |= lost
			c.tally(g, in, &t, counts{Failed: 1, Cleared: uint32(t.again)})
		}
	}
	in.byPhone[phone] = t
	return true
}
