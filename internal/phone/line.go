package phone

import (
	"context"
	"fmt"
	"strings"
)

// LineType is what a number's subscriber is reached by.
type LineType uint8

// The line types. Lookup services differ in their names; these are the ones
// that matter to whether a text message arrives and who pays for it.
const (
	LineUnknown      LineType = iota // nobody could tell
	LineMobile                       // a wireless subscriber
	LineLandline                     // a wired one
	LineFixedVoIP                    // VoIP tied to an address, mostly over cable
	LineNonFixedVoIP                 // VoIP that anybody gets anywhere, often for nothing
	LineTollFree
	LinePremium
	LinePager
	LineVoicemail
	// LineOther is a number of a kind that no phone of a person has: a personal
	// number that forwards, a universal access number of a company.
	LineOther
)

// String returns the type's name for logs and metrics, such as "mobile".
func (t LineType) String() string {
	switch t {
	case LineMobile:
		return "mobile"
	case LineLandline:
		return "landline"
	case LineFixedVoIP:
		return "fixed_voip"
	case LineNonFixedVoIP:
		return "non_fixed_voip"
	case LineTollFree:
		return "toll_free"
	case LinePremium:
		return "premium"
	case LinePager:
		return "pager"
	case LineVoicemail:
		return "voicemail"
	case LineOther:
		return "other"
	case LineUnknown:
	}
	return "unknown"
}

// LineTypeNamed returns the type with that name, as [LineType.String] writes it.
func LineTypeNamed(name string) (LineType, bool) {
	for t := LineUnknown; t <= LineOther; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return LineUnknown, false
}

// LineTypes is a set of line types that a client sends to. The zero value stands for the
// default: mobile lines, and those that nobody can tell, since numbers are ported and
// tables have gaps.
type LineTypes uint16

const defaultLineTypes = LineTypes(1<<LineMobile | 1<<LineUnknown)

// allowedLines is what ParseLineTypes accepts: lines that can take a text message.
var allowedLines = []LineType{LineMobile, LineUnknown, LineNonFixedVoIP, LineFixedVoIP, LineLandline}

// ParseLineTypes returns the set of the named types, as [LineType.String] writes them,
// in any order. Mobile lines have to be among them. No names at all give the default.
func ParseLineTypes(names []string) (LineTypes, error) {
	if len(names) == 0 {
		return defaultLineTypes, nil
	}
	var set LineTypes
	for _, name := range names {
		t, err := ParseLineType(name)
		if err != nil {
			return 0, err
		}
		set |= 1 << t
	}
	if !set.Has(LineMobile) {
		return 0, fmt.Errorf("phone: %s has to be among the line types", LineMobile)
	}
	return set, nil
}

// ParseLineType returns the type of that name, as [LineType.String] writes it: one of
// those that a client can be allowed to send to.
func ParseLineType(name string) (LineType, error) {
	for _, t := range allowedLines {
		if t.String() == name {
			return t, nil
		}
	}
	return LineUnknown, fmt.Errorf("phone: unknown line type %q (known: %s)", name, allowedLineNames())
}

func allowedLineNames() string {
	names := make([]string, len(allowedLines))
	for i, t := range allowedLines {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}

// Has tells whether a type is in the set.
func (l LineTypes) Has(t LineType) bool {
	if l == 0 {
		l = defaultLineTypes
	}
	return l&(1<<t) != 0
}

// LineTyper tells the line type of a number. Implementations are safe for
// concurrent use and stop when ctx ends.
//
// LineUnknown without an error means that the source has no answer for this
// number; an error means that it could not be asked. The policy for both is
// the caller's. n has passed [Rule.Check].
type LineTyper interface {
	LineType(ctx context.Context, n Number) (LineType, error)
}
