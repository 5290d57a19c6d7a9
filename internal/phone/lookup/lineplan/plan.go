package lineplan

import (
	"fmt"
	"math"
	"time"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

// Sizes of what is kept by area code, exchange and block: codes run from 200 to 999.
const (
	firstCode = 200
	codes     = 800
	blocks    = codes * 10
)

// Plan is who holds which numbers. The zero Plan is empty.
type Plan struct {
	operators []string
	numbers   map[string]uint16
	// held and exchanges have a holder's number from 1, by area code.
	held      [codes]*[blocks]uint16
	exchanges [codes]*[codes]exchange
}

type exchange struct {
	holder uint16
	// assigned is the day since 1970 on which he got it; 0 when nobody knows.
	assigned int32
}

// AddBlock says who holds a thousands-block; area code and exchange are from 200 to 999,
// x from 0 to 9. Saying the same twice changes nothing.
func (p *Plan) AddBlock(npa, nxx, x int, holder string) error {
	id, err := p.operator(holder)
	if err != nil {
		return err
	}
	page := &p.held[npa-firstCode]
	if *page == nil {
		*page = new([blocks]uint16)
	}
	at := &(*page)[(nxx-firstCode)*10+x]
	if *at != 0 && *at != id {
		return fmt.Errorf("the block %d-%d-%d is %s's in an earlier row, and %s's here",
			npa, nxx, x, p.operators[*at-1], p.operators[id-1])
	}
	*at = id
	return nil
}

// AddExchange says who holds an exchange and since when; a zero time for not known.
func (p *Plan) AddExchange(npa, nxx int, holder string, assigned time.Time) error {
	id, err := p.operator(holder)
	if err != nil {
		return err
	}
	page := &p.exchanges[npa-firstCode]
	if *page == nil {
		*page = new([codes]exchange)
	}
	at := &(*page)[nxx-firstCode]
	if at.holder != 0 && at.holder != id {
		return fmt.Errorf("the exchange %d-%d is %s's in an earlier row, and %s's here",
			npa, nxx, p.operators[at.holder-1], p.operators[id-1])
	}
	at.holder = id
	if !assigned.IsZero() {
		at.assigned = max(at.assigned, days(assigned))
	}
	return nil
}

// operator returns a holder's number.
func (p *Plan) operator(holder string) (uint16, error) {
	holder = CleanName(holder)
	if id, ok := p.numbers[holder]; ok {
		return id, nil
	}
	switch {
	case len(holder) > maxName:
		return 0, fmt.Errorf("the holder's name has %d bytes, at most %d", len(holder), maxName)
	case len(p.operators) == math.MaxUint16:
		return 0, fmt.Errorf("more than %d holders", math.MaxUint16)
	case p.numbers == nil:
		p.numbers = make(map[string]uint16)
	}
	p.operators = append(p.operators, holder)
	p.numbers[holder] = uint16(len(p.operators))
	return p.numbers[holder], nil
}

// maxName is how long a holder's name may be, in bytes.
const maxName = 250

func days(t time.Time) int32 { return int32(t.Unix() / (24 * 60 * 60)) }

// Built is a table with what it was made of.
type Built struct {
	Date  time.Time
	Table *lookup.Table
	// packed is the table as lookup.Decode reads it.
	packed []byte
	// operators and held say who holds each block of the table.
	operators []string
	held      [codes]*[blocks]uint16
}

// Packed is the table as [lookup.Decode] reads it.
func (b *Built) Packed() []byte { return b.packed }

// Build makes the table of the geographic area codes of the United States and its
// territories. date is the day of the facts on blocks.
//
// A block is its holder's. One that nobody holds, since the exchange's holder kept it or
// got it back, is the exchange's holder's, and so are all blocks of an exchange that was
// given out after the date: what is said of them is older.
func (p *Plan) Build(date time.Time) (*Built, error) {
	lines := make([]phone.LineType, len(p.operators)+1)
	for i, name := range p.operators {
		lines[i+1] = Classify(name).Line
	}
	out := &Built{Date: date, operators: p.operators}
	var table lookup.Builder
	for i := range codes {
		if p.held[i] == nil && p.exchanges[i] == nil || !domestic(firstCode+i) {
			continue
		}
		out.held[i] = p.merge(i, days(date))
		for at, holder := range out.held[i] {
			if err := table.Set(firstCode+i, firstCode+at/10, at%10, lines[holder]); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if out.packed, err = table.Encode(date); err != nil {
		return nil, err
	}
	out.Table, err = decodeTable(out.packed)
	return out, err
}

// merge returns the holders of an area code's blocks.
func (p *Plan) merge(area int, date int32) *[blocks]uint16 {
	out := new([blocks]uint16)
	if p.held[area] != nil {
		*out = *p.held[area]
	}
	if p.exchanges[area] == nil {
		return out
	}
	for i, e := range p.exchanges[area] {
		for x := i * 10; e.holder != 0 && x < i*10+10; x++ {
			if out[x] == 0 || e.assigned > date {
				out[x] = e.holder
			}
		}
	}
	return out
}

// domestic tells whether numbers of an area code can be allowed at all.
func domestic(npa int) bool {
	area, _ := phone.AreaCode(npa)
	if area.Kind != phone.Geographic {
		return false
	}
	switch area.Country {
	case "US", "PR", "VI", "GU", "AS", "MP":
		return true
	}
	return false
}

// Blocks is how many thousands-blocks the area codes that tables are made of have.
func Blocks() (n int) {
	for i := range codes {
		if domestic(firstCode + i) {
			n += blocks
		}
	}
	return n
}
