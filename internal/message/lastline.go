package message

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxRetriever is the longest message that Android's SMS Retriever reads, in
// bytes ("Perform SMS Verification on a Server": be no longer than 140 bytes).
const maxRetriever = 140

// hashLength is the length of the hash by which it finds the app.
const hashLength = 11

// checkHash checks an app's hash: the first 11 characters of a digest in Base64.
func checkHash(hash string) error {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	if len(hash) != hashLength || strings.Trim(hash, alphabet) != "" {
		return errors.New("not the 11 characters, of A-Z a-z 0-9 + and /, of an app's hash")
	}
	return nil
}

// webOTPHost returns the host as the last line of an origin-bound message writes
// it: a valid domain in ASCII, without scheme, port or path ("Origin-bound
// one-time codes delivered via SMS", section 3.1, wicg.github.io/sms-one-time-codes).
func webOTPHost(domain string) (string, error) {
	host, err := idna.New(
		idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(),
		idna.StrictDomainName(true), idna.VerifyDNSLength(true),
	).ToASCII(domain)
	if err != nil || !utf8.ValidString(domain) {
		return "", errors.New("not a domain name like example.com")
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if len(last) == len(host) || strings.Trim(last, "0123456789") == "" {
		return "", errors.New("not a whole domain name like example.com")
	}
	return host, nil
}
