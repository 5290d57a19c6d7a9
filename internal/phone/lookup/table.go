// Package lookup tells the line type of a number: from a table of who holds which
// thousands-block, which is right for most numbers and asks nobody.
//
// A number keeps its block when it is ported to another operator, also from a landline
// to a mobile phone, so the table tells what the number was when its block was given
// out. That is its known error.
package lookup

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"codeword/internal/phone"
)

//go:generate go run ./lineblocks

// packed is the table of the pooled blocks of March 2023, made by lineblocks.
//
//go:embed blocks.gz
var packed []byte

// How a table is written: the magic, the day of its facts (days since 1970, 32 bits), the
// number of area codes (16 bits), and for each of them its code (16 bits) and two bits a
// block, from exchange 200 on, the lowest bits first. Numbers are big-endian.
const (
	magic        = "CWLINES1"
	headerSize   = len(magic) + 4 + 2
	firstArea    = 200
	areas        = 800
	firstNXX     = 200
	perArea      = 800 * 10
	perByte      = 4
	bytesPerArea = perArea / perByte
	areaSize     = 2 + bytesPerArea
	secondsADay  = 24 * 60 * 60
)

// types are what the two bits of a block mean. Blocks of "VoIP" are those of wholesale
// and app providers; cable operators' VoIP counts as landline, whose lines it replaces.
var types = [1 << 2]phone.LineType{phone.LineUnknown, phone.LineMobile, phone.LineLandline, phone.LineNonFixedVoIP}

// Table is the line types of thousands-blocks. It is immutable.
type Table struct {
	date  time.Time
	pages [areas][]byte
}

var errTable = errors.New("lookup: not a table of line types, or damaged")

// Decode reads a table.
func Decode(r io.Reader) (*Table, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, int64(headerSize+areas*areaSize+1)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	if len(raw) < headerSize || string(raw[:len(magic)]) != magic {
		return nil, errTable
	}
	t := &Table{date: time.Unix(int64(binary.BigEndian.Uint32(raw[len(magic):]))*secondsADay, 0).UTC()}
	n := int(binary.BigEndian.Uint16(raw[headerSize-2:]))
	if len(raw) != headerSize+n*areaSize {
		return nil, errTable
	}
	for page := raw[headerSize:]; len(page) > 0; page = page[areaSize:] {
		i := int(binary.BigEndian.Uint16(page)) - firstArea
		if i < 0 || i >= areas || t.pages[i] != nil {
			return nil, errTable
		}
		t.pages[i] = page[2:areaSize:areaSize]
	}
	return t, nil
}

// Embedded is the table that the program brings. It is unpacked by the first call.
var Embedded = sync.OnceValue(func() *Table {
	t, err := Decode(bytes.NewReader(packed))
	if err != nil {
		panic(err) // a test reads it
	}
	return t
})

// Date is the day of the table's facts.
func (t *Table) Date() time.Time { return t.date }

// Block returns the line type of a number's thousands-block; LineUnknown for a block
// that the table does not have, and for the zero Number.
func (t *Table) Block(n phone.Number) phone.LineType {
	i := n.NPA() - firstArea
	if i < 0 || i >= areas || t.pages[i] == nil {
		return phone.LineUnknown
	}
	b := (n.NXX()-firstNXX)*10 + n.Thousands()
	return types[t.pages[i][b/perByte]>>(b%perByte*2)&3]
}

// Known counts the blocks of the table by what is known of them.
func (t *Table) Known() map[phone.LineType]int {
	counts := make(map[phone.LineType]int)
	for _, page := range t.pages {
		for _, b := range page {
			for range perByte {
				counts[types[b&3]]++
				b >>= 2
			}
		}
	}
	delete(counts, phone.LineUnknown)
	return counts
}
