package rollup

import "time"

// Key names a block.
type Key struct {
	// Span is Hourly or Daily.
	Span time.Duration
	// Start is when it begins.
	Start  time.Time
	Client int64
}

// Fold adds events up, by block.
type Fold map[Key]*Block

// Take adds events as Append has written them. Of what cannot be read nothing is added
// that follows the damage, and the answer is ErrDamaged.
func (f Fold) Take(events []byte) error {
	r := &reader{rest: events}
	for len(r.rest) > 0 {
		t := r.event()
		if r.err != nil {
			return r.err
		}
		f.block(Hourly, &t).add(&t)
		f.block(Daily, &t).add(&t)
	}
	return nil
}

func (f Fold) block(span time.Duration, t *tally) *Block {
	key := Key{span, time.Unix(t.hour*3600, 0).UTC().Truncate(span), t.client}
	b := f[key]
	if b == nil {
		b = NewBlock()
		f[key] = b
	}
	return b
}

// Merge adds a stored block to one of this fold; ErrDamaged.
func (b *Block) Merge(body []byte) error {
	var at *route
	return walk(body, visitor{
		route:     func(name string) { at = b.route(name) },
		delivered: func(i int, n int64) { at.delivered[i] += n },
		verified:  func(i int, n int64) { at.verified[i] += n },
		reason:    func(name string, n int64) { at.addReason(name, n) },
		area:      func(code int, c *Counts) { at.area(code).Add(c) },
	})
}

// addReason counts a reason, or Other when there are too many.
func (r *route) addReason(name string, n int64) {
	if _, known := r.reasons[name]; !known && len(r.reasons) >= maxReasons {
		name = Other
	}
	r.reasons[name] += n
}
