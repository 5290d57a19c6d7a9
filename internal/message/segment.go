package message

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Encoding is the alphabet in which a text goes over the air.
type Encoding uint8

// The encodings. A text whose characters are all in the GSM 7 bit default
// alphabet or its extension goes as GSM7, any other as UCS2.
const (
	GSM7 Encoding = iota + 1
	UCS2
)

func (e Encoding) String() string {
	switch e {
	case GSM7:
		return "GSM-7"
	case UCS2:
		return "UCS-2"
	default:
		return "invalid"
	}
}

// One message carries 140 octets. When a text takes more than one, each part
// loses six octets to the header that puts them together again (3GPP TS 23.040,
// section 9.2.3.24.1: concatenation with an 8-bit reference).
const (
	wholeGSM7, partGSM7 = 160, 153 // septets
	wholeUCS2, partUCS2 = 70, 67   // UTF-16 code units
)

// Segments says what a text takes on the air.
type Segments struct {
	Encoding Encoding
	// Units is the length in septets (GSM7) or in UTF-16 code units (UCS2).
	Units int
	// Parts is how many messages it takes, which is what carriers charge for. An
	// empty text takes one.
	Parts int
}

// Count counts what a text takes. A character of two units, an extension
// character of GSM-7 or a surrogate pair, is never split between two parts, so
// that a text may take one part more than its units alone would. What is no
// UTF-8 counts as U+FFFD.
func Count(text string) Segments {
	encoding, units := measure(text)
	whole, part := encoding.limits()
	if units <= whole {
		return Segments{Encoding: encoding, Units: units, Parts: 1}
	}
	parts, used := 1, 0
	for _, r := range text {
		w := encoding.width(r)
		if used+w > part {
			parts++
			used = 0
		}
		used += w
	}
	return Segments{Encoding: encoding, Units: units, Parts: parts}
}

// Split returns the text of each part that [Count] counts. Joined, they are the
// text.
func Split(text string) []string {
	encoding, units := measure(text)
	whole, part := encoding.limits()
	if units <= whole {
		return []string{text}
	}
	parts := make([]string, 0, units/part+1)
	used, start := 0, 0
	for i, r := range text {
		w := encoding.width(r)
		if used+w > part {
			parts = append(parts, text[start:i])
			used, start = 0, i
		}
		used += w
	}
	return append(parts, text[start:])
}

// EncodeGSM7 returns the septets of a text, one in a byte and not packed, with
// the escape before those of the extension; false if it is not GSM-7.
func EncodeGSM7(text string) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		s, ok := septetOf(r)
		switch {
		case !ok:
			return nil, false
		case s >= extended:
			out = append(out, escape, s-extended)
		default:
			out = append(out, s)
		}
	}
	return out, true
}

// measure returns the encoding of a text and its length in that.
func measure(text string) (Encoding, int) {
	septets := 0
	for _, r := range text {
		w := GSM7.width(r)
		if w == 0 {
			units := 0
			for _, r := range text {
				units += UCS2.width(r)
			}
			return UCS2, units
		}
		septets += w
	}
	return GSM7, septets
}

// limits are the units that a whole text may have, and that each part may have
// of one that is longer.
func (e Encoding) limits() (whole, part int) {
	if e == GSM7 {
		return wholeGSM7, partGSM7
	}
	return wholeUCS2, partUCS2
}

// width is how many units a character takes; 0 if the encoding does not have it.
func (e Encoding) width(r rune) int {
	if e == UCS2 {
		return utf16.RuneLen(r)
	}
	s, ok := septetOf(r)
	switch {
	case !ok:
		return 0
	case s >= extended:
		return 2
	default:
		return 1
	}
}

const (
	// escape comes before a septet of the extension.
	escape = 0x1B
	// extended marks, in septetOf's answer, a septet of the extension.
	extended = 0x80
)

// basicAlphabet is the GSM 7 bit default alphabet by septet (3GPP TS 23.038,
// section 6.2.1). U+FFFD stands for the escape at 0x1B, which is no character.
const basicAlphabet = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\uFFFDÆæßÉ" +
	" !\"#¤%&'()*+,-./0123456789:;<=>?" +
	"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
	"¿abcdefghijklmnopqrstuvwxyzäöñüà"

// septetOf returns the septet of a character, plus extended if an escape comes
// before it (3GPP TS 23.038, section 6.2.1.1).
func septetOf(r rune) (byte, bool) {
	if r < utf8.RuneSelf {
		s := asciiSeptets[r]
		return s, s != none
	}
	switch r {
	case '€':
		return extended | 0x65, true
	case utf8.RuneError:
		return 0, false
	}
	if r > 'Ω' { // the last of the basic alphabet
		return 0, false
	}
	septet := byte(0)
	for _, b := range basicAlphabet {
		if b == r {
			return septet, true
		}
		septet++
	}
	return 0, false
}

// none says that a character of ASCII is not in GSM-7.
const none = 0xFF

// asciiSeptets is septetOf for ASCII.
var asciiSeptets = func() (table [utf8.RuneSelf]byte) {
	for i := range table {
		table[i] = none
	}
	septet := byte(0)
	for _, r := range basicAlphabet {
		if r < utf8.RuneSelf {
			table[r] = septet
		}
		septet++
	}
	for r, s := range map[rune]byte{
		'\f': 0x0A, '^': 0x14, '{': 0x28, '}': 0x29, '\\': 0x2F, '[': 0x3C, '~': 0x3D, ']': 0x3E, '|': 0x40,
	} {
		table[r] = extended | s
	}
	return table
}()
