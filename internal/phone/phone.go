// Package phone decides which telephone numbers the service talks to. It reads
// strict E.164, knows every North American area code, refuses what is not a
// mobile line of an allowed region, and keeps numbers out of logs.
//
// A number goes through two gates. [Parse] answers whether the text is a
// number at all and holds it in a [Number]; [Rule.Check] answers from the area
// code and exchange alone whether it may be a mobile line of an allowed
// region. What only a lookup can tell, mobile from landline and VoIP, is the
// business of a [LineTyper].
package phone

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// The errors of this package wrap one of these. The rest of an error's text
// says why, for logs, and never contains digits of the number.
var (
	// ErrNotE164 means the text is not a telephone number in E.164 form.
	ErrNotE164 = errors.New("phone: not an E.164 number")
	// ErrCountry means a number of a country or territory that is not allowed.
	ErrCountry = errors.New("phone: country not allowed")
	// ErrType means a number of an allowed region that is no mobile line.
	ErrType = errors.New("phone: not a mobile line")
)

const (
	// maxDigits is the length of the longest international number, country
	// code included: ITU-T E.164, section 6.2.1.
	maxDigits = 15
	// minDigits is the length of the shortest one in service. E.164 sets no
	// minimum; the smallest national plans (Niue, Tokelau) have four digits
	// after a country code of three.
	minDigits = 7
	// nanpDigits is the length of every number of country code 1, that code
	// included.
	nanpDigits = 11
)

// Number is a telephone number of the North American Numbering Plan (country
// code 1). It is comparable and fits a register. The zero Number is no number.
//
// It prints masked, with package fmt, encoding/json and log/slog, and shows no
// digits where it is an unexported field of a struct that is printed. [Number.E164]
// and [Number.AppendE164] are the only ways to the digits.
type Number struct {
	// inv is the complement of the ten-digit national number. fmt prints
	// unexported fields of a struct raw, without asking for a Formatter; the
	// complement is not the number that somebody would find there.
	inv uint64
}

// Parse reads a number in strict E.164 form: a plus sign, a first digit that is
// not zero, and ASCII digits only, fifteen at most (ITU-T E.164, section 6).
// Spaces, punctuation, other scripts' digits, "tel:" and extensions are all
// refused with ErrNotE164; nothing is trimmed or repaired, so that one line has
// exactly one spelling.
//
// A number of country code 1 must have the plan's shape, NXX-NXX-XXXX with N
// from 2 to 9; otherwise it is no number that anybody could have, and the error
// is ErrNotE164 as well. A well-formed number of any other country is
// ErrCountry, since no [Rule] can allow it. Whether a foreign number exists
// there is not looked into.
func Parse(s string) (Number, error) {
	if len(s) == 0 || s[0] != '+' {
		return Number{}, refuse(ErrNotE164, "no leading plus sign")
	}
	digits := s[1:]
	if len(digits) < minDigits || len(digits) > maxDigits {
		return Number{}, refuse(ErrNotE164, "too short or too long")
	}
	var v uint64
	for i := range len(digits) {
		d := digits[i] - '0' // anything below '0' wraps to a large value
		if d > 9 {
			return Number{}, refuse(ErrNotE164, "not only ASCII digits after the plus sign")
		}
		v = v*10 + uint64(d)
	}
	switch {
	case digits[0] == '0':
		return Number{}, refuse(ErrNotE164, "country code starts with zero")
	case digits[0] != '1':
		return Number{}, refuse(ErrCountry, "outside North America")
	case len(digits) != nanpDigits:
		return Number{}, refuse(ErrNotE164, "a North American number has ten digits after the country code")
	case digits[1] < '2':
		return Number{}, refuse(ErrNotE164, "area code starts with zero or one")
	case digits[4] < '2':
		return Number{}, refuse(ErrNotE164, "exchange starts with zero or one")
	}
	return Number{inv: ^(v - 1e10)}, nil
}

// refuse returns err with the reason, which must not depend on line digits.
func refuse(err error, reason string) error {
	return fmt.Errorf("%w: %s", err, reason)
}

// IsValid reports whether n holds a number, that is, came from [Parse].
func (n Number) IsValid() bool { return n.inv != 0 }

// national returns the ten-digit national number, or 0 of the zero Number.
func (n Number) national() uint64 {
	if n.inv == 0 {
		return 0
	}
	return ^n.inv
}

// NPA returns the area code (numbering plan area), 200 to 999, or 0 of the
// zero Number.
func (n Number) NPA() int { return int(n.national() / 1e7) }

// NXX returns the exchange (central office code), 200 to 999, or 0 of the zero
// Number.
func (n Number) NXX() int { return int(n.national() / 1e4 % 1e3) }

// Thousands returns the digit after the exchange, 0 to 9, which with area code and
// exchange names the thousands-block that operators are given numbers in; 0 of the zero
// Number.
func (n Number) Thousands() int { return int(n.national() / 1e3 % 10) }

// Block returns the seven digits NPA-NXX-X of the number's thousands-block; 0 of the
// zero Number.
func (n Number) Block() uint32 { return uint32(n.national() / 1e3) }

// Ending returns the last four digits, 0 to 9999, as a number; 0 of the zero Number.
func (n Number) Ending() int { return int(n.national() % 1e4) }

// E164 returns the whole number, such as "+16502530000", byte for byte what
// [Parse] read; the empty string of the zero Number. The result is not masked:
// it belongs in a carrier's request or under a key, never in a log.
func (n Number) E164() string {
	var buf [nanpDigits + 1]byte
	return string(n.AppendE164(buf[:0]))
}

// AppendE164 appends what [Number.E164] returns to b.
func (n Number) AppendE164(b []byte) []byte {
	if !n.IsValid() {
		return b
	}
	b = append(b, "+10000000000"...)
	putDigits(b[len(b)-nanpDigits+1:], n.national())
	return b
}

// Mask returns the last four digits, as the API shows them to callers; the
// empty string of the zero Number.
func (n Number) Mask() string {
	if !n.IsValid() {
		return ""
	}
	var buf [4]byte
	putDigits(buf[:], n.national())
	return string(buf[:])
}

// putDigits writes the low decimal digits of v over all of b.
func putDigits(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

// String returns the number with all but its last four digits hidden:
// "+1******1234".
func (n Number) String() string {
	if !n.IsValid() {
		return "[no phone]"
	}
	return "+1******" + n.Mask()
}

// Format implements [fmt.Formatter]. Every verb prints what [Number.String]
// returns, but for %#v, which prints "[phone]".
func (n Number) Format(f fmt.State, verb rune) {
	text := n.String()
	if verb == 'v' && f.Flag('#') {
		text = "[phone]"
	}
	_, _ = io.WriteString(f, text) // a Formatter has nowhere to report to
}

// LogValue implements [slog.LogValuer] with what [Number.String] returns.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.String()) }

// MarshalText implements [encoding.TextMarshaler] with what [Number.String]
// returns, so that a struct logged or answered as JSON does not leak a number.
// Who means to send the digits says so with [Number.E164].
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }
