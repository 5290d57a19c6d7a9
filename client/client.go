// Package client calls a Codeword service: it sends one-time codes by SMS and
// checks the codes people type.
//
//	c, err := client.New(client.Config{BaseURL: "https://otp.example.com", ClientID: id, ClientSecret: secret})
//	sent, err := c.Send(ctx, "+16502180000")
//	// ... the person types the code ...
//	auth, err := c.Authenticate(ctx, sent.PhoneID, code)
//	if errors.Is(err, api.CodeInvalidOTP) { ... }
//
// # Retries
//
// A call is repeated by itself only where a repetition cannot do harm:
//
//   - [Client.Send] carries one idempotency key through all of its tries, so
//     that however often it is repeated one message goes out. It is repeated
//     after connection errors, after 409 (the first try is still running) and
//     after 502, 503 and 504.
//   - [Client.Authenticate] is an attempt, which counts and may consume the
//     code. It is repeated only when no connection could be made, since then
//     nothing was sent. No answer makes it repeat, 503 included: a 503 may come
//     from a proxy that gave up waiting, or from a store that lost its
//     connection while it committed, so that it does not prove that nothing
//     was counted. A repetition could burn the person's last attempt, or turn
//     a success into INVALID_OTP. The person or the application decides.
//   - [Client.Session] and [Client.RevokeSession] may be repeated like Send.
//
// 429 is never repeated: the wait is the service's protection and often long;
// it is in [Error].RetryAfter. Waits grow exponentially with jitter, are never
// shorter than Retry-After, and end with the context.
package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"codeword/api"
)

// Defaults of [Config].
const (
	DefaultAttemptTimeout = 10 * time.Second
	DefaultMaxTries       = 4
	DefaultMaxElapsed     = 30 * time.Second
	DefaultInitialWait    = 100 * time.Millisecond
)

// Config says how to reach a service. BaseURL, ClientID and ClientSecret are
// required.
type Config struct {
	// BaseURL is the service's address, "https://otp.example.com", with a path
	// when a proxy adds one. It must be https unless the host is a loopback
	// address or AllowInsecure is set, and holds no user, query or fragment.
	BaseURL string
	// ClientID and ClientSecret are the credentials of the application.
	ClientID     string
	ClientSecret Secret
	// Session is the bearer token of calls that are not given one by
	// [WithSession]. A service that acts for many people leaves it empty.
	Session Secret
	// HTTPClient makes the requests; it is copied, not changed. Redirects are
	// refused and its cookie jar is not used. Default: a client of its own.
	HTTPClient *http.Client
	// AllowInsecure takes a plain http BaseURL on any host. The secret then
	// crosses the network in the clear.
	AllowInsecure bool
	// UserAgent is the User-Agent header. Default: "codeword-go".
	UserAgent string
	// AttemptTimeout bounds one try, its answer included. Default: 10 s.
	AttemptTimeout time.Duration
	// MaxTries bounds the tries of one call, the first included; 1 turns
	// retries off. Default: 4.
	MaxTries int
	// MaxElapsed is how long after its begin a call may start another try.
	// Default: 30 s.
	MaxElapsed time.Duration
	// InitialWait is the wait before the second try, give or take half; each
	// further one is half as long again. Default: 100 ms.
	InitialWait time.Duration
}

// Client calls one service as one client. It may be used concurrently. Its
// formatted form shows no secret.
type Client struct {
	cfg  Config // without its secrets
	base string
	http *http.Client
	// Functions, since fmt looks into unexported fields without asking their
	// types how they wish to be shown.
	secret, session func() string
}

// New checks cfg and returns a client; it makes no request. The error names
// everything that is wrong.
func New(cfg Config) (*Client, error) {
	base, urlErr := checkBaseURL(cfg.BaseURL, cfg.AllowInsecure)
	errs := []error{urlErr}
	if cfg.ClientID == "" || !visible(cfg.ClientID) {
		errs = append(errs, errors.New("client: ClientID is empty or not visible ASCII"))
	}
	if cfg.ClientSecret == "" || !visible(string(cfg.ClientSecret)) {
		errs = append(errs, errors.New("client: ClientSecret is empty or not visible ASCII"))
	}
	if !visible(string(cfg.Session)) {
		errs = append(errs, errBadSession)
	}
	if cfg.AttemptTimeout < 0 || cfg.MaxTries < 0 || cfg.MaxElapsed < 0 || cfg.InitialWait < 0 {
		errs = append(errs, errors.New("client: a time or number is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.UserAgent = or(cfg.UserAgent, "codeword-go")
	cfg.AttemptTimeout = or(cfg.AttemptTimeout, DefaultAttemptTimeout)
	cfg.MaxTries = or(cfg.MaxTries, DefaultMaxTries)
	cfg.MaxElapsed = or(cfg.MaxElapsed, DefaultMaxElapsed)
	cfg.InitialWait = or(cfg.InitialWait, DefaultInitialWait)
	secret, session := string(cfg.ClientSecret), string(cfg.Session)
	cfg.ClientSecret, cfg.Session = "", ""
	return &Client{
		cfg: cfg, base: base, http: newHTTPClient(cfg.HTTPClient),
		secret: func() string { return secret }, session: func() string { return session },
	}, nil
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func newHTTPClient(given *http.Client) *http.Client {
	hc := http.Client{}
	if given != nil {
		hc = *given
	} else {
		hc.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    64, // one host is all there is; the default of 2 would reconnect under load
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxResponseHeaderBytes: maxAnswerBytes,
		}
	}
	hc.Jar = nil
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &hc
}

func checkBaseURL(raw string, allowInsecure bool) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil: // url.Error would repeat the address, with what it may hold
		return "", errors.New("client: BaseURL is not a URL")
	case u.Host == "" || u.Hostname() == "" || u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return "", errors.New("client: BaseURL must be https://host[:port][/path]")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("client: BaseURL must not hold a user, query or fragment")
	case u.Scheme == "http" && !allowInsecure && !loopback(u.Hostname()):
		return "", errors.New("client: BaseURL must be https (AllowInsecure would send the secret in the clear)")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return (err == nil && addr.Unmap().IsLoopback()) || strings.EqualFold(host, "localhost")
}

// visible reports whether s is visible ASCII, which a header field takes as it is.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Meta is what every answer tells beside its body.
type Meta struct {
	// RequestID names the request in the service's log.
	RequestID string
	// RefreshedSession is a fresh token for the session that was presented, or
	// empty. Use it from now on; the client does not do so by itself.
	RefreshedSession Secret
}

// SendResult is the answer of [Client.Send].
type SendResult struct {
	Meta
	// PhoneID is what [Client.Authenticate] wants.
	PhoneID string
	// PhoneMask is the last four digits, to show to the person.
	PhoneMask string
	// IdempotencyKey is the key that was used.
	IdempotencyKey string
	// Replayed tells that the answer is that of an earlier call with this key,
	// and that nothing was sent.
	Replayed bool
}

// AuthResult is the answer of [Client.Authenticate].
type AuthResult struct {
	Meta
	// SessionJWT is the session token.
	SessionJWT Secret
}

// SessionResult is the answer of [Client.Session].
type SessionResult struct {
	Meta
	api.Session
}

// Send has a code sent to phoneNumber, a United States mobile number in E.164.
// It returns once the message is durably queued. Failures that the service
// answers are an [*Error].
func (c *Client) Send(ctx context.Context, phoneNumber string, opts ...SendOption) (SendResult, error) {
	in := c.newCall(http.MethodPost, api.PathSend, retryIdempotent)
	for _, o := range opts {
		o.applySend(&in)
	}
	if !in.keySet {
		in.key = rand.Text()
	}
	if in.key == "" || len(in.key) > api.MaxIdempotencyKeyBytes || !visible(in.key) {
		return SendResult{}, errors.New("client: the idempotency key is not 1 to 255 visible ASCII characters")
	}
	var body api.SendSmsOtpResponse
	ans, err := c.do(ctx, in, api.SendSmsOtpRequest{PhoneNumber: phoneNumber}, func(b []byte) error {
		return decode(b, &body, func() bool { return body.PhoneID != "" })
	})
	if err != nil {
		return SendResult{}, err
	}
	return SendResult{
		Meta: ans.meta(), PhoneID: body.PhoneID, PhoneMask: body.PhoneMask, IdempotencyKey: in.key,
		Replayed: ans.header.Get(api.HeaderIdempotentReplayed) == "true",
	}, nil
}

// Authenticate makes one attempt with the code a person typed. A code that is
// not right is an [*Error] with [api.CodeInvalidOTP], whose Retryable tells
// whether the person may try again.
//
// When the error is none of the service's answers, or is a 5xx, the attempt
// may or may not have counted; see the package's word on retries.
func (c *Client) Authenticate(ctx context.Context, phoneID, otp string, opts ...CallOption) (AuthResult, error) {
	in := c.newCall(http.MethodPost, api.PathAuthenticate, retryUnsent)
	in.apply(opts)
	var body api.SecondFactorAuthResponse
	ans, err := c.do(ctx, in, api.AuthenticateSmsOtpRequest{PhoneID: phoneID, OTP: otp}, func(b []byte) error {
		return decode(b, &body, func() bool { return body.SessionJWT != "" })
	})
	if err != nil {
		return AuthResult{}, err
	}
	return AuthResult{Meta: ans.meta(), SessionJWT: Secret(body.SessionJWT)}, nil
}

// Session tells the session of the bearer token, from [WithSession] or Config.
func (c *Client) Session(ctx context.Context, opts ...CallOption) (SessionResult, error) {
	in := c.newCall(http.MethodGet, api.PathSession, retryIdempotent)
	in.apply(opts)
	var body api.Session
	ans, err := c.do(ctx, in, nil, func(b []byte) error {
		return decode(b, &body, func() bool { return body.SessionID != "" })
	})
	if err != nil {
		return SessionResult{}, err
	}
	return SessionResult{Meta: ans.meta(), Session: body}, nil
}

// RevokeSession ends the session of the bearer token on every node. An
// [api.CodeInvalidAuthorization] may mean that it was ended already, possibly
// by an earlier try of this call whose answer was lost.
func (c *Client) RevokeSession(ctx context.Context, opts ...CallOption) error {
	in := c.newCall(http.MethodPost, api.PathSessionRevoke, retryIdempotent)
	in.apply(opts)
	_, err := c.do(ctx, in, nil, nil)
	return err
}

// CloseIdleConnections closes connections that wait for further calls.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format implements [fmt.Formatter]; no verb shows a secret.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil {
		_, _ = fmt.Fprint(f, "client.Client(nil)")
		return
	}
	_, _ = fmt.Fprintf(f, "client.Client(%s as %s)", c.base, c.cfg.ClientID)
}

func decode(b []byte, into any, complete func() bool) error {
	if err := json.Unmarshal(b, into); err != nil || !complete() {
		return ErrBadAnswer
	}
	return nil
}
