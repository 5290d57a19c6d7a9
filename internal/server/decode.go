package server

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tailscale/hujson"
)

// maxDepth is how deep a body may nest (RFC 8259 section 9 leaves it to us).
// Our documents have a depth of one; the rest is for unknown members.
const maxDepth = 32

// Kinds of a member beyond those of jsontext.
const (
	kindAbsent jsontext.Kind = 0
	kindNull   jsontext.Kind = 'n'
	kindString jsontext.Kind = '"'
	kindObject jsontext.Kind = '{'
)

// member is one expected member of an object, as it came.
type member struct {
	name string
	// kind is kindAbsent until the member was seen.
	kind jsontext.Kind
	// text is the value of a string.
	text string
}

// absent reports a member that is not there, or null.
func (m *member) absent() bool { return m.kind == kindAbsent || m.kind == kindNull }

var (
	errNoObject = errors.New("body is not an object")
	errDepth    = errors.New("body nests too deep")
	errTrailing = errors.New("bytes after the object")
)

// document reads JSON objects. It is reused, to spare its buffers.
type document struct {
	dec *jsontext.Decoder
	src bytes.Buffer
}

// object fills the members from a JSON object; others are checked and passed
// over. RFC 8259 is kept to the letter, with names unique (section 4) and text
// in UTF-8 (section 8.1), except that a comma may follow the last element, as
// it does in the samples of the documentation. body is not changed.
func (d *document) object(body []byte, members []member) error {
	err := d.strict(body, members)
	if err == nil || !maybeTrailingComma(body) {
		return err
	}
	// hujson changes what it parses.
	standard, lenient := hujson.Standardize(bytes.Clone(body))
	if lenient != nil {
		return err
	}
	return d.strict(standard, members)
}

// strict is object without the exception.
func (d *document) strict(body []byte, members []member) error {
	for i := range members {
		members[i] = member{name: members[i].name}
	}
	d.src = *bytes.NewBuffer(body)
	if d.dec == nil {
		d.dec = jsontext.NewDecoder(&d.src)
	} else {
		d.dec.Reset(&d.src)
	}
	defer func() { d.src = bytes.Buffer{} }()
	open, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	if open.Kind() != kindObject {
		return errNoObject
	}
	for d.dec.PeekKind() != '}' {
		if err := d.member(members); err != nil {
			return err
		}
	}
	if _, err := d.dec.ReadToken(); err != nil {
		return err
	}
	if _, err := d.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errTrailing
	}
	return nil
}

// member reads one name and its value.
func (d *document) member(members []member) error {
	name, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	var wanted *member
	if name.Kind() == kindString {
		wanted = find(members, name)
	}
	kind := d.dec.PeekKind()
	if wanted != nil {
		wanted.kind = kind
	}
	if wanted == nil || kind != kindString {
		return d.skip()
	}
	value, err := d.dec.ReadToken()
	if err != nil {
		return err
	}
	wanted.text = value.String()
	return nil
}

func find(members []member, name jsontext.Token) *member {
	text := name.String()
	for i := range members {
		if members[i].name == text {
			return &members[i]
		}
	}
	return nil
}

// skip passes over one value, token by token so that its depth is bounded.
func (d *document) skip() error {
	base := d.dec.StackDepth()
	for {
		if _, err := d.dec.ReadToken(); err != nil {
			return err
		}
		switch depth := d.dec.StackDepth(); {
		case depth <= base:
			return nil
		case depth > maxDepth:
			return errDepth
		}
	}
}

// maybeTrailingComma says whether it makes sense to try a body again with a
// parser that takes trailing commas. That parser also takes comments, which
// begin with a slash, and it recurses without bound; so this lets pass only what
// has no slash outside of strings and does not nest too deep.
func maybeTrailingComma(body []byte) bool {
	depth, inString, comma, found := 0, false, false, false
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '/':
			return false
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
			found = found || comma
		}
		if !inString && c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			comma = c == ','
		}
	}
	return found
}
