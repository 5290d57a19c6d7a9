package api

import (
	"net/http"
	"slices"
)

// Code is the stable name of an error. A Code is itself an error, so that a
// caller of package client can write errors.Is(err, api.CodeInvalidOTP).
// Servers may add codes; treat one you do not know by its HTTP status.
type Code string

// The codes, in the order of the contract. What each means is in its [Info].
const (
	CodeInvalidBody              Code = "INVALID_BODY"
	CodeMissingPhone             Code = "MISSING_PHONE"
	CodeInvalidPhone             Code = "INVALID_PHONE"
	CodeInvalidPhoneCountryCode  Code = "INVALID_PHONE_COUNTRY_CODE"
	CodeInvalidPhoneType         Code = "INVALID_PHONE_TYPE"
	CodePhoneOptedOut            Code = "PHONE_OPTED_OUT"
	CodeMissingPhoneID           Code = "MISSING_PHONE_ID"
	CodeInvalidPhoneID           Code = "INVALID_PHONE_ID"
	CodeMissingOTP               Code = "MISSING_OTP"
	CodeInvalidOTP               Code = "INVALID_OTP"
	CodeMismatchPhone            Code = "MISMATCH_PHONE"
	CodeAlreadyExistsPhone       Code = "ALREADY_EXISTS_PHONE"
	CodeMissingClientID          Code = "MISSING_CLIENT_ID"
	CodeMissingClientSecret      Code = "MISSING_CLIENT_SECRET"
	CodeInvalidClientSecret      Code = "INVALID_CLIENT_SECRET"
	CodeMissingAuthorization     Code = "MISSING_AUTHORIZATION"
	CodeInvalidAuthorization     Code = "INVALID_AUTHORIZATION"
	CodeExpiredAuthorization     Code = "EXPIRED_AUTHORIZATION"
	CodeInvalidSignature         Code = "INVALID_SIGNATURE"
	CodeNotFoundEndpoint         Code = "NOT_FOUND_ENDPOINT"
	CodeMethodNotAllowed         Code = "METHOD_NOT_ALLOWED"
	CodeExceedsLimitSMS          Code = "EXCEEDS_LIMIT_SMS"
	CodeExceedsLimitOTP          Code = "EXCEEDS_LIMIT_OTP"
	CodeExceedsLimitClient       Code = "EXCEEDS_LIMIT_CLIENT"
	CodeBlockedPhone             Code = "BLOCKED_PHONE"
	CodeInvalidCaptcha           Code = "INVALID_CAPTCHA"
	CodeInvalidIdempotencyKey    Code = "INVALID_IDEMPOTENCY_KEY"
	CodeInProgressIdempotencyKey Code = "IN_PROGRESS_IDEMPOTENCY_KEY"
	CodeInternal                 Code = "INTERNAL"
	CodeUnavailable              Code = "UNAVAILABLE"
)

// Error implements error.
func (c Code) Error() string { return string(c) }

// Info is what is fixed about a code.
type Info struct {
	Code Code
	// Statuses are the HTTP statuses the code comes with, the usual one first.
	Statuses []int
	// Message is the default text for [Error].Message.
	Message string
	// Doc is one line for the documentation: when the code is answered.
	Doc string
}

// Codes returns what is known of every code, in the order of the contract. The
// result is the caller's own.
func Codes() []Info {
	out := make([]Info, len(codes))
	for i, row := range codes {
		out[i] = row
		out[i].Statuses = slices.Clone(row.Statuses)
	}
	return out
}

// Known reports whether c is one of the codes of this package.
func (c Code) Known() bool { return c.row() != nil }

// Status returns the usual HTTP status of c, 500 for a code that is not known.
func (c Code) Status() int {
	if row := c.row(); row != nil {
		return row.Statuses[0]
	}
	return http.StatusInternalServerError
}

// Message returns the default message of c, empty for a code that is not known.
func (c Code) Message() string {
	if row := c.row(); row != nil {
		return row.Message
	}
	return ""
}

func (c Code) row() *Info {
	for i := range codes {
		if codes[i].Code == c {
			return &codes[i]
		}
	}
	return nil
}

// codes is the one table of the contract, section 2. It is never written to.
var codes = [...]Info{
	{CodeInvalidBody, []int{400, 413, 415}, "The request body is not valid.", "Not JSON, not an object, duplicate keys or invalid UTF-8 (400), over 16 KiB (413), or not application/json (415)"},
	{CodeMissingPhone, []int{400}, "phoneNumber is required.", "phoneNumber is absent, null or empty"},
	{CodeInvalidPhone, []int{400}, "phoneNumber is not a phone number in E.164 format.", "phoneNumber is not a string in E.164"},
	{CodeInvalidPhoneCountryCode, []int{400}, "phoneNumber is not a United States number.", "E.164, but not a United States number"},
	{CodeInvalidPhoneType, []int{400}, "phoneNumber is not a mobile number.", "A United States number, but not a mobile line"},
	{CodePhoneOptedOut, []int{400}, "The owner of the number has opted out of messages.", "The number replied STOP to this client"},
	{CodeMissingPhoneID, []int{400}, "phoneId is required.", "phoneId is absent or null"},
	{CodeInvalidPhoneID, []int{400}, "phoneId is not valid.", "phoneId is not a string, is empty, or is over 128 bytes"},
	{CodeMissingOTP, []int{400}, "otp is required.", "otp is absent or null"},
	{CodeInvalidOTP, []int{401, 400}, "The code is not valid.", "The code is wrong, expired, used, locked or was never issued (401), or is not a string of the client's code length in ASCII digits (400)"},
	{CodeMismatchPhone, []int{400}, "The user of the session has another verified phone.", "The user of the session has another verified phone; told only after possession was proved"},
	{CodeAlreadyExistsPhone, []int{400}, "The phone belongs to another user.", "The phone belongs to another user; told only after possession was proved"},
	{CodeMissingClientID, []int{401}, "The header ratio-client-id is required.", "The header ratio-client-id is absent"},
	{CodeMissingClientSecret, []int{401}, "The header ratio-client-secret is required.", "The header ratio-client-secret is absent"},
	{CodeInvalidClientSecret, []int{401}, "The client credentials are not valid.", "The client is unknown or its secret is wrong"},
	{CodeMissingAuthorization, []int{401}, "A bearer token is required.", "The call or the client requires a bearer token and there is none"},
	{CodeInvalidAuthorization, []int{401}, "The bearer token is not valid.", "The bearer token is malformed, forged, revoked, or of another client"},
	{CodeExpiredAuthorization, []int{401}, "The bearer token has expired.", "The bearer token or its session has expired"},
	{CodeInvalidSignature, []int{401}, "The signature of the callback is not valid.", "What claims to be a carrier's callback is not signed by the carrier, or too old"},
	{CodeNotFoundEndpoint, []int{404}, "There is no such endpoint.", "No endpoint has this path"},
	{CodeMethodNotAllowed, []int{405}, "The endpoint does not take this method.", "The endpoint does not take this method; Allow lists those it takes"},
	{CodeExceedsLimitSMS, []int{429}, "Too many messages were requested. Try again later.", "Too many messages for this number or end user; data.limit names the limit"},
	{CodeExceedsLimitOTP, []int{429}, "Too many wrong codes were tried. Try again later.", "Too many wrong codes for this number, over all of its challenges; data.limit names the limit"},
	{CodeExceedsLimitClient, []int{429}, "The client makes too many requests. Try again later.", "The client makes too many requests; data.limit names the limit"},
	{CodeBlockedPhone, []int{403}, "Messages to this number are blocked.", "Refused by the fraud guard"},
	{CodeInvalidCaptcha, []int{403}, "A fresh captcha token is required.", "The client wants a captcha's token, and it is absent, wrong, expired, used or of another site"},
	{CodeInvalidIdempotencyKey, []int{422, 400}, "The idempotency key is not valid for this request.", "The key was used with another body (422), or is empty, over 255 bytes or not visible ASCII (400)"},
	{CodeInProgressIdempotencyKey, []int{409}, "A request with this idempotency key is still running.", "The first request with this key has not been answered yet"},
	{CodeInternal, []int{500}, "Something went wrong on our side.", "A fault of the service; the request-id finds it in the log"},
	{CodeUnavailable, []int{503}, "The service is not available. Try again later.", "Store or every carrier down, too much load, or shutting down"},
}
