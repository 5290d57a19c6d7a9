package server

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strings"
)

const (
	// maxFingerprint is the longest ratio-device-fingerprint that is looked at.
	maxFingerprint = 4 << 10
	// maxDevice is the longest name of a device.
	maxDevice = 256
	// maxHops is how many entries of X-Forwarded-For are looked at.
	maxHops = 32
)

// fingerprint is what ratio-device-fingerprint tells of the end user's device. Both
// are zero when it does not.
type fingerprint struct {
	read bool
	// addr is the address that the person has.
	addr netip.Addr
	// id is what the caller calls the device.
	id string
}

// fingerprint reads the header, at most once. One that cannot be read is remarked in
// the log and otherwise ignored, in whole or in part.
func (x *exchange) fingerprint() *fingerprint {
	f := &x.device
	values := x.r.Header[keyFingerprint]
	if f.read || len(values) == 0 {
		return f
	}
	f.read = true
	if len(values) > 1 || !x.doc.fingerprint(values[0], f) {
		x.note("ratio-device-fingerprint ignored: not one JSON object with an ip or a deviceId")
	}
	return f
}

// endUser returns the address of the person behind the request: what the
// fingerprint says, since the caller has proved who it is, else what a trusted
// proxy says. The zero Addr if neither tells.
func (x *exchange) endUser() netip.Addr {
	if f := x.fingerprint(); f.addr.IsValid() || len(x.s.cfg.TrustedProxies) == 0 {
		return f.addr
	}
	return forwardedFor(x.s.cfg.TrustedProxies, x.r.RemoteAddr, x.r.Header["X-Forwarded-For"])
}

// fingerprint reads a JSON object, as it is or in base64 of either alphabet: its ip,
// and its deviceId, which may be called visitorId. It reports whether one of them is
// there and what is there can be read.
func (d *document) fingerprint(value string, f *fingerprint) (ok bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxFingerprint {
		return false
	}
	raw := []byte(value)
	if raw[0] != '{' {
		if raw, ok = fromBase64(value); !ok {
			return false
		}
	}
	members := [...]member{{name: "ip"}, {name: "deviceId"}, {name: "visitorId"}}
	if err := d.object(bytes.TrimSpace(raw), members[:]); err != nil {
		return false
	}
	ip, device := &members[0], &members[1]
	if device.absent() {
		device = &members[2]
	}
	ok = !ip.absent() || !device.absent()
	if !ip.absent() {
		addr, valid := parseAddr(ip.text)
		f.addr, ok = addr, ok && valid
	}
	if !device.absent() {
		valid := len(device.text) > 0 && len(device.text) <= maxDevice
		if valid {
			f.id = device.text
		}
		ok = ok && valid
	}
	return ok
}

// fromBase64 reads base64 in either alphabet of RFC 4648, padded or not.
func fromBase64(s string) ([]byte, bool) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	raw, err := base64.RawURLEncoding.DecodeString(s)
	return raw, err == nil
}

// parseAddr reads an address that a person can have.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	a = a.Unmap().WithZone("")
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, false
	}
	return a, true
}

// forwardedFor returns the rightmost address of X-Forwarded-For that is no
// trusted proxy. Each proxy appends its peer, so only what trusted ones wrote
// counts: the walk starts at the connection's peer, which must be one, and ends
// at the first entry that is none or cannot be read. The zero Addr if all are
// trusted, since then nobody has told of the person.
func forwardedFor(trusted []netip.Prefix, remote string, values []string) netip.Addr {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil || !contains(trusted, peer.Addr().Unmap()) {
		return netip.Addr{}
	}
	hops := 0
	for i := len(values) - 1; i >= 0; i-- {
		rest, more := values[i], true
		for more {
			if hops++; hops > maxHops {
				return netip.Addr{}
			}
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				entry, rest = rest[comma+1:], rest[:comma]
			} else {
				entry, more = rest, false
			}
			a, ok := parseHop(strings.TrimSpace(entry))
			if !ok {
				return netip.Addr{}
			}
			if !contains(trusted, a) {
				return a
			}
		}
	}
	return netip.Addr{}
}

// parseHop reads one entry: an address, or, as some proxies write it, one with a
// port or in brackets.
func parseHop(s string) (netip.Addr, bool) {
	if a, ok := parseAddr(s); ok {
		return a, true
	}
	if p, err := netip.ParseAddrPort(s); err == nil {
		return parseAddr(p.Addr().String())
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return parseAddr(inner)
		}
	}
	return netip.Addr{}, false
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
