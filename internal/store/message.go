package store

import "time"

// MessageStatus is where a message is in its life.
type MessageStatus uint8

// The statuses, in the order in which a message may take them. Queued is the
// only one in which it can be claimed.
const (
	MessageQueued MessageStatus = iota + 1
	// MessageSent: a carrier took it.
	MessageSent
	// MessageDelivered: a receipt, or the inbox, says that it arrived.
	MessageDelivered
	// MessageFailed: rejected, or given up.
	MessageFailed
	// MessageExpired: the code died, or was used, before a carrier took the
	// message.
	MessageExpired
	// MessageUnknown: it may be on its way; it is not sent again blindly.
	MessageUnknown
)

func (s MessageStatus) String() string {
	switch s {
	case MessageQueued:
		return "queued"
	case MessageSent:
		return "sent"
	case MessageDelivered:
		return "delivered"
	case MessageFailed:
		return "failed"
	case MessageExpired:
		return "expired"
	case MessageUnknown:
		return "unknown"
	default:
		return "invalid"
	}
}

// Message is one row of the message log. Its text is not in it: whoever needs
// the text renders it anew from the challenge.
type Message struct {
	ID     MessageID
	Client string
	Phone  PhoneID
	// Sealed is the number, encrypted; empty once the phone was erased.
	Sealed     []byte
	Challenge  ChallengeID
	KeyVersion uint32
	Digits     int
	Status     MessageStatus
	// Claims counts how often the message was claimed. It is also the fence: an
	// outcome recorded by an older claim is refused.
	Claims    int
	CreatedAt time.Time
	// ExpiresAt is the code's end; afterwards the message is worthless.
	ExpiresAt time.Time
	UpdatedAt time.Time
	Route     string
	// CarrierRef is the carrier's own id of the message.
	CarrierRef string
	// Error is a short stable reason, never a carrier's text.
	Error string
	// Locale is the BCP 47 tag of the text.
	Locale string
	// VerifiedAt is when the code that this message brought was used; zero: not.
	VerifiedAt time.Time
	// Area is the number's area code; 0 while no outcome has told it.
	Area int
	// OptedOut: the owner of the phone wants no messages from the client.
	OptedOut bool
	// Spent: the code cannot be used any more although it has not expired: it was
	// used, or another took its place. Only ClaimMessages fills it.
	Spent bool
	// Tried are the routes of all dispatches so far, in order. Only
	// ClaimMessages fills it.
	Tried []string
	// Taken are those of Tried that took the message, or may have (sent,
	// delivered or unknown). Only ClaimMessages fills it.
	Taken []string
}

// Dispatch is one handing-over of a message to a route, and what came of it.
type Dispatch struct {
	At time.Time
	// Claim is the Claims of the message at the time.
	Claim int
	Route string
	// Decision says why this route: what was made of each route that was
	// considered, as routing.FormatDecision writes it.
	Decision string
	// Status is what the carrier said at once: MessageSent, MessageDelivered,
	// MessageUnknown, MessageFailed when it rejected the message, MessageQueued
	// when it did not take it and another try made sense.
	Status     MessageStatus
	CarrierRef string
	Error      string
	// Segments is how many SMS the text took.
	Segments int
	// PriceMicros is what the operator says that it cost, in millionths of a US
	// dollar.
	PriceMicros int64
}

// ReceiptStatus is what a delivery receipt says.
type ReceiptStatus uint8

// The statuses of a receipt.
const (
	ReceiptAccepted ReceiptStatus = iota + 1
	ReceiptDelivered
	ReceiptFailed
)

func (s ReceiptStatus) String() string {
	switch s {
	case ReceiptAccepted:
		return "accepted"
	case ReceiptDelivered:
		return "delivered"
	case ReceiptFailed:
		return "failed"
	default:
		return "invalid"
	}
}

// Receipt is a delivery receipt that a route brought.
type Receipt struct {
	Route      string
	CarrierRef string
	Status     ReceiptStatus
	Error      string
	// Retry: it failed in a way in which another route may do better.
	Retry bool
	// OptOut: it failed since the owner of the phone wants no messages.
	OptOut bool
	// At is the carrier's time; zero when it told none.
	At time.Time
	// ReceivedAt is our own; the engine fills it from Now.
	ReceivedAt time.Time
}

// ReceiptEffect is what became of a receipt.
type ReceiptEffect uint8

// The effects of a receipt.
const (
	// ReceiptUnmatched: no dispatch has that route and reference, yet. The
	// receipt is kept and counts as soon as the outcome that it belongs to is
	// recorded.
	ReceiptUnmatched ReceiptEffect = iota + 1
	// ReceiptDuplicate: the same was received before; nothing was changed.
	ReceiptDuplicate
	// ReceiptNoted: it is in the history; the message's status says more already.
	ReceiptNoted
	// ReceiptChanged: it changed the message's status.
	ReceiptChanged
	// ReceiptRequeued: it put the message back into the queue.
	ReceiptRequeued
)

func (e ReceiptEffect) String() string {
	switch e {
	case ReceiptUnmatched:
		return "unmatched"
	case ReceiptDuplicate:
		return "duplicate"
	case ReceiptNoted:
		return "noted"
	case ReceiptChanged:
		return "changed"
	case ReceiptRequeued:
		return "requeued"
	default:
		return "invalid"
	}
}

// Applied tells what became of a receipt, and of which message it is; the zero
// id for an unmatched one.
type Applied struct {
	Message MessageID
	// Phone is the message's, when the receipt was none that is known already.
	Phone  PhoneID
	Effect ReceiptEffect
}

// MessageDetail is a message with its history, oldest first.
type MessageDetail struct {
	Message    Message
	Dispatches []Dispatch
	Receipts   []Receipt
}

// Verified is a message whose code was used.
type Verified struct {
	ID        MessageID
	Route     string
	CreatedAt time.Time
}

// Claim takes messages that are due, oldest first, and hides them from other
// claims until Lease has passed. Due are queued messages at their time, and sent
// or unknown ones for which no receipt has come by Outcome.RetryAt; of those
// only as many as leave room, but in a claim of eight or more never none, so
// that a queue which is never empty does not keep them waiting for good.
type Claim struct {
	Now   time.Time
	Lease time.Duration
	Limit int
}

// Outcome is what became of a claimed message.
type Outcome struct {
	ID MessageID
	// Claims must be the claimed message's, or the outcome is dropped: another
	// worker has the message now, or its outcome is known already.
	Claims int
	Status MessageStatus
	// RetryAt is when a message that stays MessageQueued is due again, zero
	// meaning at once, and when one that is MessageSent or MessageUnknown is due
	// again if no receipt has come, zero meaning never.
	RetryAt time.Time
	// Route is where the message went, with the carrier's id of it; when it is
	// empty the message keeps both.
	Route      string
	CarrierRef string
	// Error says why; a message that stays queued without one waits for nothing
	// but to be claimed.
	Error string
	// Dispatches are those made under this claim. The inbox makes none.
	Dispatches []Dispatch
	// OptOut: a carrier said that the owner of the phone wants no messages; it
	// is noted for the client as if the owner had told us.
	OptOut bool
	// Area is the number's area code, which only who has opened it knows; 0 leaves it
	// as it is.
	Area int
}

// MessageQuery lists messages, newest first.
type MessageQuery struct {
	// Clients limits the list to these; empty lists none.
	Clients []string
	// Phones, when not nil, limits the list to these phones.
	Phones []PhoneID
	// Limit is how many rows at most.
	Limit int
	// Before, when not zero, starts after that message.
	Before MessageID
	// Status and Route, when not zero, pick the messages that have them.
	Status MessageStatus
	Route  string
	// Since and Until, when not zero, bound the time of acceptance: from Since
	// to before Until.
	Since, Until time.Time
}

// MessagePage is one page of the log.
type MessagePage struct {
	Messages []Message
	// Next, when not zero, is the Before of the next page. A page may be short,
	// or empty, and still have a next one: one call looks at a bounded number of
	// rows.
	Next MessageID
}

// QueueStats is how the queue stands.
type QueueStats struct {
	// Depth counts the messages not yet taken by a carrier.
	Depth int
	// Oldest is when the oldest of them was accepted; zero for none.
	Oldest time.Time
	// Waiting is when the oldest of those was accepted that wait for nothing but
	// to be claimed (with an empty Error); zero for none. It tells whether
	// delivery keeps up.
	Waiting time.Time
}

// Sweep removes what has expired, in one small slice.
type Sweep struct {
	Now time.Time
	// KeepMessages is the retention of the message log and of phones that were
	// never verified.
	KeepMessages time.Duration
	// KeepEvents is the retention of events; 0 keeps all.
	KeepEvents time.Duration
	// KeepRollups is the retention of rollups; 0 keeps all.
	KeepRollups time.Duration
	// Limit bounds the rows that one slice looks at, per table.
	Limit int
}

// OldestEvent is when the oldest event happened that is still kept; the zero time,
// before which nothing happened, when all are.
func (s *Sweep) OldestEvent() time.Time {
	if s.KeepEvents <= 0 {
		return time.Time{}
	}
	return s.Now.Add(-s.KeepEvents)
}

// Swept is what one slice did.
type Swept struct {
	Removed int
	// Done is true when a whole round over every table has ended.
	Done bool
}
