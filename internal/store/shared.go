package store

import "time"

// Note is a small record that the nodes of one service share while it lives. It is
// kept with what expires.
type Note struct {
	// Topic says what it is about, Key which of that topic; a later note with the
	// same topic and key takes its place.
	Topic string
	Key   string
	// At is when it was put, Until its end.
	At    time.Time
	Until time.Time
	Body  []byte
}

// Document is something of which there is one, kept with the ledger: all nodes read
// it and few commands write it.
type Document struct {
	Name string
	// Revision counts the writes, from 1.
	Revision  int64
	UpdatedAt time.Time
	Body      []byte
}

// Event is something that an operator may want to know later: who changed what, or
// what the service decided by itself. It is kept with the ledger.
type Event struct {
	ID EventID
	At time.Time
	// Client is the id of the client that it is about; empty for none.
	Client string
	// Kind is a stable name like "client.update" or "guard.block".
	Kind string
	// Actor is who did it: "cli" with the name of the operator's account, "console" with
	// that of who is logged in, "token" for the holder of the admin token, or "service".
	Actor string
	// Data is a JSON object with what the kind has to tell. It never holds a code, a
	// secret or a whole phone number.
	Data []byte
}

// EventQuery lists events, newest first.
type EventQuery struct {
	// Client and Kind, when not empty, pick those of that client and kind. A Kind
	// that ends in "." picks all kinds that begin with it.
	Client string
	Kind   string
	// Before, when not zero, starts after that event.
	Before EventID
	// Limit is how many at most.
	Limit int
}

// LineFact is what a look-up service said of a phone number, kept with what expires.
type LineFact struct {
	// Phone is a keyed digest of the number.
	Phone [16]byte
	// Type is the name of a phone.LineType.
	Type string
	// Source names the service.
	Source string
	// Until is when it has to be asked again.
	Until time.Time
}
