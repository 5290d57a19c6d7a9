package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// Defaults of ListenConfig. The contract's requests are small, so whoever needs
// longer is broken, or holds connections on purpose.
const (
	DefaultReadHeaderTimeout = 5 * time.Second
	DefaultReadTimeout       = 10 * time.Second
	DefaultWriteTimeout      = 15 * time.Second
	DefaultIdleTimeout       = 90 * time.Second
	DefaultMaxConnections    = 10_000
)

const (
	// maxHeaderBytes leaves room for the longest bearer and a fingerprint.
	maxHeaderBytes = 32 << 10
	// maxStreams bounds the requests of one HTTP/2 connection at a time.
	maxStreams = 128
)

// ListenConfig is what a Listener needs. Zero durations and numbers are the
// defaults above.
type ListenConfig struct {
	Handler http.Handler
	// Certificates switches TLS on, and with it HTTP/2; nil for plain HTTP.
	Certificates *Certificates
	// MaxConnections is how many connections are open at a time. More wait in
	// the backlog of the system.
	MaxConnections    int
	ReadHeaderTimeout time.Duration
	ReadTimeout       time.Duration
	WriteTimeout      time.Duration
	IdleTimeout       time.Duration
	// Log takes what net/http has to say about connections; nil for nothing.
	Log *slog.Logger
}

// Listener serves a handler to the internet, with bounds on everything that a
// caller could make last or grow.
type Listener struct {
	http *http.Server
	max  int
	tls  bool
}

// NewListener returns a Listener.
func NewListener(cfg ListenConfig) (*Listener, error) {
	if cfg.Handler == nil {
		return nil, errors.New("server: a Listener needs a Handler")
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&cfg.ReadHeaderTimeout, DefaultReadHeaderTimeout},
		{&cfg.ReadTimeout, DefaultReadTimeout},
		{&cfg.WriteTimeout, DefaultWriteTimeout},
		{&cfg.IdleTimeout, DefaultIdleTimeout},
	} {
		if *d.value < 0 {
			return nil, errors.New("server: a timeout is negative")
		}
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if cfg.MaxConnections < 0 {
		return nil, errors.New("server: MaxConnections is negative")
	}
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = DefaultMaxConnections
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Listener{max: cfg.MaxConnections, http: &http.Server{
		Handler:                      cfg.Handler,
		ReadHeaderTimeout:            cfg.ReadHeaderTimeout,
		ReadTimeout:                  cfg.ReadTimeout,
		WriteTimeout:                 cfg.WriteTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     slog.NewLogLogger(errorLog{cfg.Log.Handler()}, slog.LevelWarn),
		DisableGeneralOptionsHandler: true, // our own 404 and 405 answer "OPTIONS *" too
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}}
	if cfg.Certificates != nil {
		l.tls = true
		l.http.TLSConfig = cfg.Certificates.TLSConfig()
	}
	return l, nil
}

// Serve accepts connections until Shutdown, and then returns nil. It closes ln.
func (l *Listener) Serve(ln net.Listener) error {
	ln = netutil.LimitListener(ln, l.max)
	var err error
	if l.tls {
		err = l.http.ServeTLS(ln, "", "")
	} else {
		err = l.http.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting, and returns when all requests were answered. When
// ctx ends first it breaks what is left and returns the cause.
func (l *Listener) Shutdown(ctx context.Context) error {
	err := l.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, l.http.Close())
	}
	return err
}

// errorLog passes on what net/http reports, failed handshakes as debug: they
// are the other side's doing and could fill the log.
type errorLog struct{ slog.Handler }

// Handle implements [slog.Handler].
func (e errorLog) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error") {
		r.Level = slog.LevelDebug
	}
	if !e.Enabled(ctx, r.Level) {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}
