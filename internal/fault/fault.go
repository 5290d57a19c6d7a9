// Package fault is the one error type below the HTTP edge: deep code names a
// kind and a detail for the log, and the edge alone picks status, code and
// words for the caller.
package fault

import (
	"errors"
	"time"
)

// Kind says what went wrong in terms of the domain, not of HTTP.
type Kind uint8

// The kinds. The zero Kind is Internal, so that a forgotten kind is never
// mistaken for the caller's fault.
const (
	Internal Kind = iota
	// Unavailable: a store, carrier or peer is down or overloaded; nothing was
	// acknowledged and the call may be repeated.
	Unavailable
	// InvalidPhone: not E.164.
	InvalidPhone
	// InvalidPhoneCountry: E.164, but not of an allowed region.
	InvalidPhoneCountry
	// InvalidPhoneType: of an allowed region, but not a mobile line.
	InvalidPhoneType
	// OptedOut: the number replied STOP to this client.
	OptedOut
	// Blocked: refused by the fraud guard.
	Blocked
	// LimitSMS: too many sends to one phone or from one address.
	LimitSMS
	// LimitOTP: too many failed attempts on one phone.
	LimitOTP
	// LimitClient: the client's own send rate or budget is used up.
	LimitClient
	// WrongCode: wrong, expired, used, locked or never issued.
	WrongCode
	// MismatchPhone: the session's user has another verified phone.
	MismatchPhone
	// PhoneTaken: the phone belongs to another user.
	PhoneTaken
	// MissingAuthorization: the client requires a bearer and none came.
	MissingAuthorization
	// InvalidAuthorization: bearer malformed, forged, revoked or foreign.
	InvalidAuthorization
	// ExpiredAuthorization: the bearer was good once.
	ExpiredAuthorization
	// InvalidCredentials: unknown client or wrong secret.
	InvalidCredentials
	// IdempotencyMismatch: the key was used with another body.
	IdempotencyMismatch
	// NotFound: a row that an operator named does not exist.
	NotFound
	// Conflict: somebody else changed the row first.
	Conflict
	// InvalidCaptcha: the client wants a proof that a person asks, and there is none.
	InvalidCaptcha
)

// Error carries a kind to the edge. Detail and Cause are for logs only and
// must hold no code, secret, token or phone number.
type Error struct {
	Kind   Kind
	Detail string
	// Limit names the limit that refused (the Limit… kinds).
	Limit string
	// RetryAfter is how long until the same call can succeed; zero if unknown.
	RetryAfter time.Duration
	// Retryable is true for a WrongCode whose challenge still takes attempts.
	Retryable bool
	// Exhausted is true for a WrongCode that was the last try that was left.
	Exhausted bool
	// Unsure is true for an Unavailable whose operation may have been carried out all
	// the same: the answer was lost, not the call.
	Unsure bool
	Cause  error
}

// Error implements error; the text is for logs.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Detail + ": " + e.Cause.Error()
	}
	return e.Detail
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// New returns an Error of a kind.
func New(kind Kind, detail string) *Error { return &Error{Kind: kind, Detail: detail} }

// Wrap returns an Error of a kind with a cause.
func Wrap(kind Kind, detail string, cause error) *Error {
	return &Error{Kind: kind, Detail: detail, Cause: cause}
}

// Is reports whether err is, or wraps, an Error of the kind.
func Is(err error, kind Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == kind
}

// IsUnsure tells whether the operation may have been carried out although it failed.
func IsUnsure(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsure
}

// MarkUnsure says of an error that its operation may have been carried out.
func MarkUnsure(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	marked := *e
	marked.Unsure = true
	return &marked
}
