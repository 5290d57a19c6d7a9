package session

import (
	"strings"

	"codeword/internal/fault"
)

// MaxBearer is the longest bearer that is looked at, in bytes.
const MaxBearer = 8 << 10

// ParseBearer reads the value of an Authorization header: the scheme "Bearer"
// in any case, spaces, and exactly one b64token (RFC 6750 section 2.1). An
// empty value is fault.MissingAuthorization, anything else that does not fit is
// fault.InvalidAuthorization.
func ParseBearer(header string) (string, error) {
	if header == "" {
		return "", fault.New(fault.MissingAuthorization, "no Authorization header")
	}
	const scheme = "bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", invalid("Authorization is not of scheme Bearer")
	}
	token := strings.TrimLeft(header[len(scheme):], " ")
	if len(token) > MaxBearer {
		return "", invalid("bearer too long")
	}
	if !isB64Token(token) {
		return "", invalid("bearer is not one b64token")
	}
	return token, nil
}

// The characters of a b64token as two bit sets: + - . / and digits among the
// first 64 characters, letters, _ and ~ among the next.
const (
	b64Low  uint64 = 1<<'+' | 1<<'-' | 1<<'.' | 1<<'/' | (1<<10-1)<<'0'
	b64High uint64 = (1<<26-1)<<('A'-64) | 1<<('_'-64) | (1<<26-1)<<('a'-64) | 1<<('~'-64)
)

// isB64Token reports 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
// Every call with a bearer goes through all of its characters.
func isB64Token(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		c := body[i]
		set := b64Low
		if c >= 64 {
			set = b64High
		}
		if c >= 128 || set>>(c&63)&1 == 0 {
			return false
		}
	}
	return body != ""
}

func invalid(detail string) error { return fault.New(fault.InvalidAuthorization, detail) }
