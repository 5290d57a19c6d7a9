package fraud

import "time"

// hold is a decision that is, or was, in force.
type hold struct {
	Decision
	// rate is how many challenges a second the key's history tells. So many pass while
	// it is held back, so that a key with many honest people behind it is not shut for
	// a few bad sends; one without a history is.
	rate   float64
	passed float64 // how many may pass now
	at     time.Time
}

// usualFor is how long what was not used of the usual volume is kept, in seconds.
const usualFor = 300

// usual tells whether a send is within the key's usual volume, and uses it up.
func (h *hold) usual(at time.Time) bool {
	if h.rate <= 0 {
		return false
	}
	if dt := at.Sub(h.at).Seconds(); dt > 0 {
		h.passed = min(h.passed+dt*h.rate, max(1, h.rate*usualFor))
		h.at = at
	}
	if h.passed < 1 {
		return false
	}
	h.passed--
	return true
}

// hold puts a decision in force. What it rests on is dealt with: it is taken out of the
// key and out of the wider key around it, so that the rest of that is judged for
// itself, and nothing is held back twice for it.
func (c *client) hold(g *Guard, d Decision) {
	h := &hold{Decision: d, at: d.At}
	if cl := c.cells[d.Key]; cl != nil {
		h.rate = c.history.expected(g, &cl.level, d.At.Unix(), 1)
		if w := c.cells[d.Wider]; w != nil {
			w.discount(cl)
		}
		c.slots -= len(cl.slots)
		cl.slots, cl.fresh = nil, 0
	}
	c.holds[d.Key] = h
	c.holding.Store(int32(len(c.holds)))
}
