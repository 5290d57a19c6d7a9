package message

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// forcing returns the characters that are not in GSM-7, each once, in the order
// in which they come.
func forcing(text string) []rune {
	var found []rune
	for _, r := range text {
		if GSM7.width(r) == 0 && !slices.Contains(found, r) {
			found = append(found, r)
		}
	}
	return found
}

// avoidable reports whether a text is UCS-2 for nothing: all that keeps it out
// of GSM-7 are characters that a person would not see the lack of.
func avoidable(forced []rune) bool {
	return len(forced) > 0 && !slices.ContainsFunc(forced, func(r rune) bool {
		_, ok := plain(r)
		return !ok
	})
}

// describe lists characters with their plain replacements, and not all of many.
func describe(forced []rune) string {
	const most = 4
	var b strings.Builder
	for i, r := range forced {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(forced)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%U", r)
		if unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.IsMark(r) {
			fmt.Fprintf(&b, " %c", r)
		}
		switch s, ok := plain(r); {
		case !ok:
		case s == "":
			b.WriteString(" (leave it out)")
		case s == " ":
			b.WriteString(" (write a space)")
		default:
			fmt.Fprintf(&b, " (write %s)", s)
		}
	}
	return b.String()
}

// plain returns what to write in GSM-7 in the place of a character that looks
// just like it, or like nothing; false if there is no such thing.
func plain(r rune) (string, bool) {
	if s, ok := lookalikes[r]; ok {
		return s, true
	}
	switch {
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		return "", true // zero-width, soft hyphen, direction marks
	case unicode.Is(unicode.Zs, r):
		return " ", true
	}
	// Ligatures, full width and other forms that Unicode has for compatibility.
	s := norm.NFKC.String(string(r))
	if encoding, _ := measure(s); encoding == UCS2 {
		return "", false
	}
	return s, true
}

// lookalikes are characters that word processors put in the place of plain ones,
// and letters of other alphabets that look like Latin ones.
var lookalikes = map[rune]string{
	'‘': "'", '’': "'", '‚': "'", '‛': "'", '′': "'", '´': "'", '`': "'", 'ʼ': "'", 'ʻ': "'", 'ˈ': "'",
	'“': `"`, '”': `"`, '„': `"`, '‟': `"`, '″': `"`, '«': `"`, '»': `"`,
	'‹': "<", '›': ">",
	'‐': "-", '‑': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '•': "-",
	'…': "...", '·': ".", '×': "x", '⁄': "/", '∕': "/",

	'А': "A", 'В': "B", 'Е': "E", 'К': "K", 'М': "M", 'Н': "H", 'О': "O", 'Р': "P", 'С': "C", 'Т': "T", 'У': "Y",
	'Х': "X", 'І': "I", 'Ѕ': "S", 'Ј': "J",
	'а': "a", 'е': "e", 'о': "o", 'р': "p", 'с': "c", 'у': "y", 'х': "x", 'і': "i", 'ѕ': "s", 'ј': "j",

	'Α': "A", 'Β': "B", 'Ε': "E", 'Ζ': "Z", 'Η': "H", 'Ι': "I", 'Κ': "K", 'Μ': "M", 'Ν': "N", 'Ο': "O", 'Ρ': "P",
	'Τ': "T", 'Υ': "Y", 'Χ': "X", 'ο': "o",
}
