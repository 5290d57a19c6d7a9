package phone

//go:generate go run -C ../../tools ./nanp -in ../internal/phone/nanp.csv -out ../internal/phone/nanp_gen.go

// Kind is what an area code is used for.
type Kind uint8

// The kinds of area codes. Only geographic ones have mobile lines: in North
// America a mobile number comes from the same area codes as a landline's.
const (
	Unassigned    Kind = iota // not in service
	Geographic                // lines of a place, mobile ones included
	TollFree                  // the called party pays: 800, 888, ...
	Premium                   // the caller pays extra: 900
	Personal                  // 5XX: personal services, and machines without a voice line
	Carrier                   // 700: defined by each long-distance carrier for itself
	Government                // 710: the United States government's emergency service
	NonGeographic             // 6YY: Canadian services of no place, such as satellite phones
	Reserved                  // set aside for one of these, not in service
)

// String returns the kind's name as in nanp.csv.
func (k Kind) String() string {
	switch k {
	case Geographic:
		return "geographic"
	case TollFree:
		return "toll-free"
	case Premium:
		return "premium"
	case Personal:
		return "personal"
	case Carrier:
		return "carrier"
	case Government:
		return "government"
	case NonGeographic:
		return "non-geographic"
	case Reserved:
		return "reserved"
	case Unassigned:
	}
	return "unassigned"
}

// Area describes an area code.
type Area struct {
	Kind Kind
	// Country is the ISO 3166-1 alpha-2 code of the country or territory that
	// the area code belongs to; territories of the United States have their
	// own. It is empty for codes that all countries of the plan share.
	Country string
	// State is the USPS code of the state, or DC, of a geographic US area
	// code, and empty otherwise.
	State string
}

// How npaTable packs an entry; tools/nanp writes it so.
const (
	firstNPA     = 200
	countryShift = 4
	stateShift   = 10
	kindMask     = 1<<countryShift - 1
	countryMask  = 1<<(stateShift-countryShift) - 1
)

// AreaCode returns what is known of an area code, and false with the zero Area
// if nothing is assigned there. Source and date of the facts are in nanp.csv.
func AreaCode(npa int) (Area, bool) {
	i := npa - firstNPA
	if i < 0 || i >= len(npaTable) || npaTable[i] == 0 {
		return Area{}, false
	}
	e := npaTable[i]
	return Area{
		Kind:    Kind(e & kindMask),
		Country: npaCountries[e>>countryShift&countryMask],
		State:   npaStates[e>>stateShift],
	}, true
}
