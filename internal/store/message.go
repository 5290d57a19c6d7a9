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
	// MessageExpired: the code died before a carrier took the message.
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
}

// Claim takes queued messages that are due, oldest first, and hides them from
// other claims until Lease has passed.
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
	// RetryAt is when a message that stays MessageQueued is due again.
	RetryAt    time.Time
	Route      string
	CarrierRef string
	Error      string
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
}

// QueueStats is how the queue stands.
type QueueStats struct {
	// Depth counts the messages not yet taken by a carrier.
	Depth int
	// Oldest is when the oldest of them was accepted; zero for none.
	Oldest time.Time
}

// Sweep removes what has expired, in one small slice.
type Sweep struct {
	Now time.Time
	// KeepMessages is the retention of the message log and of phones that were
	// never verified.
	KeepMessages time.Duration
	// Limit bounds the rows that one slice looks at, per table.
	Limit int
}

// Swept is what one slice did.
type Swept struct {
	Removed int
	// Done is true when a whole round over every table has ended.
	Done bool
}
