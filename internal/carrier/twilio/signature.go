package twilio

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio's choice; HMAC does not need collision resistance
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// sign returns the X-Twilio-Signature of a request: the base64 HMAC-SHA1 of the
// URL and what [join] makes of its parameters.
func sign(token, to string, params url.Values) string { return signJoined(token, to, join(params)) }

func signJoined(token, to, params string) string {
	mac := hmac.New(func() hash.Hash { return sha1.New() }, []byte(token)) //nolint:gosec // as above
	_, _ = io.WriteString(mac, to)
	_, _ = io.WriteString(mac, params)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// join returns, sorted by name, each parameter's name and value without anything
// between them. Of equal values of one parameter only one counts.
func join(params url.Values) string {
	var out strings.Builder
	for _, name := range slices.SortedFunc(maps.Keys(params), compareUTF16) {
		values := slices.Clone(params[name])
		slices.SortFunc(values, compareUTF16)
		for _, value := range slices.Compact(values) {
			out.WriteString(name)
			out.WriteString(value)
		}
	}
	return out.String()
}

// compareUTF16 orders strings by UTF-16 code units, as Twilio's libraries do. It
// differs from the order of runes only in that those beyond the basic
// multilingual plane come before those of its end, from U+E000 on. It allocates
// nothing, since anybody may have us compare what they like.
func compareUTF16(a, b string) int {
	for a != "" && b != "" {
		r, n := utf8.DecodeRuneInString(a)
		s, m := utf8.DecodeRuneInString(b)
		if r != s {
			return cmp.Compare(unitOrder(r), unitOrder(s))
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

func unitOrder(r rune) rune {
	if r >= 0xE000 && r <= 0xFFFF {
		return r + unicode.MaxRune
	}
	return r
}

// signedBy tells, in constant time for each candidate, whether the signature is
// that of the parameters with one of the URLs.
func signedBy(token, signature string, urls []string, params url.Values) bool {
	joined := join(params)
	ok := 0
	for _, to := range urls {
		ok |= subtle.ConstantTimeCompare([]byte(signature), []byte(signJoined(token, to, joined)))
	}
	return ok == 1
}

// portVariants returns the URL as it is, without its port, and with the standard
// port if it has none: it depends on the kind of request which Twilio signs.
func portVariants(raw string) []string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return []string{raw}
	}
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	host, tail := rest[:end], rest[end:]
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return []string{raw, scheme + "://" + host[:i] + tail}
	}
	port := ":80"
	if strings.EqualFold(scheme, "https") {
		port = ":443"
	}
	return []string{raw, scheme + "://" + host + port + tail}
}

// bodyHash is what Twilio puts into the query parameter bodySHA256 of requests
// whose body is no form.
func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
