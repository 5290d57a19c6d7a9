package phone

import "context"

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
	case LineUnknown:
	}
	return "unknown"
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

// UnknownLines is the LineTyper of a service without a lookup: it answers
// LineUnknown for every number.
type UnknownLines struct{}

// LineType returns LineUnknown.
func (UnknownLines) LineType(context.Context, Number) (LineType, error) { return LineUnknown, nil }
