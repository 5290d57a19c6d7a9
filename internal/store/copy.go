package store

import "time"

// The rows in which a ledger goes from one engine to another. What expires is not
// in them.

// PhoneRow is what is kept of a phone: all but its challenges.
type PhoneRow struct {
	ID        PhoneID
	Client    string
	Sealed    []byte
	CreatedAt time.Time
	// OptedOutAt and BlockedUntil are zero for a phone that is neither.
	OptedOutAt   time.Time
	BlockedUntil time.Time
	// User is zero until somebody verified the phone.
	User       UserID
	VerifiedAt time.Time
	// Burst, Day, Failures and Lanes are the phone's limits, and Devices those that
	// verified it, as package intent keeps them.
	Burst    time.Time
	Day      []byte
	Failures []byte
	Lanes    []byte
	Devices  []byte
	// LastMessage is zero for a phone without messages.
	LastMessage MessageID
	LastSendAt  time.Time
}

// UserRow is a user.
type UserRow struct {
	ID     UserID
	Client string
	Phone  PhoneID
}

// MessageRow is a message of the log with its history. That it is queued or waits for
// a receipt is not in it: the code that it carries ends with the copy.
type MessageRow struct {
	ID     MessageID
	Client string
	Phone  PhoneID
	// Previous is the message before this one to the same phone; zero for none.
	Previous   MessageID
	Challenge  ChallengeID
	KeyVersion uint32
	Digits     int
	Status     MessageStatus
	Claims     int
	CreatedAt  time.Time
	ExpiresAt  time.Time
	UpdatedAt  time.Time
	VerifiedAt time.Time
	Route      string
	CarrierRef string
	Error      string
	Locale     string
	Area       int
	// Dispatches are in the order of N, Receipts of N, Status and Error (its bytes).
	Dispatches []DispatchRow
	Receipts   []ReceiptRow
}

// DispatchRow is a dispatch with its number within the message.
type DispatchRow struct {
	N int
	Dispatch
}

// ReceiptRow is a receipt of dispatch N.
type ReceiptRow struct {
	N          int
	Status     ReceiptStatus
	Error      string
	Retry      bool
	OptOut     bool
	At         time.Time
	ReceivedAt time.Time
}

// CopyState is what a ledger remembers of being copied from another one; zero for one
// that is not a copy.
type CopyState struct {
	// Origin names the ledger that it is a copy of.
	Origin     string
	StartedAt  time.Time
	FinishedAt time.Time
}
