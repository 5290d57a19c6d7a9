package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"codeword/api"
)

var (
	// ErrBadAnswer is a success that cannot be understood: not the documented
	// JSON, or over 64 KiB. Something other than the service may have answered.
	ErrBadAnswer = errors.New("client: the answer is not what the service documents")
	// ErrRedirect is a redirect, which is refused, since it would carry the
	// credentials elsewhere. It is wrapped together with the [*Error].
	ErrRedirect = errors.New("client: the service redirects; check BaseURL")

	errBadSession     = errors.New("client: the session token is not visible ASCII")
	errBadFingerprint = errors.New("client: the device fingerprint is not printable ASCII")
	errBadCaptcha     = errors.New("client: the captcha token is not visible ASCII")
)

// Error is an answer that is not a success. errors.Is(err, api.CodeInvalidOTP)
// and the like look at its Code.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the service's code; empty when the answer was none of the
	// service's documents, such as an error page of a proxy.
	Code api.Code
	// Message is the service's word to the developer, or the status in words.
	Message string
	// RequestID names the request in the service's log, when it told.
	RequestID string
	// RetryAfter is how long to wait before another try; 0 when not told.
	RetryAfter time.Duration
	// Limit names the limit that was exceeded, on 429.
	Limit string
	// Retryable tells, for [api.CodeInvalidOTP], that the same challenge still
	// takes attempts. It does not mean that the same request may be repeated.
	Retryable bool
}

// Error implements error. It holds nothing of what was sent.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "codeword: %d", e.Status)
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	fmt.Fprintf(&b, ": %s", e.Message)
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Is matches an [api.Code].
func (e *Error) Is(target error) bool {
	code, ok := target.(api.Code)
	return ok && code != "" && code == e.Code
}

// newError reads what it can of an answer. Text goes in only from a document
// of the service, cleaned and cut.
func newError(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{
		Status:     status,
		Message:    or(http.StatusText(status), "unknown status"),
		RequestID:  clean(header.Get(api.HeaderRequestID), 128),
		RetryAfter: retryAfter(header.Get("Retry-After"), now),
	}
	var doc struct {
		Message string
		Code    api.Code
		Data    json.RawMessage
	}
	if json.Unmarshal(body, &doc) != nil || doc.Code == "" {
		return e
	}
	e.Code = api.Code(clean(string(doc.Code), 64))
	if m := clean(doc.Message, 256); m != "" {
		e.Message = m
	}
	var data api.ErrorData
	if json.Unmarshal(doc.Data, &data) == nil {
		e.Limit = clean(data.Limit, 64)
		e.Retryable = data.Retryable != nil && *data.Retryable
	}
	return e
}

// clean makes foreign text fit for a log line: one line, no controls, cut.
func clean(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
}

// retryAfter reads both forms of RFC 9110 section 10.2.3; 0 for neither.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
