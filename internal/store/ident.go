package store

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// The identifiers are 16-byte UUIDs (RFC 9562), one type each so that they
// cannot be mixed up.
type (
	// PhoneID is the blind index of a number within a client: derived with a
	// keyed PRF (UUIDv8), so the same client and number always meet.
	PhoneID [16]byte
	// ChallengeID is random; the code is derived from it.
	ChallengeID [16]byte
	// MessageID is a UUIDv7, so that a log ordered by it is ordered by time.
	MessageID [16]byte
	// UserID names the person behind a verified phone or a trusted subject.
	UserID [16]byte
	// SessionID is a UUIDv7 (the JWT's sid).
	SessionID [16]byte
	// EventID is a UUIDv7.
	EventID [16]byte
	// EndpointID names where webhooks go; a UUIDv7.
	EndpointID [16]byte
)

func (id PhoneID) String() string     { return uuid.UUID(id).String() }
func (id ChallengeID) String() string { return uuid.UUID(id).String() }
func (id MessageID) String() string   { return uuid.UUID(id).String() }
func (id UserID) String() string      { return uuid.UUID(id).String() }
func (id SessionID) String() string   { return uuid.UUID(id).String() }
func (id EventID) String() string     { return uuid.UUID(id).String() }
func (id EndpointID) String() string  { return uuid.UUID(id).String() }

// NewChallengeID returns 128 random bits.
func NewChallengeID() (id ChallengeID) {
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand.Read
	return id
}

// NewMessageID returns an id that sorts after those made before it.
func NewMessageID() MessageID { return MessageID(uuid.Must(uuid.NewV7())) }

// MadeAt is when the id was made, to the millisecond (RFC 9562 section 5.7): when its
// message was accepted, by the clock of the machine that took it.
func (id MessageID) MadeAt() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

// NewEventID returns an id that sorts after those made before it.
func NewEventID() EventID { return EventID(uuid.Must(uuid.NewV7())) }

// NewEndpointID returns an id that sorts after those made before it.
func NewEndpointID() EndpointID { return EndpointID(uuid.Must(uuid.NewV7())) }

// ParseEndpointID reads the canonical form, 36 lower-case characters, and nothing
// else.
func ParseEndpointID(s string) (EndpointID, bool) {
	id, ok := ParsePhoneID(s)
	return EndpointID(id), ok
}

// ParseMessageID reads the canonical form, 36 lower-case characters, and nothing
// else.
func ParseMessageID(s string) (MessageID, bool) {
	id, ok := ParsePhoneID(s)
	return MessageID(id), ok
}

// ParseEventID reads the canonical form, 36 lower-case characters, and nothing
// else.
func ParseEventID(s string) (EventID, bool) {
	id, ok := ParsePhoneID(s)
	return EventID(id), ok
}

// ParsePhoneID reads the canonical form, 36 lower-case characters, and nothing
// else.
func ParsePhoneID(s string) (PhoneID, bool) {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return PhoneID{}, false
	}
	return PhoneID(id), true
}

// MarshalText implements encoding.TextMarshaler.
func (id EndpointID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *EndpointID) UnmarshalText(text []byte) error { return (*uuid.UUID)(id).UnmarshalText(text) }
