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

// isB64Token reports 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func invalid(detail string) error { return fault.New(fault.InvalidAuthorization, detail) }
