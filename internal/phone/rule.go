package phone

import (
	"fmt"
	"strings"
)

// Regions is a set of regions that a client may send to. The zero value stands
// for the default, the fifty states and the District of Columbia.
type Regions uint8

// The regions of the United States, by their ISO 3166-1 alpha-2 codes. The
// territories have area codes, and prices, of their own.
const (
	US Regions = 1 << iota // the states and the District of Columbia
	PR                     // Puerto Rico
	VI                     // United States Virgin Islands
	GU                     // Guam
	AS                     // American Samoa
	MP                     // Northern Mariana Islands
)

// regionNames is what ParseRegions accepts, in the order of the constants.
const regionNames = "US, PR, VI, GU, AS, MP"

// region returns the region of an ISO 3166-1 code, or 0 if it is none of ours.
func region(code string) Regions {
	switch code {
	case "US":
		return US
	case "PR":
		return PR
	case "VI":
		return VI
	case "GU":
		return GU
	case "AS":
		return AS
	case "MP":
		return MP
	}
	return 0
}

// ParseRegions returns the set of the named regions: ISO 3166-1 alpha-2 codes
// in capitals, in any order. No names at all give the default, US. The error
// tells all names that are not known.
func ParseRegions(names []string) (Regions, error) {
	if len(names) == 0 {
		return US, nil
	}
	var (
		set     Regions
		unknown []string
	)
	for _, name := range names {
		r := region(name)
		if r == 0 {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
		set |= r
	}
	if unknown != nil {
		return 0, fmt.Errorf("phone: unknown region %s (known: %s)", strings.Join(unknown, ", "), regionNames)
	}
	return set, nil
}

// Names returns the codes of the regions in r, which [ParseRegions] reads back.
func (r Regions) Names() []string {
	r = r.orDefault()
	var names []string
	for name := range strings.SplitSeq(regionNames, ", ") {
		if r&region(name) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String returns the names, separated by commas.
func (r Regions) String() string { return strings.Join(r.Names(), ",") }

func (r Regions) orDefault() Regions {
	if r == 0 {
		return US
	}
	return r
}

// Rule says which numbers may be sent to. The zero Rule allows mobile lines of
// the United States without its territories.
type Rule struct {
	// Regions are the allowed regions. The zero value allows US alone.
	Regions Regions
}

// Check returns nil if n may be a mobile line in an allowed region, as far as
// area code and exchange tell. Otherwise the error is, in this order:
//
//   - ErrNotE164 for the zero Number;
//   - ErrCountry if the area code belongs to a country or territory that is not
//     allowed, whatever kind of line it is;
//   - ErrType if the area code is not a geographic one, or is unassigned, or if
//     the exchange has no subscriber lines.
func (r Rule) Check(n Number) error {
	if !n.IsValid() {
		return refuse(ErrNotE164, "no number")
	}
	area, ok := AreaCode(n.NPA())
	if !ok {
		return refuse(ErrType, "unassigned area code")
	}
	if area.Country != "" && r.Regions.orDefault()&region(area.Country) == 0 {
		return refuse(ErrCountry, area.Country)
	}
	if area.Kind != Geographic {
		return refuse(ErrType, area.Kind.String()+" area code")
	}
	if why := specialExchange(n.NXX()); why != "" {
		return refuse(ErrType, why)
	}
	return nil
}

// specialExchange returns why no subscriber has a number in the exchange, or
// "" for an ordinary one. The Central Office Code Assignment Guidelines
// (ATIS-0300051) keep these codes from assignment in geographic area codes, and
// no carrier holds a block of numbers in any of them in the pooling
// administrator's records of 2023.
//
// Not refused, since mobile carriers do hold numbers there: 958 and 959, the
// former test codes, and 988, which became a hotline's short code only in 2020.
func specialExchange(nxx int) string {
	switch {
	case nxx%100 == 11:
		return "service code as exchange"
	case nxx == 555:
		// 0100 to 0199 are for fiction and 1212 is directory assistance. All
		// other lines were given back by September 2016, when the Industry
		// Numbering Committee ended their assignment; the one line that stayed,
		// 4334, is no mobile either. So none is spared.
		return "directory assistance and fiction exchange"
	case nxx == 700:
		return "carrier test exchange" // which long-distance carrier serves a line
	case nxx == 950:
		return "carrier access exchange" // Feature Group B
	case nxx == 976:
		return "premium-rate exchange" // pay-per-call, 47 CFR 64.1501
	}
	return ""
}
