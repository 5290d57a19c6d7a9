package carrier

import (
	"context"
	"errors"
)

// Class says what a failed send means for the message.
type Class uint8

// The classes. The zero Class is Unknown, so that a forgotten class never sends
// a message twice.
const (
	// Unknown: the message may be on its way (a timeout after the request was
	// written, an answer that makes no sense). It is not sent again blindly.
	Unknown Class = iota
	// Retryable: the carrier certainly does not have the message and may take
	// it later, or another carrier may.
	Retryable
	// Rejected: no carrier should ever be given this message again.
	Rejected
)

func (c Class) String() string {
	switch c {
	case Retryable:
		return "retryable"
	case Rejected:
		return "rejected"
	case Unknown:
	}
	return "unknown"
}

// The reasons that Classify gives to failures that carry none.
const (
	// ReasonTimeout: no answer before the deadline.
	ReasonTimeout = "timeout"
	// ReasonCarrierError: the carrier failed in a way that it does not know.
	ReasonCarrierError = "carrier_error"
)

// maxReason bounds a reason, in bytes.
const maxReason = 48

// Error is how a carrier reports a failed send.
type Error struct {
	Class Class
	// Reason is stable, at most 48 of a to z, 0 to 9 and underscore, and ours:
	// never the carrier's words. It is stored with the message.
	Reason string
	// Cause may quote the carrier, and a carrier may quote number and text, so
	// it is neither logged nor part of Error's text.
	Cause error
}

// Error implements error with class and reason; it is safe to log.
func (e *Error) Error() string { return "carrier: " + e.Class.String() + ": " + e.Reason }

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Classify returns err as an *Error with a valid reason, whatever a carrier
// returned; nil for nil.
func Classify(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e) && e == nil: // a typed nil: the carrier's mistake
		return &Error{Class: Unknown, Reason: ReasonCarrierError}
	case e != nil && validReason(e.Reason):
		return e
	case e != nil:
		return &Error{Class: e.Class, Reason: ReasonCarrierError, Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Class: Unknown, Reason: ReasonTimeout, Cause: err}
	default:
		return &Error{Class: Unknown, Reason: ReasonCarrierError, Cause: err}
	}
}

func validReason(s string) bool {
	if s == "" || len(s) > maxReason {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
