package carrier

import (
	"context"
	"errors"
	"time"
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

// The reasons that every carrier shares. A carrier maps the codes that its
// provider documents to these, in one table; NewError knows the rest. A few
// more, in the same form, may be a carrier's own.
const (
	// ReasonOptedOut: the owner of the phone replied STOP.
	ReasonOptedOut = "opted_out"
	// ReasonInvalidNumber: no such number, or not in service.
	ReasonInvalidNumber = "invalid_number"
	// ReasonLandline: the number takes no text messages.
	ReasonLandline = "landline"
	// ReasonRejected: refused for good, for a reason that is not ours to know.
	ReasonRejected = "rejected"
	// ReasonExpired: the carrier could not deliver it while it was valid.
	ReasonExpired = "expired"
	// ReasonFiltered: taken for spam.
	ReasonFiltered = "filtered"
	// ReasonUnreachable: the phone is off or out of reach.
	ReasonUnreachable = "unreachable"
	// ReasonUnregistered: the sender's 10DLC campaign or toll-free number is not
	// registered.
	ReasonUnregistered = "unregistered_campaign"
	// ReasonMisconfigured: credentials, account, sender, or the request itself.
	ReasonMisconfigured = "misconfigured"
	// ReasonFunds: the account with the carrier is empty or suspended.
	ReasonFunds = "insufficient_funds"
	// ReasonThrottled: too many messages a second, or a queue that is full.
	ReasonThrottled = "throttled"
	// ReasonUnavailable: no connection, or the carrier says that it is down; it
	// certainly does not have the message.
	ReasonUnavailable = "unavailable"
	// ReasonCanceled: our own context ended before anything was written.
	ReasonCanceled = "canceled"
	// ReasonTimeout: no answer before the deadline.
	ReasonTimeout = "timeout"
	// ReasonConnectionLost: the connection ended after the message was written.
	ReasonConnectionLost = "connection_lost"
	// ReasonGarbage: the answer makes no sense.
	ReasonGarbage = "unexpected_answer"
	// ReasonCarrierError: the carrier failed in a way that it does not know.
	ReasonCarrierError = "carrier_error"
)

// Effect is what a failure means beyond its message.
type Effect uint8

// The effects.
const (
	EffectNone Effect = iota
	// EffectOptOut: the number takes no more messages from the client until its
	// owner says START.
	EffectOptOut
	// EffectThrottle: the carrier is well but wants fewer messages a second.
	EffectThrottle
	// EffectMisconfigured: an operator has to act. Other routes may do; this one
	// is not given up, since it is not ill.
	EffectMisconfigured
)

// verdict is what a shared reason stands for.
func verdict(reason string) (Class, Effect) {
	switch reason {
	case ReasonOptedOut:
		return Rejected, EffectOptOut
	case ReasonInvalidNumber, ReasonLandline, ReasonRejected, ReasonExpired:
		return Rejected, EffectNone
	case ReasonFiltered, ReasonUnreachable, ReasonUnavailable, ReasonCanceled:
		return Retryable, EffectNone
	case ReasonUnregistered, ReasonMisconfigured, ReasonFunds:
		return Retryable, EffectMisconfigured
	case ReasonThrottled:
		return Retryable, EffectThrottle
	default:
		return Unknown, EffectNone
	}
}

// NewError returns the error that a shared reason stands for. A reason that is
// not shared is Unknown.
func NewError(reason string, cause error) *Error {
	class, effect := verdict(reason)
	return &Error{Class: class, Effect: effect, Reason: reason, Cause: cause}
}

// maxReason bounds a reason, in bytes.
const maxReason = 48

// Error is how a carrier reports a failed send.
type Error struct {
	Class  Class
	Effect Effect
	// Reason is stable, at most 48 of a to z, 0 to 9 and underscore, and ours:
	// never the carrier's words. It is stored with the message.
	Reason string
	// RetryAfter is how long the carrier wants to be left alone, with
	// EffectThrottle; zero when it does not say.
	RetryAfter time.Duration
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
		return &Error{Class: e.Class, Effect: e.Effect, Reason: ReasonCarrierError, RetryAfter: e.RetryAfter, Cause: err}
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
