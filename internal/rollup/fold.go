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

// Fold adds events up, by block. The zero value is an empty one.
type Fold struct {
	hours map[clientHour]*Block
	// of and at are what the last event belonged to: the next one mostly does, too.
	of clientHour
	at *Block
}

type clientHour struct{ client, hour int64 }

// Take adds events as Append has written them. Of what cannot be read nothing is added
// that follows the damage, and the answer is ErrDamaged.
func (f *Fold) Take(events []byte) error {
	r := &reader{rest: events}
	for len(r.rest) > 0 {
		t := r.event()
		if r.err != nil {
			return r.err
		}
		if of := (clientHour{t.client, t.hour}); f.at == nil || f.of != of {
			f.of, f.at = of, f.block(of)
		}
		f.at.add(&t)
	}
	return nil
}

func (f *Fold) block(of clientHour) *Block {
	if f.hours == nil {
		f.hours = make(map[clientHour]*Block)
	}
	b := f.hours[of]
	if b == nil {
		b = NewBlock()
		f.hours[of] = b
	}
	return b
}

// Blocks are the sums, of hours and of days.
func (f *Fold) Blocks() map[Key]*Block {
	out := make(map[Key]*Block, 2*len(f.hours))
	for of, b := range f.hours {
		start := time.Unix(of.hour*3600, 0).UTC()
		out[Key{Hourly, start, of.client}] = b
		day := Key{Daily, start.Truncate(Daily), of.client}
		if out[day] == nil {
			out[day] = NewBlock()
		}
		out[day].addAll(b)
	}
	return out
}
