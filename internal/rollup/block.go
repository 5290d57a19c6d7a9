package rollup

import (
	"encoding/binary"
	"maps"
	"slices"
)

const (
	// format begins a stored block.
	format = 1
	// Reasons are few and fixed, and routes are those of the operator. Should there be
	// more, the rest goes under one name, so that a block stays small whatever comes.
	maxReasons, maxRoutes = 64, 256
	// Other is that name.
	Other = "other"
)

// Block is what was counted of one client's messages of an hour or a day.
type Block struct {
	routes map[string]*route
}

// route is a route's part of a block. Times and reasons are not kept by area code:
// they would be larger than all the rest, and tell of the route, not of the area.
type route struct {
	delivered, verified Hist
	reasons             map[string]int64
	areas               [1000 / areaPage]*[areaPage]Counts
}

// areaPage is how many area codes are made room for at once.
const areaPage = 100

// NewBlock returns an empty block.
func NewBlock() *Block { return &Block{routes: make(map[string]*route)} }

// Merge adds a stored block; ErrDamaged.
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

// addAll adds another block.
func (b *Block) addAll(o *Block) {
	for name, from := range o.routes {
		to := b.route(name)
		to.delivered.Add(&from.delivered)
		to.verified.Add(&from.verified)
		for reason, n := range from.reasons {
			to.addReason(reason, n)
		}
		from.each(func(code int, c *Counts) { to.area(code).Add(c) })
	}
}

// addReason counts a reason, or Other when there are too many.
func (r *route) addReason(name string, n int64) {
	if _, known := r.reasons[name]; !known && len(r.reasons) >= maxReasons {
		name = Other
	}
	r.reasons[name] += n
}

func (b *Block) route(name string) *route {
	r := b.routes[name]
	if r == nil && len(b.routes) >= maxRoutes && name != Other {
		return b.route(Other)
	}
	if r == nil {
		r = &route{reasons: make(map[string]int64)}
		b.routes[name] = r
	}
	return r
}

func (r *route) area(code int) *Counts {
	page := &r.areas[code/areaPage]
	if *page == nil {
		*page = new([areaPage]Counts)
	}
	return &(*page)[code%areaPage]
}

// each calls f for the area codes in their order that something was counted of.
func (r *route) each(f func(code int, c *Counts)) {
	for p, page := range r.areas {
		if page == nil {
			continue
		}
		for i := range page {
			if page[i] != (Counts{}) {
				f(p*areaPage+i, &page[i])
			}
		}
	}
}

func (b *Block) add(t *tally) {
	r := b.route(t.route)
	if t.counts != (Counts{}) {
		r.area(t.area).Add(&t.counts)
	}
	if t.delivered >= 0 {
		r.delivered[t.delivered]++
	}
	if t.verified >= 0 {
		r.verified[t.verified]++
	}
	if t.reason != "" {
		r.addReason(t.reason, 1)
	}
}

// Encode writes the block in the one form that blocks with these figures have.
func (b *Block) Encode() []byte {
	buf := []byte{format}
	buf = binary.AppendUvarint(buf, uint64(len(b.routes)))
	for _, name := range slices.Sorted(maps.Keys(b.routes)) {
		r := b.routes[name]
		buf = appendName(buf, name)
		buf = appendHist(buf, &r.delivered)
		buf = appendHist(buf, &r.verified)
		buf = binary.AppendUvarint(buf, uint64(len(r.reasons)))
		for _, reason := range slices.Sorted(maps.Keys(r.reasons)) {
			buf = appendName(buf, reason)
			buf = binary.AppendVarint(buf, r.reasons[reason])
		}
		buf = r.appendAreas(buf)
	}
	return buf
}

func (r *route) appendAreas(buf []byte) []byte {
	n, before := 0, 0
	r.each(func(int, *Counts) { n++ })
	buf = binary.AppendUvarint(buf, uint64(n))
	r.each(func(code int, c *Counts) {
		buf = binary.AppendUvarint(buf, uint64(code-before))
		before = code
		for _, n := range [...]int64{c.Messages, c.Sent, c.Delivered, c.Verified, c.Failed, c.Micros} {
			buf = binary.AppendVarint(buf, n)
		}
	})
	return buf
}

func appendHist(buf []byte, h *Hist) []byte {
	used := 0
	for _, n := range h {
		if n != 0 {
			used++
		}
	}
	buf = binary.AppendUvarint(buf, uint64(used))
	for i, n := range h {
		if n != 0 {
			buf = append(buf, byte(i))
			buf = binary.AppendVarint(buf, n)
		}
	}
	return buf
}

// visitor is told what is in a stored block, route by route.
type visitor struct {
	route               func(name string)
	delivered, verified func(bucket int, n int64)
	reason              func(name string, n int64)
	area                func(code int, c *Counts)
}

// walk reads a stored block without making it anew.
func walk(body []byte, v visitor) error {
	r := &reader{rest: body}
	if r.byte() != format {
		return ErrDamaged
	}
	for routes := r.uvarint(); routes > 0 && r.err == nil; routes-- {
		name := r.name()
		if r.err != nil {
			break
		}
		v.route(name)
		for _, told := range [...]func(int, int64){v.delivered, v.verified} {
			for n := r.uvarint(); n > 0 && r.err == nil; n-- {
				i := int(r.byte())
				if count := r.varint(); r.err == nil {
					told(min(i, buckets-1), count)
				}
			}
		}
		for n := r.uvarint(); n > 0 && r.err == nil; n-- {
			reason := r.name()
			if count := r.varint(); r.err == nil {
				v.reason(reason, count)
			}
		}
		r.areas(v.area)
	}
	if r.err == nil && len(r.rest) > 0 {
		return ErrDamaged
	}
	return r.err
}

func (r *reader) areas(told func(int, *Counts)) {
	var c Counts
	code := 0
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		code = area(code + int(min(r.uvarint(), 1000)))
		c.Messages, c.Sent, c.Delivered = r.varint(), r.varint(), r.varint()
		c.Verified, c.Failed, c.Micros = r.varint(), r.varint(), r.varint()
		if r.err == nil {
			told(code, &c)
		}
	}
}
