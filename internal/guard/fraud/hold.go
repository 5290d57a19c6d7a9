package fraud

import "time"

// hold is what is kept of a decision that is, or was, in force. Under attack there are
// many of these: they are kept small, and without pointers.
type hold struct {
	made, until int64 // in Unix nanoseconds
	strikes     int
	refused     int // sends that it has held back
	// rate is how many challenges a second the key's history tells. So many pass while
	// it is held back, so that a key with many honest people behind it is not shut for
	// a few bad sends; one without a history is.
	rate   float64
	passed float64 // how many may pass now
	at     int64   // since when, in Unix nanoseconds
}

// holds tells whether it is in force.
func (h *hold) holds(at time.Time) bool { return at.UnixNano() < h.until }

// decision is what is known of the decision.
func (h *hold) decision(client string, k Key) Decision {
	return Decision{
		At: time.Unix(0, h.made).UTC(), Until: time.Unix(0, h.until).UTC(), Client: client, Key: k, Strikes: h.strikes, Refused: h.refused,
	}
}

// usualFor is how long what was not used of the usual volume is kept, in seconds.
const usualFor = 300

// usual tells whether a send is within the key's usual volume, and uses it up.
func (h *hold) usual(at time.Time) bool {
	if h.rate <= 0 {
		return false
	}
	if dt := time.Duration(at.UnixNano() - h.at).Seconds(); dt > 0 {
		h.passed = min(h.passed+dt*h.rate, max(1, h.rate*usualFor))
		h.at = at.UnixNano()
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
	h := hold{made: d.At.UnixNano(), until: d.Until.UnixNano(), strikes: d.Strikes, refused: d.Refused, at: d.At.UnixNano()}
	if cl := c.book.find(d.Key); cl != nil {
		h.rate = c.history.expected(g, &cl.level, d.At.Unix(), 1)
		if w := c.book.find(d.Wider); w != nil {
			c.book.discount(w, cl)
		}
		c.book.clear(cl)
	}
	c.holds[d.Key] = h
	c.holding.Store(int32(len(c.holds)))
}
