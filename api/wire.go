package api

import (
	"errors"
	"time"
)

// SendSmsOtpRequest is the body of [PathSend].
type SendSmsOtpRequest struct {
	// PhoneNumber is a United States mobile number in E.164 (ITU-T), "+1"
	// followed by ten ASCII digits and nothing else.
	PhoneNumber string `json:"phoneNumber"`
}

// SendSmsOtpResponse is the 200 answer of [PathSend]: challenge and message
// are durable, delivery goes on by itself.
type SendSmsOtpResponse struct {
	// PhoneID names the number towards [PathAuthenticate]. It is opaque, known
	// within one client only, and the same for the same client and number.
	PhoneID string `json:"phoneId"`
	// PhoneMask is the last four digits of the number.
	PhoneMask string `json:"phoneMask"`
}

// AuthenticateSmsOtpRequest is the body of [PathAuthenticate].
type AuthenticateSmsOtpRequest struct {
	// PhoneID is the id that [PathSend] answered.
	PhoneID string `json:"phoneId"`
	// OTP is the code the person typed, ASCII digits.
	OTP string `json:"otp"`
}

// SecondFactorAuthResponse is the 200 answer of [PathAuthenticate].
type SecondFactorAuthResponse struct {
	// SessionJWT is a signed session token (RFC 7519), a bearer secret.
	SessionJWT string `json:"sessionJwt"`
}

// Session is the 200 answer of [PathSession].
type Session struct {
	SessionID string `json:"sessionId"`
	UserID    string `json:"userId"`
	// PhoneID is the verified phone of the session.
	PhoneID string `json:"phoneId,omitempty"`
	// AMR lists how the user was authenticated (RFC 8176): "sms", "otp", and
	// "mfa" once there are two factors.
	AMR []string `json:"amr"`
	// AuthTime is when the user last proved a factor.
	AuthTime Time `json:"authTime"`
	// CreateTime is when the session began.
	CreateTime Time `json:"createTime"`
	// ExpireTime is when the session ends unless it is used before.
	ExpireTime Time `json:"expireTime"`
}

// Error is the body of every 4xx and 5xx answer.
type Error struct {
	// Message is for the developer who reads it. It may change; do not parse it.
	Message    string `json:"message"`
	CreateTime Time   `json:"createTime"`
	// Code is stable: decide by it.
	Code Code       `json:"code"`
	Data *ErrorData `json:"data,omitempty"`
}

// ErrorData tells more about some errors.
type ErrorData struct {
	// Limit names the limit that was exceeded; on 429 only.
	Limit string `json:"limit,omitempty"`
	// Retryable tells, on a 401 [CodeInvalidOTP] only, whether this challenge
	// still takes attempts. When it is false, only a new send helps.
	Retryable *bool `json:"retryable,omitempty"`
}

// Health is the 200 answer of [PathHealth] and [PathReady].
type Health struct {
	// Status is [StatusOK].
	Status string `json:"status"`
}

// StatusOK is the one value of [Health].Status; trouble is told as an [Error]
// with status 503.
const StatusOK = "ok"

// timeLayout is RFC 3339 with milliseconds; times are UTC, so it ends in "Z".
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// Time is an instant that is written as RFC 3339 in UTC with milliseconds, as
// in "2026-01-02T03:04:05.678Z", and read from any RFC 3339 timestamp.
type Time struct{ time.Time }

// NewTime returns t as it is told on the wire: UTC, cut to the millisecond.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Millisecond)} }

// String returns the form that is used on the wire.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// AppendText implements [encoding.TextAppender]. It fails for years outside
// 0 to 9999, which RFC 3339 cannot express.
func (t Time) AppendText(b []byte) ([]byte, error) {
	u := t.UTC()
	if y := u.Year(); y < 0 || y > 9999 {
		return b, errors.New("api: year outside of RFC 3339")
	}
	return u.AppendFormat(b, timeLayout), nil
}

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) {
	return t.AppendText(make([]byte, 0, len(timeLayout)))
}

// MarshalJSON implements [encoding/json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	b, err := t.AppendText(append(make([]byte, 0, len(timeLayout)+2), '"'))
	if err != nil {
		return nil, err
	}
	return append(b, '"'), nil
}
