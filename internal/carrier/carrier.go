// Package carrier declares how messages leave the service: the port that every
// carrier implements, and the three ways in which a carrier can fail.
package carrier

import (
	"context"
	"time"

	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// Carrier takes messages to phones. Implementations are safe for concurrent
// use, keep no message longer than Send runs, and pass carriertest.Run.
type Carrier interface {
	// Name is stable and short; it appears in the message log and in metrics.
	Name() string
	// Traits tells how the carrier wants to be used. It never changes.
	Traits() Traits
	// Send hands over one message and returns soon after ctx has ended. An error
	// is an *Error; any other error, a panic, and no answer in time count as
	// Unknown. Message.ID is the same when a message is sent again, so a
	// carrier that can deduplicate by the sender's id should.
	Send(ctx context.Context, m Message) (Receipt, error)
}

// Traits are what the delivery loop has to know about a carrier.
type Traits struct {
	// TakesExpired is true for a carrier that only shows messages to a
	// developer: there a code that died before it was sent is still of
	// interest, whereas on a phone it would be an annoyance that costs money.
	TakesExpired bool
}

// Message is what a carrier gets to send. It prints without number and text.
type Message struct {
	ID store.MessageID
	To phone.Number
	// From is the sender that the phone shows.
	From string
	Text message.Text
	// ValidUntil is when the text becomes worthless; a carrier that can drop
	// late messages is told.
	ValidUntil time.Time
}

// Receipt is what a carrier said when it took a message.
type Receipt struct {
	// Delivered is true when the message has arrived already, false when the
	// carrier has only taken it.
	Delivered bool
	// Ref is the carrier's own id of the message; empty if it has none.
	Ref string
}
