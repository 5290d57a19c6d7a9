package session

import (
	"encoding/json"
	"slices"
)

// methodKind sorts authentication methods by what they prove.
type methodKind uint8

const (
	// unrelated says how or where, not what: it is no factor by itself.
	unrelated methodKind = iota + 1
	// samePossession is proof of the phone, or of what usually lives on it: a
	// code by SMS added to it is the same factor twice.
	samePossession
	// independent is a factor of another kind than the phone, or another
	// device made for the purpose.
	independent
)

// kindOf knows the values registered by RFC 8176 section 2; 0 for others.
//
// otp is counted as the phone, since nothing tells whether it was a token of
// its own. swk and pop are keys that may live on the very phone. mfa in a
// trusted issuer's token is that issuer's word for two factors.
func kindOf(method string) methodKind {
	switch method {
	case "pwd", "pin", "kba", "wia", // knowledge
		"face", "fpt", "iris", "retina", "vbm", // inherence
		"hwk", "sc", // a device of its own
		"mfa":
		return independent
	case "sms", "tel", "otp", "swk", "pop", "mca":
		return samePossession
	case "geo", "rba", "user":
		return unrelated
	default:
		return 0
	}
}

// maxMethods bounds how much of a foreign amr is read; RFC 8176 registers 20.
const maxMethods = 32

// parseMethods reads a trusted issuer's amr claim. Only registered values are
// kept. told is false when the claim is absent or empty, so that the issuer
// said nothing about methods; a claim that cannot be read was told, and proves
// nothing.
func parseMethods(claim json.RawMessage) (methods []string, told bool) {
	if len(claim) == 0 || string(claim) == "null" {
		return nil, false
	}
	var list []any
	if json.Unmarshal(claim, &list) != nil {
		var one string
		if json.Unmarshal(claim, &one) != nil {
			return nil, true
		}
		list = []any{one}
	}
	for _, v := range list[:min(len(list), maxMethods)] {
		if s, ok := v.(string); ok && kindOf(s) != 0 {
			methods = append(methods, s)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods), len(list) > 0
}

// stepUp returns the methods of a session after a code by SMS was added to
// prior: sorted, without duplicates. mfa is among them only if there are two
// different factors, so an SMS session that is verified by SMS again stays
// at one. vouched means that a trusted issuer signed the user in without
// telling how, which counts as the first factor.
func stepUp(prior []string, vouched bool) []string {
	out := make([]string, 0, len(prior)+3)
	out = append(out, prior...)
	out = append(out, "otp", "sms")
	if vouched || slices.ContainsFunc(prior, func(m string) bool { return kindOf(m) == independent }) {
		out = append(out, "mfa")
	}
	slices.Sort(out)
	return slices.Compact(out)
}
