package lineplan

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

// A document is what an import stores: "CWPLAN", the version of the format (16 bits),
// the digest of the rules (8 bytes), the lengths of two sections (32 bits each), and the
// sections: the table as package lookup reads it, and the operators. Both are empty in a
// document that says to use the embedded table. Numbers are big-endian.
//
// The operators, packed with gzip, are their number (16 bits), a line for each of them,
// "rule, tab, name", in the order of their numbers from 1, and then for each area code
// its code and the numbers of its blocks' holders, 16 bits each, 0 for none.
const (
	documentMagic   = "CWPLAN"
	documentVersion = 1
	documentHeader  = len(documentMagic) + 2 + 8 + 4 + 4
	areaSize        = 2 + 2*blocks
	maxOperators    = 2 + 0xffff*(maxName+100) + codes*areaSize
)

var (
	// ErrDocument means a document that is damaged, or is none.
	ErrDocument = errors.New("lineplan: not a number plan, or damaged")
	// ErrNewer means a document of a later version of this program.
	ErrNewer = errors.New("lineplan: the number plan was stored by a newer version of codeword")
)

// Document is a stored plan. Its zero value stands for the embedded table.
type Document struct {
	// Table is the imported table; nil for the embedded one.
	Table *lookup.Table
	// SameRules: the program's rules are those that classed the holders.
	SameRules bool
	operators []byte
}

// Document writes the plan for [ParseDocument].
func (b *Built) Document() ([]byte, error) {
	operators, err := b.packOperators()
	if err != nil {
		return nil, err
	}
	return writeDocument(b.packed, operators), nil
}

// EmbeddedDocument is a document that says to use the embedded table.
func EmbeddedDocument() []byte { return writeDocument(nil, nil) }

func writeDocument(table, operators []byte) []byte {
	digest := RulesDigest()
	out := make([]byte, 0, documentHeader+len(table)+len(operators))
	out = append(out, documentMagic...)
	out = binary.BigEndian.AppendUint16(out, documentVersion)
	out = append(out, digest[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(len(table)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(operators)))
	return append(append(out, table...), operators...)
}

// ParseDocument reads a document, and of the operators no more than where they are.
// Whoever keeps the table alone lets go of them.
func ParseDocument(raw []byte) (d Document, err error) {
	rest, ok := bytes.CutPrefix(raw, []byte(documentMagic))
	if !ok || len(rest) < 2 {
		return d, ErrDocument
	}
	if v := binary.BigEndian.Uint16(rest); v != documentVersion {
		if v < documentVersion {
			return d, ErrDocument
		}
		return d, fmt.Errorf("%w (format %d, this one reads %d)", ErrNewer, v, documentVersion)
	}
	if len(raw) < documentHeader {
		return d, ErrDocument
	}
	digest := RulesDigest()
	d.SameRules = bytes.Equal(rest[2:2+len(digest)], digest[:])
	sizes, body := raw[documentHeader-8:], raw[documentHeader:]
	table, operators := uint64(binary.BigEndian.Uint32(sizes)), uint64(binary.BigEndian.Uint32(sizes[4:]))
	if table+operators != uint64(len(body)) {
		return Document{}, ErrDocument
	}
	if table == 0 && operators == 0 {
		return d, nil
	}
	d.operators = body[table:]
	if d.Table, err = decodeTable(body[:table]); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return d, nil
}

// decodeTable reads a table that has to be the whole of raw.
func decodeTable(raw []byte) (*lookup.Table, error) {
	return lookup.Decode(bytes.NewReader(raw))
}

// packOperators writes the section of the operators.
func (b *Built) packOperators() ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	raw := binary.BigEndian.AppendUint16(nil, uint16(len(b.operators)))
	for _, name := range b.operators {
		raw = append(raw, Classify(name).Name+"\t"+name+"\n"...)
	}
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	for i, page := range b.held {
		if page == nil {
			continue
		}
		raw = binary.BigEndian.AppendUint16(raw[:0], uint16(firstCode+i))
		for _, holder := range page {
			raw = binary.BigEndian.AppendUint16(raw, holder)
		}
		if _, err := z.Write(raw); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// Holder is who holds a block, and the rule that classed him.
type Holder struct {
	Name string
	Rule string
}

// Holder unpacks the operators and returns the holder of a number's block; a zero Holder
// when nobody is known to hold it. It takes a tenth of a second: it is for people.
func (d Document) Holder(n phone.Number) (Holder, error) {
	if d.Table == nil || !n.IsValid() {
		return Holder{}, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(d.operators))
	if err != nil {
		return Holder{}, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	in := bufio.NewReaderSize(io.LimitReader(z, int64(maxOperators)), areaSize)
	names, err := readNames(in)
	if err != nil {
		return Holder{}, err
	}
	at := 2 + 2*((n.NXX()-firstCode)*10+n.Thousands())
	area := make([]byte, areaSize)
	for {
		switch _, err := io.ReadFull(in, area); {
		case errors.Is(err, io.EOF):
			return Holder{}, nil
		case err != nil:
			return Holder{}, fmt.Errorf("%w: %w", ErrDocument, err)
		case int(binary.BigEndian.Uint16(area)) != n.NPA():
			continue
		}
		id := int(binary.BigEndian.Uint16(area[at:]))
		if id > len(names) {
			return Holder{}, ErrDocument
		}
		if id == 0 {
			return Holder{}, nil
		}
		return names[id-1], nil
	}
}

// readNames reads the dictionary in front of the area codes.
func readNames(in *bufio.Reader) ([]Holder, error) {
	var size [2]byte
	if _, err := io.ReadFull(in, size[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	names := make([]Holder, binary.BigEndian.Uint16(size[:]))
	for i := range names {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDocument, err)
		}
		rule, name, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		if !ok {
			return nil, ErrDocument
		}
		names[i] = Holder{Name: name, Rule: rule}
	}
	return names, nil
}
