package fraud

import "math/bits"

// book keeps the cells of one client. An attack may make a million of them, most with
// one slot: those are kept close together, and without pointers, which the garbage
// collector would follow.
type book struct {
	index map[uint64]uint32 // by packed key
	cells pool[cell]
	// blocks have the slots of cells; large has those of cells that have more than the
	// largest block, and unused places.
	blocks pool[slot]
	large  []timeline
	unused []uint32
	// slots is how many the cells have together, loose how many of the cells are of
	// addresses, networks and devices, of which there can be any number.
	slots, loose int
}

// large is the class of cells that have more slots than the largest block.
const large = classes

func newBook() *book { return &book{index: make(map[uint64]uint32)} }

// scopeShift is where the scope is in a packed key; a digest gives its upper three bits
// for it, which leaves enough.
const scopeShift = 61

func (k Key) pack() uint64 { return uint64(k.Scope)<<scopeShift | k.ID&(1<<scopeShift-1) }

func unpack(packed uint64) Key {
	return Key{Scope: Scope(packed >> scopeShift), ID: packed & (1<<scopeShift - 1)}
}

// find returns the cell of a key; nil if there is none. It is good until the cell is
// dropped.
func (b *book) find(k Key) *cell {
	i, ok := b.index[k.pack()]
	if !ok {
		return nil
	}
	return b.cell(i)
}

func (b *book) cell(i uint32) *cell { return &b.cells.at(i, 0)[0] }

// open makes a cell for a key that has none.
func (b *book) open(k Key) *cell {
	if k.loose() {
		b.loose++
	}
	i := b.cells.take(0)
	b.index[k.pack()] = i
	c := b.cell(i)
	*c = cell{}
	return c
}

// drop forgets a key.
func (b *book) drop(k Key) {
	i, ok := b.index[k.pack()]
	if !ok {
		return
	}
	b.clear(b.cell(i))
	b.cells.give(i, 0)
	delete(b.index, k.pack())
	if k.loose() {
		b.loose--
	}
}

// evict makes room for a new key: of a few that come up by chance, the one of which
// least is known goes.
func (b *book) evict() bool {
	const candidates, looks = 8, 64
	var victim Key
	var least *cell
	found, seen := 0, 0
	for packed, i := range b.index {
		if seen++; seen > looks || found == candidates {
			break
		}
		k := unpack(packed)
		if !k.loose() {
			continue
		}
		found++
		if c := b.cell(i); least == nil || c.weight() < least.weight() {
			victim, least = k, c
		}
	}
	if least == nil {
		return false
	}
	b.drop(victim)
	return true
}

// of returns the slots of a cell, oldest first. They are good until the cell gets or
// loses some.
func (b *book) of(c *cell) timeline {
	return b.room(c)[:c.n]
}

// room is where the slots of a cell are, and some more may be.
func (b *book) room(c *cell) timeline {
	switch {
	case c.n == 0:
		return nil
	case c.class == large:
		return b.large[c.run]
	default:
		return b.blocks.at(c.run, c.class)
	}
}

// add counts in a slot of the cell, unless it is past, and drops what is older than
// the window.
func (b *book) add(c *cell, at int32, add counts, spread uint64, window int32) {
	s := b.of(c)
	i := len(s)
	switch {
	case i == 0:
	case s[i-1].at < at:
		b.prune(c, at-window)
		i = int(c.n)
	case at <= s[i-1].at-window:
		return
	default:
		for i > 0 && s[i-1].at > at {
			i--
		}
	}
	s = b.of(c)
	if i == 0 || s[i-1].at != at {
		s = b.insert(c, i, at)
		i++
	}
	s[i-1].counts.add(add)
	s[i-1].spread |= spread
	c.fresh += int32(add.Fresh)
}

// insert makes a slot before the ith.
func (b *book) insert(c *cell, i int, at int32) timeline {
	if n := int(c.n); n == len(b.room(c)) {
		b.move(c, n+1)
	}
	c.n++
	b.slots++
	s := b.of(c)
	copy(s[i+1:], s[i:])
	s[i] = slot{at: at}
	return s
}

// move puts the slots of a cell where there is room for n, and not for many more.
func (b *book) move(c *cell, n int) {
	s, from := b.of(c), *c
	if c.class = classOf(n); c.class < large {
		c.run = b.blocks.take(c.class)
		copy(b.blocks.at(c.run, c.class), s)
	} else {
		c.run = b.place()
		b.large[c.run] = make(timeline, n+n/4)
		copy(b.large[c.run], s)
	}
	b.release(&from)
}

// classOf is the class of a cell that has n slots.
func classOf(n int) uint8 { return uint8(min(bits.Len(uint(n-1)), large)) }

// place is an unused one in large.
func (b *book) place() uint32 {
	if n := len(b.unused); n > 0 {
		i := b.unused[n-1]
		b.unused = b.unused[:n-1]
		return i
	}
	b.large = append(b.large, nil)
	return uint32(len(b.large) - 1)
}

// release gives back where the slots of a cell were.
func (b *book) release(c *cell) {
	switch {
	case c.n == 0:
	case c.class == large:
		b.large[c.run] = nil
		b.unused = append(b.unused, c.run)
	default:
		b.blocks.give(c.run, c.class)
	}
}

// prune drops the slots up to last.
func (b *book) prune(c *cell, last int32) {
	s := b.of(c)
	i := 0
	for i < len(s) && s[i].at <= last {
		i++
	}
	b.keep(c, i, len(s))
}

// cut drops the slots after last, which a clock that was set back left in the future.
func (b *book) cut(c *cell, last int32) {
	n := int(c.n)
	for s := b.of(c); n > 0 && s[n-1].at > last; {
		n--
	}
	b.keep(c, 0, n)
}

// clear drops all slots.
func (b *book) clear(c *cell) { b.keep(c, 0, 0) }

// keep drops all slots but those from the ith to before the jth.
func (b *book) keep(c *cell, i, j int) {
	s := b.of(c)
	if i == 0 && j == len(s) {
		return
	}
	for _, gone := range []timeline{s[:i], s[j:]} {
		for at := range gone {
			c.fresh -= int32(gone[at].counts.Fresh)
		}
	}
	if i == j {
		b.release(c)
	}
	n := copy(s, s[i:j])
	c.n = int32(n)
	b.slots -= len(s) - n
	if n > 0 && 2*n <= len(b.room(c)) {
		b.move(c, n)
	}
}

// idleLeast is how many cells or slots may lie idle without being given back.
const idleLeast = 4096

// wasteful tells whether most of what was made for an attack lies idle.
func (b *book) wasteful() bool {
	return b.blocks.idle() > max(2*b.slots, idleLeast) || b.cells.idle() > max(2*len(b.index), idleLeast)
}

// copied returns a book with the same cells and nothing idle. The slots of other, a
// cell that has no key, go with them.
func (b *book) copied(other *cell) *book {
	to := newBook()
	to.index = make(map[uint64]uint32, len(b.index))
	for packed, i := range b.index {
		from, c := b.cell(i), to.open(unpack(packed))
		*c = *from
		to.adopt(c, b.of(from))
	}
	to.adopt(other, b.of(other))
	return to
}

// adopt puts the slots of a cell of another book into a block of this one.
func (b *book) adopt(c *cell, s timeline) {
	if c.n = 0; len(s) == 0 {
		return
	}
	b.move(c, len(s))
	c.n = int32(len(s))
	copy(b.of(c), s)
	b.slots += len(s)
}
