// Package server is the public HTTP edge. It turns requests into calls of the
// domain and their results into the documents of package api; it knows no
// engine and no carrier's package.
//
// One table (routes.go) lists every endpoint, and one adapter (endpoint.go)
// carries each request through the same steps, so that an endpoint cannot
// forget one: request id, admission, method, credentials, bearer, body, call,
// refresh, answer, log line.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/internal/carrier"
	"codeword/internal/otp"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Clients judges credentials.
type Clients interface {
	// Authenticate returns the client that the credentials belong to, or
	// fault.InvalidCredentials.
	Authenticate(clientID, secret string) (*tenant.Client, error)
}

// OTP is the two calls.
type OTP interface {
	Send(ctx context.Context, in otp.SendRequest) (otp.SendResult, error)
	Authenticate(ctx context.Context, in otp.AuthenticateRequest) (store.Session, error)
	PhoneID(c *tenant.Client, id store.PhoneID) string
}

// Sessions verifies and makes bearers.
type Sessions interface {
	Verify(ctx context.Context, c *tenant.Client, bearer string) (*session.Principal, error)
	Mint(ctx context.Context, c *tenant.Client, s store.Session, now time.Time) (string, error)
	Refresh(ctx context.Context, c *tenant.Client, p *session.Principal, now time.Time) (jwt string, ok bool, err error)
	Revoke(ctx context.Context, p *session.Principal) error
	JWKS() (body []byte, maxAge time.Duration)
	OpenIDConfiguration() []byte
}

// Health tells whether the service can do its work.
type Health interface {
	// Ready returns nil if a request could be carried out now, that is, if the
	// store can write.
	Ready(ctx context.Context) error
}

// Callbacks knows the routes whose carriers report over HTTP.
type Callbacks interface {
	// Callback returns what reads the callbacks of a route; false when there is
	// no such route or its carrier does not report over HTTP.
	Callback(route string) (carrier.Callback, bool)
}

// Intake takes what carriers report.
type Intake interface {
	// Handle returns nil once the reports are durable. An error that wraps
	// carrier.ErrMalformed says that repeating them is of no use.
	Handle(ctx context.Context, route string, r carrier.Reports) error
}

// Defaults of Config.
const (
	DefaultMaxInFlight = 512
)

// Config is what a Server needs.
type Config struct {
	Clients  Clients
	OTP      OTP
	Sessions Sessions
	Health   Health
	// Callbacks and Intake serve the callbacks of carriers; nil for none.
	Callbacks Callbacks
	Intake    Intake
	// Demo switches the demo page on; nil for none.
	Demo *Demo
	// TrustedProxies are the peers whose X-Forwarded-For is believed. With none
	// the header is ignored, since callers could write it themselves.
	TrustedProxies []netip.Prefix
	// MaxInFlight is how many requests are worked on at a time; what goes
	// beyond is refused at once with 503. Default 512.
	MaxInFlight int
	// Registry takes the metrics; nil for none.
	Registry prometheus.Registerer
	// Trace begins to follow a request to a route, and returns the context that it has
	// from then on, the id of its trace, and what ends it; the last two are zero where
	// nothing is recorded. Nil follows none.
	Trace func(r *http.Request, route string) (ctx context.Context, id string, end TraceEnd)
	// Log takes one event a request; nil for none.
	Log *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// TraceEnd takes how a request ended: the status, the error code and the client's id, if
// there are, and the request's id.
type TraceEnd = func(status int, code, client, request string)

// Server is the public API. It is safe for concurrent use.
type Server struct {
	cfg     Config
	now     func() time.Time
	log     *slog.Logger
	mux     *http.ServeMux
	nowhere *route
	gate    gate
	shed    shedLog
	metrics *metrics
	pool    sync.Pool
	running running
	// callbacks counts those that are worked on.
	callbacks atomic.Int64
	ready     readiness
	draining  atomic.Bool
}

// New returns a Server. It fails when a required part is missing or a metric
// cannot be registered.
func New(cfg Config) (*Server, error) {
	if cfg.Clients == nil || cfg.OTP == nil || cfg.Sessions == nil || cfg.Health == nil {
		return nil, errors.New("server: Clients, OTP, Sessions and Health are required")
	}
	if (cfg.Callbacks == nil) != (cfg.Intake == nil) {
		return nil, errors.New("server: Callbacks and Intake go together")
	}
	if cfg.MaxInFlight < 0 {
		return nil, errors.New("server: MaxInFlight is negative")
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, now: cfg.Now, log: cfg.Log, mux: http.NewServeMux()}
	s.gate.max = int64(cfg.MaxInFlight)
	var err error
	if s.metrics, err = newMetrics(cfg.Registry, &s.gate); err != nil {
		return nil, err
	}
	s.register(s.endpoints())
	return s, nil
}

// Handler returns the handler of the public listener.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Drain makes the readiness endpoint fail from now on; everything else goes on
// as before.
func (s *Server) Drain() { s.draining.Store(true) }
