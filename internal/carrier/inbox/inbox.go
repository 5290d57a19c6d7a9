// Package inbox is the carrier of developers: messages are shown to whoever
// runs the service instead of being sent. The inbox stores nothing; it is a
// [View] over the message log that renders each text anew.
package inbox

import (
	"context"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/tenant"
)

// Numbers with a fixed outcome. Only test clients reach them: for a live client
// they are no mobile numbers and refused long before.
const (
	// RejectedNumber is refused by the carrier.
	RejectedNumber = "+15005550005"
	// UndeliveredNumber is taken by the carrier and never delivered.
	UndeliveredNumber = "+15005550006"
)

// ReasonRejected is the reason of a message to RejectedNumber.
const ReasonRejected = "carrier_rejected"

// fate is what becomes of a message in the inbox.
type fate uint8

const (
	delivered fate = iota
	undelivered
	rejected
)

// fateOf decides by number alone, for the carrier and the view alike.
func fateOf(to phone.Number) fate {
	if to.NPA() != 500 { // spares ordinary numbers the formatting below
		return delivered
	}
	switch to.E164() {
	case RejectedNumber:
		return rejected
	case UndeliveredNumber:
		return undelivered
	default:
		return delivered
	}
}

// Carrier is the carrier of route "inbox". Its zero value is ready.
type Carrier struct{}

// Name returns "inbox".
func (Carrier) Name() string { return tenant.RouteInbox }

// Traits says that the inbox takes expired messages, too.
func (Carrier) Traits() carrier.Traits { return carrier.Traits{TakesExpired: true} }

// Send delivers at once and keeps nothing, since the message log has all that
// the view needs.
func (Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return carrier.Receipt{}, &carrier.Error{Class: carrier.Retryable, Reason: "canceled", Cause: err}
	}
	switch fateOf(m.To) {
	case rejected:
		return carrier.Receipt{}, &carrier.Error{Class: carrier.Rejected, Reason: ReasonRejected}
	case undelivered:
		return carrier.Receipt{}, nil
	default:
		return carrier.Receipt{Delivered: true}, nil
	}
}
