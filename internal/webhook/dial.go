package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// errForbidden says that a name leads nowhere that we may go.
var errForbidden = errors.New("webhook: the address is not a public one")

// special are networks that are no place for receivers beside those that package netip
// knows as private: of the registries of special-purpose addresses (RFC 6890), and the
// public address under which a cloud answers its machines.
var special = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// globalV6 is what of IPv6 is given out to the public.
var globalV6 = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Resolver resolves names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to public addresses, and to those that the operator allows. The very
// address that was looked at is dialed, so that a name that changes its mind is no way
// around.
type dialer struct {
	resolver Resolver
	allow    []netip.Prefix
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(resolver Resolver, allow []netip.Prefix) *dialer {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return &dialer{resolver: resolver, allow: allow, dial: d.DialContext}
}

// allowed reports whether we may go there.
func (d *dialer) allowed(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	within := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(d.allow, within) {
		return true
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || slices.ContainsFunc(special, within) {
		return false
	}
	return a.Is4() || globalV6.Contains(a)
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return d.resolver.LookupNetIP(ctx, "ip", host)
}

// DialContext connects to the first address of the host that may be reached and
// answers. It ends with requestTimeout by itself: http.Transport goes on dialing after
// its request was given up, and a name may lead to thousands of addresses that are
// silent.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("webhook: address: %w", err)
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("webhook: resolve: %w", err)
	}
	err = errForbidden
	for _, a := range addrs {
		if !d.allowed(a) {
			continue
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		conn, failed := d.dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
		if failed == nil {
			return conn, nil
		}
		err = failed
	}
	return nil, err
}
