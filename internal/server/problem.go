package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"codeword/api"
	"codeword/internal/fault"
)

// problem is an error as the caller will see it, with its cause for the log.
type problem struct {
	status int
	code   api.Code
	// retryAfter is in seconds; zero for no header.
	retryAfter int
	limit      string
	// retryable is only told with WrongCode.
	retryable *bool
	allow     string
	// challenge is the value of WWW-Authenticate.
	challenge []string
	cause     error
}

// Error implements error; the text is for logs.
func (p *problem) Error() string {
	if p.cause != nil {
		return string(p.code) + ": " + p.cause.Error()
	}
	return string(p.code)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (p *problem) Unwrap() error { return p.cause }

// refuse returns a problem with the usual status of its code. The detail is for
// the log alone.
func refuse(code api.Code, detail string) *problem {
	return &problem{status: code.Status(), code: code, cause: errors.New(detail)}
}

// The challenges of a 401 (RFC 9110 section 11.6.1), shared and never changed.
// There is no registered scheme for a pair of header fields, for a code, or for
// the signatures of carriers.
var (
	challengeClient  = []string{`ClientSecret realm="codeword"`}
	challengeMissing = []string{`Bearer realm="codeword"`}
	challengeBearer  = []string{`Bearer realm="codeword", error="invalid_token"`} // RFC 6750 section 3.1
	challengeCode    = []string{`OTP realm="codeword"`}
	challengeCarrier = []string{`CarrierSignature realm="codeword"`}
)

var yes, no = true, false

// problemOf is the one place where an error becomes status, code and words.
// What it does not know is a plain 500.
func problemOf(err error) *problem {
	if p, ok := err.(*problem); ok { //nolint:errorlint // only what this package returned itself
		return p
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return &problem{status: http.StatusServiceUnavailable, code: api.CodeUnavailable, retryAfter: 1, cause: err}
		}
		return &problem{status: http.StatusInternalServerError, code: api.CodeInternal, cause: err}
	}
	p := &problem{code: CodeOf(f.Kind), cause: err}
	p.status = p.code.Status()
	switch f.Kind {
	case fault.IdempotencyMismatch:
		p.status = http.StatusUnprocessableEntity
	case fault.WrongCode:
		p.status, p.challenge, p.retryable = http.StatusUnauthorized, challengeCode, &no
		if f.Retryable {
			p.retryable = &yes
		}
	case fault.InvalidCredentials:
		p.challenge = challengeClient
	case fault.MissingAuthorization:
		p.challenge = challengeMissing
	case fault.InvalidAuthorization, fault.ExpiredAuthorization:
		p.challenge = challengeBearer
	case fault.LimitSMS, fault.LimitOTP, fault.LimitClient:
		p.retryAfter, p.limit = wholeSeconds(f.RetryAfter), f.Limit
		if p.limit == "" {
			p.limit = "unnamed"
		}
	case fault.Unavailable:
		p.retryAfter = wholeSeconds(f.RetryAfter)
	}
	return p
}

// CodeOf is the code that callers are told of a kind. Kinds that only operators meet are
// ours to answer for here.
func CodeOf(kind fault.Kind) api.Code {
	switch kind {
	case fault.Unavailable:
		return api.CodeUnavailable
	case fault.InvalidPhone:
		return api.CodeInvalidPhone
	case fault.InvalidPhoneCountry:
		return api.CodeInvalidPhoneCountryCode
	case fault.InvalidPhoneType:
		return api.CodeInvalidPhoneType
	case fault.OptedOut:
		return api.CodePhoneOptedOut
	case fault.Blocked:
		return api.CodeBlockedPhone
	case fault.LimitSMS:
		return api.CodeExceedsLimitSMS
	case fault.LimitOTP:
		return api.CodeExceedsLimitOTP
	case fault.LimitClient:
		return api.CodeExceedsLimitClient
	case fault.WrongCode:
		return api.CodeInvalidOTP
	case fault.MismatchPhone:
		return api.CodeMismatchPhone
	case fault.PhoneTaken:
		return api.CodeAlreadyExistsPhone
	case fault.MissingAuthorization:
		return api.CodeMissingAuthorization
	case fault.InvalidAuthorization:
		return api.CodeInvalidAuthorization
	case fault.ExpiredAuthorization:
		return api.CodeExpiredAuthorization
	case fault.InvalidCredentials:
		return api.CodeInvalidClientSecret
	case fault.IdempotencyMismatch:
		return api.CodeInvalidIdempotencyKey
	case fault.InvalidCaptcha:
		return api.CodeInvalidCaptcha
	case fault.Internal, fault.NotFound, fault.Conflict:
		return api.CodeInternal
	}
	return api.CodeInternal
}

// wholeSeconds rounds up, at least to one: a caller that waits as long as it
// was told must not come too early (RFC 9110 section 10.2.3).
func wholeSeconds(d time.Duration) int {
	return max(1, int((d+time.Second-1)/time.Second))
}

// fail answers with an error. It must not be called after an answer was begun.
func (x *exchange) fail(err error) {
	p := problemOf(err)
	x.code, x.cause, x.shed = p.code, p.cause, p == errOverload
	h := x.w.Header()
	if p.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.retryAfter)}
	}
	if p.allow != "" {
		h["Allow"] = []string{p.allow}
	}
	if p.challenge != nil {
		h["Www-Authenticate"] = p.challenge
	}
	delete(h, "Cache-Control")
	x.out = appendProblem(x.out[:0], p, x.start)
	x.answer(p.status, x.out)
}

// appendProblem writes an api.Error.
func appendProblem(b []byte, p *problem, now time.Time) []byte {
	b = append(b, `{"message":`...)
	b = appendString(b, p.code.Message())
	b = append(b, `,"createTime":`...)
	b = appendTime(b, now)
	b = append(b, `,"code":`...)
	b = appendString(b, string(p.code))
	switch {
	case p.limit != "":
		b = append(b, `,"data":{"limit":`...)
		b = append(appendString(b, p.limit), '}')
	case p.retryable != nil:
		b = append(b, `,"data":{"retryable":`...)
		b = append(strconv.AppendBool(b, *p.retryable), '}')
	}
	return append(b, '}')
}

// appendString writes a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // its error only reports the replacement
	return b
}

// appendTime writes a time as the API tells it.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b, _ = api.NewTime(t).AppendText(b) // fails only beyond the year 9999
	return append(b, '"')
}
