// Package carrier declares how messages leave the service: the port that every
// carrier implements, and the three ways in which a carrier can fail.
package carrier

import (
	"context"
	"errors"
	"net/http"
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
	// Unknown; the Receipt beside it then has a Ref if the carrier can name the
	// message even so. Message.ID is the same when a message is sent again, so a
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
	ID   store.MessageID
	To   phone.Number
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
	// Ref is the carrier's own id of the message, at most 128 bytes; empty if it
	// has none. Delivery receipts name the message by it.
	Ref string
}

// Runner is a Carrier that keeps connections. Run keeps them until ctx ends,
// then closes them in order, and returns nil; Send fails as Retryable while
// there is none. Run is called once.
type Runner interface {
	Run(ctx context.Context) error
}

// Checker is a Carrier that can tell, without sending anything, whether its
// settings work. Check returns nil when the carrier let us in (bound, or took
// our credentials), else an error for the operator that says why not and quotes
// no secret. It works without Run.
type Checker interface {
	Check(ctx context.Context) error
}

// Callback is a Carrier that reports over HTTP.
type Callback interface {
	// ReadCallback checks that the request is from the carrier, in constant
	// time, and is not stale, and returns what it reports. body is the whole
	// body, at most 64 KiB, and must not be kept; that of r must not be read. Errors wrap ErrForged,
	// ErrStale or ErrMalformed.
	ReadCallback(r *http.Request, body []byte) (Reports, error)
}

// What can be wrong with a callback.
var (
	// ErrForged: the signature is missing or wrong.
	ErrForged = errors.New("carrier: forged callback")
	// ErrStale: rightly signed, but too old or too far ahead to be believed.
	ErrStale = errors.New("carrier: stale callback")
	// ErrMalformed: rightly signed, and makes no sense.
	ErrMalformed = errors.New("carrier: malformed callback")
)

// Sink takes what a carrier reports in band. It returns nil once that is
// durable; until then the carrier does not acknowledge.
type Sink func(ctx context.Context, r Reports) error

// Reports is what a carrier tells later, unasked.
type Reports struct {
	Receipts []DeliveryReceipt
	Inbound  []Inbound
}

// ReceiptStatus is what a delivery receipt says.
type ReceiptStatus uint8

// The statuses of a delivery receipt. Others, such as "read", carriers leave out.
const (
	// ReceiptAccepted: the carrier has the message and is at it.
	ReceiptAccepted ReceiptStatus = iota + 1
	// ReceiptDelivered: it has arrived. Final.
	ReceiptDelivered
	// ReceiptFailed: it will never arrive over this carrier. Final.
	ReceiptFailed
)

// DeliveryReceipt (DLR) tells how one message fares.
type DeliveryReceipt struct {
	// Ref is the Receipt.Ref of the send.
	Ref    string
	Status ReceiptStatus
	// Reason says why it failed, one of the constants Reason*; NewError tells
	// its class. Empty unless Status is ReceiptFailed.
	Reason string
	// At is the carrier's time; zero when it tells none.
	At time.Time
}

// Inbound is a message from a phone to one of our senders (mobile-originated).
type Inbound struct {
	From phone.Number
	// To is our sender, as the carrier writes it.
	To   string
	Text message.Text
	// At is when the carrier got it, at the latest; zero when it does not tell,
	// or tells at once.
	At time.Time
}
