// Package leaktest looks for codes where none may be.
package leaktest

import "regexp"

// Tells reports whether a text holds a code, as a word of its own: six digits in a row
// stand within some id, number or time by chance.
func Tells(text, code string) bool {
	return regexp.MustCompile(`(^|[^0-9A-Za-z])` + regexp.QuoteMeta(code) + `([^0-9A-Za-z]|$)`).MatchString(text)
}
