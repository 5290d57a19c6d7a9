package tenant

import (
	"errors"
	"fmt"
	"net/netip"

	"codeword/internal/guard/spend"
	"codeword/internal/phone"
)

// What the fraud guard may do with a client's sends.
const (
	GuardOff     = "off"
	GuardShadow  = "shadow"  // decide and record, but hold nothing back
	GuardEnforce = "enforce" // hold back
)

// maxSafe bounds how many addresses a client may vouch for, and maxSafeNumbers how
// many numbers.
const (
	maxSafe        = 100
	maxSafeNumbers = 10_000
)

// maxSpend is in US dollars; more is a slip of the decimal point.
const maxSpend = 10_000_000

func (s *Settings) checkGuard() error {
	var errs []error
	switch s.FraudGuard {
	case GuardOff, GuardShadow, GuardEnforce:
	default:
		errs = append(errs, fmt.Errorf("fraudGuard: %q is not %s, %s or %s", s.FraudGuard, GuardOff, GuardShadow, GuardEnforce))
	}
	if len(s.SafeNumbers) > maxSafeNumbers {
		errs = append(errs, fmt.Errorf("safeNumbers: more than %d", maxSafeNumbers))
	}
	if _, err := phone.ParsePrefixes(s.SafeNumbers); err != nil {
		errs = append(errs, fmt.Errorf("safeNumbers: %w", err))
	}
	if _, err := parseNetworks(s.SafeAddresses); err != nil {
		errs = append(errs, fmt.Errorf("safeAddresses: %w", err))
	}
	for _, v := range []struct {
		name   string
		amount float64
	}{{"spendPerHour", s.SpendPerHour}, {"spendPerDay", s.SpendPerDay}} {
		if !(v.amount >= 0 && v.amount <= maxSpend) { // not a number is neither
			errs = append(errs, fmt.Errorf("%s: not within 0 to %d US dollars", v.name, maxSpend))
		}
	}
	return errors.Join(errs...)
}

// parseNetworks reads addresses and CIDR blocks.
func parseNetworks(texts []string) ([]netip.Prefix, error) {
	if len(texts) > maxSafe {
		return nil, fmt.Errorf("more than %d", maxSafe)
	}
	var out []netip.Prefix
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(t)
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a CIDR block", t)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// Budget is what the client may spend.
func (c *Client) Budget() spend.Budget {
	return spend.Budget{Hour: int64(c.Settings.SpendPerHour * 1e6), Day: int64(c.Settings.SpendPerDay * 1e6)}
}

// Safe tells whether the client vouches for the number or the end user's address.
func (c *Client) Safe(n phone.Number, endUser netip.Addr) bool {
	if c.safeNumbers.Has(n) {
		return true
	}
	endUser = endUser.Unmap().WithZone("")
	for _, p := range c.safeAddresses {
		if p.Contains(endUser) {
			return true
		}
	}
	return false
}
