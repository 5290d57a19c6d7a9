package message

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The placeholders of a template. There is none for the code's lifetime: a
// message that is sent again brings a code that has less of it left.
const (
	placeCode  = "code"
	placeBrand = "brand"
)

// maxTemplate bounds a template, in bytes.
const maxTemplate = 2 << 10

// template is a text in which values are put into places: literal text and the
// names of placeholders in turn, beginning and ending with text. Values are put
// in once and never read for placeholders.
type template []string

// parseTemplate reads text with {code}, exactly once, and {brand}.
func parseTemplate(text string) (template, error) {
	switch {
	case len(text) > maxTemplate:
		return nil, fmt.Errorf("over %d bytes", maxTemplate)
	case !utf8.ValidString(text):
		return nil, errors.New("not UTF-8")
	}
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || r == '\u2028' || r == '\u2029') {
			return nil, fmt.Errorf("%U is a control character", r)
		}
	}
	var t template
	codes := 0
	for {
		literal, rest, open := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, errors.New("} without {")
		}
		t = append(t, literal)
		if !open {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case !closed || strings.Contains(name, "{"):
			return nil, errors.New("{ without }")
		case name == placeCode:
			codes++
		case name != placeBrand:
			return nil, fmt.Errorf("unknown placeholder {%s}: there are {code} and {brand}", name)
		}
		t = append(t, name)
		text = after
	}
	if codes != 1 {
		return nil, fmt.Errorf("{code} must be in it exactly once, not %d times", codes)
	}
	return t, nil
}

// fill puts the brand in and returns the text cut at its code.
func (t template) fill(brand string) []string {
	pieces := []string{""}
	for i, s := range t {
		switch {
		case i%2 == 1 && s == placeCode:
			pieces = append(pieces, "")
			continue
		case i%2 == 1:
			s = brand
		}
		pieces[len(pieces)-1] += s
	}
	return pieces
}
