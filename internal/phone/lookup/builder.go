package lookup

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"codeword/internal/phone"
)

// Builder collects the line types of blocks for a table. The zero Builder is empty.
type Builder struct {
	pages [areas][]byte
}

// Set says the type of a block: area code and exchange from 200 to 999, and the digit
// after them. A type that tables cannot tell from others is an error; LineUnknown says
// no more than that the area code belongs into the table.
func (b *Builder) Set(npa, nxx, x int, line phone.LineType) error {
	area, block := npa-firstArea, (nxx-firstNXX)*10+x
	if area < 0 || area >= areas || block < 0 || block >= perArea || x < 0 || x > 9 {
		return fmt.Errorf("lookup: there is no block %d-%d-%d", npa, nxx, x)
	}
	code := slices.Index(types[:], line)
	if code < 0 {
		return fmt.Errorf("lookup: no block is %s", line)
	}
	if b.pages[area] == nil {
		b.pages[area] = make([]byte, bytesPerArea)
	}
	at, shift := block/perByte, block%perByte*2
	b.pages[area][at] = b.pages[area][at]&^(3<<shift) | byte(code)<<shift
	return nil
}

// Encode writes the table as [Decode] reads it, for facts of that day.
func (b *Builder) Encode(date time.Time) ([]byte, error) {
	n := 0
	for _, page := range b.pages {
		if page != nil {
			n++
		}
	}
	raw := make([]byte, 0, headerSize+n*areaSize)
	raw = append(raw, magic...)
	raw = binary.BigEndian.AppendUint32(raw, uint32(date.Unix()/secondsADay))
	raw = binary.BigEndian.AppendUint16(raw, uint16(n))
	for i, page := range b.pages {
		if page != nil {
			raw = binary.BigEndian.AppendUint16(raw, uint16(firstArea+i))
			raw = append(raw, page...)
		}
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// Changes count the blocks that two tables differ in.
type Changes struct {
	// Added are known only to the new one, Gone only to the old one, Other are of
	// another type.
	Added, Gone, Other int
}

// ChangesFrom compares the table with an older one.
func (t *Table) ChangesFrom(old *Table) (c Changes) {
	var none [bytesPerArea]byte
	for i := range t.pages {
		was, is := old.pages[i], t.pages[i]
		if was == nil {
			was = none[:]
		}
		if is == nil {
			is = none[:]
		}
		for at := range is {
			for a, b := was[at], is[at]; a != b; a, b = a>>2, b>>2 {
				switch {
				case a&3 == b&3:
				case a&3 == 0:
					c.Added++
				case b&3 == 0:
					c.Gone++
				default:
					c.Other++
				}
			}
		}
	}
	return c
}
