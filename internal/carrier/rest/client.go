// Package rest is how carriers speak HTTP to their providers: one request, at
// most one answer, and certainty about whether the message may have left.
//
// A carrier calls [ParseBase] for its base-url, [New] once, and then [Client.Do]
// for each message with a request that it made with [NewRequest]. What Do
// returns is an [Answer] or a *carrier.Error that Send can return as it is;
// [Answer.Failure] makes errors of the statuses that mean the same everywhere.
package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"codeword/internal/carrier"
)

const (
	// MaxAnswer is how much of an answer is read, in bytes; a longer one is
	// garbage.
	MaxAnswer = 64 << 10
	// maxHeader bounds an answer's header, in bytes.
	maxHeader = 32 << 10
	// connections are kept for as many sends as run at once.
	connections = 256
	// idle is how long an unused connection is kept: less than the 60 s after
	// which load balancers close theirs, so that a message is not written to a
	// connection that is just being closed.
	idle = 30 * time.Second
	// connect is how long a TCP connection, and then TLS, may take. It leaves
	// time for another route before the code expires.
	connect = 4 * time.Second
)

// Config is what a Client needs. The zero value is ready.
type Config struct {
	// TLS trusts a test's server, or carries a client certificate. Its minimum
	// version is raised to TLS 1.2.
	TLS *tls.Config
}

// Client sends requests. It is safe for concurrent use. It follows no redirect
// and repeats a request only where net/http knows that no byte of it was
// written, or that the peer said under HTTP/2 that it did not process it.
type Client struct {
	http *http.Client
}

// New returns a Client with a connection pool of its own.
func New(cfg Config) *Client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		conf = cfg.TLS.Clone()
		conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	}
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	return &Client{http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        conf,
			TLSHandshakeTimeout:    connect,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           connections,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        idle,
			MaxResponseHeaderBytes: maxHeader,
			// A compressed answer could unfold to more than was read.
			DisableCompression: true,
		},
	}}
}

// NewRequest returns a request with that body. Its content type is form or JSON,
// as the carrier says.
func NewRequest(method, url, contentType, body string) (*http.Request, error) {
	// The context comes with Do.
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		return nil, carrier.NewError(carrier.ReasonMisconfigured, err)
	}
	r.Header.Set("User-Agent", "codeword")
	r.Header.Set("Accept", "application/json")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r, nil
}

// Answer is what a provider answered, with its whole body.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the answer, whatever its status. Its errors are
// *carrier.Error: Retryable if the request certainly did not leave (canceled,
// unavailable), else Unknown (timeout, connection_lost, unexpected_answer). It
// returns promptly when ctx ends.
//
// A request must not have the header Idempotency-Key, nor X-Idempotency-Key: it
// makes net/http repeat requests that may have arrived.
func (c *Client) Do(ctx context.Context, r *http.Request) (*Answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, carrier.NewError(carrier.ReasonCanceled, err)
	}
	// A request counts as written once it has a connection. net/http may repeat
	// it if nothing was written; then it asks for a connection again.
	var written atomic.Bool
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { written.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { written.Store(true) },
	}
	response, err := c.http.Do(r.WithContext(httptrace.WithClientTrace(ctx, trace))) //nolint:gosec // the operator sets the URL
	if err != nil {
		if !written.Load() {
			return nil, unsent(ctx, err)
		}
		return nil, unanswered(ctx, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, unanswered(ctx, err)
	case len(body) > MaxAnswer:
		return nil, carrier.NewError(carrier.ReasonGarbage, errors.New("the answer is longer than 64 KiB"))
	}
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: body}, nil
}

// Explain returns what Do's error hides from logs, for a Check: its request
// has neither number nor text in it, and so neither has the cause.
func Explain(err error) error {
	var e *carrier.Error
	if errors.As(err, &e) && e.Cause != nil {
		return fmt.Errorf("%s: %w", e.Reason, e.Cause)
	}
	return err
}

// unsent: no connection. A deadline that passed meanwhile is the provider's
// fault, an end that somebody asked for is not.
func unsent(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return carrier.NewError(carrier.ReasonCanceled, err)
	}
	return carrier.NewError(carrier.ReasonUnavailable, err)
}

func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return carrier.NewError(carrier.ReasonTimeout, err)
	}
	return carrier.NewError(carrier.ReasonConnectionLost, err)
}
