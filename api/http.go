package api

import "net/url"

// Paths of the public listener. The colon is a literal part of a custom verb
// (Google AIP-136), not a placeholder.
const (
	PathSend                = "/v1/auth/otp/sms:send"         // POST
	PathAuthenticate        = "/v1/auth/otp/sms:authenticate" // POST
	PathSession             = "/v1/auth/session"              // GET
	PathSessionRevoke       = "/v1/auth/session:revoke"       // POST
	PathAPIDocs             = "/v1/api-docs"                  // GET
	PathJWKS                = "/.well-known/jwks.json"        // GET, RFC 7517
	PathOpenIDConfiguration = "/.well-known/openid-configuration"
	PathHealth              = "/healthz" // GET: the process lives
	PathReady               = "/readyz"  // GET: the process takes requests
	PathDocs                = "/docs"    // GET: the documentation page
	// PathCarrierEvents takes what a carrier reports; see [CarrierEventsPath].
	PathCarrierEvents = "/v1/carriers/{route}/events" // POST
)

// CarrierEventsPath returns the path to which the carrier of a route reports.
func CarrierEventsPath(route string) string {
	return "/v1/carriers/" + url.PathEscape(route) + "/events"
}

// Request headers. Names are case-insensitive (RFC 9110 section 5.1).
const (
	HeaderClientID          = "ratio-client-id"
	HeaderClientSecret      = "ratio-client-secret"
	HeaderDeviceFingerprint = "ratio-device-fingerprint"
	HeaderIdempotencyKey    = "idempotency-key"
	// HeaderCaptchaToken is what a captcha gave the end user's browser, on send.
	HeaderCaptchaToken = "captcha-token" //nolint:gosec // the name of a header
)

// Response headers.
const (
	// HeaderRequestID is on every answer, success or failure.
	HeaderRequestID = "request-id"
	// HeaderAuthenticationRefresh carries a fresh session JWT when the bearer
	// of the request has less than half of its life left.
	HeaderAuthenticationRefresh = "ratio-authentication-refresh"
	// HeaderIdempotentReplayed is "true" on an answer that was replayed for a
	// repeated idempotency key.
	HeaderIdempotentReplayed = "Idempotent-Replayed"
)

// Sizes a server accepts.
const (
	// MaxBodyBytes is the largest request body; a larger one is refused with 413.
	MaxBodyBytes = 16 << 10
	// MaxCallbackBytes is the largest body that a carrier may report with.
	MaxCallbackBytes = 64 << 10
	// MaxPhoneIDBytes is the longest phoneId.
	MaxPhoneIDBytes = 128
	// MaxIdempotencyKeyBytes is the longest idempotency key.
	MaxIdempotencyKeyBytes = 255
	// MaxCaptchaTokenBytes is the longest token of any captcha; some take less.
	MaxCaptchaTokenBytes = 8 << 10
)

// ContentTypeJSON is the media type of every request and response document.
const ContentTypeJSON = "application/json"
