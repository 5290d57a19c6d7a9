package otp

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"

	"codeword/internal/store"
)

// maxDigits is the longest code that a client may configure.
const maxDigits = 10

// Code is a one-time passcode. It formats and logs as [code]; only Reveal
// gives the digits.
type Code struct {
	digits [maxDigits]byte
	n      int
}

// Reveal returns the digits, for the text of a message and nothing else.
func (c Code) Reveal() string { return string(c.digits[:c.n]) }

// Equal compares with a guess in a time that depends on the length alone.
func (c Code) Equal(guess string) bool {
	return c.n > 0 && subtle.ConstantTimeCompare(c.digits[:c.n], []byte(guess)) == 1
}

// Format implements fmt.Formatter, redacted for every verb.
func (Code) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[code]")) }

// LogValue implements slog.LogValuer, redacted.
func (Code) LogValue() slog.Value { return slog.StringValue("[code]") }

// MarshalText implements encoding.TextMarshaler, redacted.
func (Code) MarshalText() ([]byte, error) { return []byte("[code]"), nil }

// derive computes the code of a challenge: a PRF over its random id and its
// phone, cut to decimal digits without bias. The phone is part of it so that who
// can write the database, but has no key, gains nothing by copying a challenge
// from a phone of his own to another. As in HOTP (RFC 4226 section 5.3) the code
// follows from a keyed MAC, but blocks of the output above the largest multiple
// of 10^digits are skipped instead of reduced, so that each code is equally
// likely (NIST SP 800-63B-4 section 3.1.3.2 asks for a random code).
func derive(keys Keys, id store.PhoneID, ch store.Challenge) (Code, error) {
	if ch.Digits < 1 || ch.Digits > maxDigits {
		return Code{}, fmt.Errorf("otp: challenge of %d digits", ch.Digits)
	}
	modulus := pow10(ch.Digits)
	limit := math.MaxUint64 - math.MaxUint64%modulus
	var space [64]byte
	input := append(space[:0], "otp-code\x00"...)
	input = append(input, ch.ID[:]...)
	input = append(input, id[:]...)
	input = append(input, 0)
	for {
		out, err := keys.CodePRF(ch.KeyVersion, input)
		if err != nil {
			return Code{}, fmt.Errorf("otp: code key: %w", err)
		}
		for block := 0; block+8 <= len(out); block += 8 {
			if v := binary.BigEndian.Uint64(out[block:]); v < limit {
				return decimal(v%modulus, ch.Digits), nil
			}
		}
		input[len(input)-1]++ // all four blocks skipped: once in 2^170 for 6 digits
	}
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

func decimal(v uint64, digits int) Code {
	c := Code{n: digits}
	for i := digits - 1; i >= 0; i-- {
		c.digits[i] = byte('0' + v%10)
		v /= 10
	}
	return c
}
