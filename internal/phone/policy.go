package phone

import (
	"errors"
	"fmt"
)

// LookupMode says when a service is asked for the line type of a client's numbers.
type LookupMode uint8

// The modes.
const (
	LookupOff     LookupMode = iota // never
	LookupUnknown                   // when nothing else knows the number
	LookupAlways                    // always, since numbers are ported from one kind of line to another
)

// LookupPolicy is what a client wants of look-ups. The zero value asks nobody.
type LookupPolicy struct {
	Mode LookupMode
	// Refuse fails when a service should have been asked and could not be;
	// otherwise what is known without it decides.
	Refuse bool
}

// ParseLookupPolicy reads the two settings of a client: "off", "unknown" or "always",
// and "table" or "refuse". Empty ones are the first of each.
func ParseLookupPolicy(mode, failure string) (LookupPolicy, error) {
	var p LookupPolicy
	var errs []error
	switch mode {
	case "", "off":
	case "unknown":
		p.Mode = LookupUnknown
	case "always":
		p.Mode = LookupAlways
	default:
		errs = append(errs, fmt.Errorf("lineLookup: %q is not off, unknown or always", mode))
	}
	switch failure {
	case "", "table":
	case "refuse":
		p.Refuse = true
	default:
		errs = append(errs, fmt.Errorf("lineLookupFailure: %q is not table or refuse", failure))
	}
	return p, errors.Join(errs...)
}
