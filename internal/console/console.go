// Package console is the operator's HTTP edge: pages and JSON of messages, the test
// inbox, routes, the guard, clients, keys and events, the metrics and the profiles, all
// behind one admin token. It is meant for a listener of its own, on loopback unless the operator
// decides otherwise.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/api"
	"codeword/internal/console/login"
	"codeword/internal/keyring"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/webhook"
)

// Inbox lists the messages of clients whose messages are shown instead of sent.
type Inbox interface {
	// List returns messages, newest first. It refuses a number that is none
	// with fault.InvalidPhone.
	List(ctx context.Context, q Query) (InboxPage, error)
}

// Query selects messages.
type Query struct {
	// To is a number in E.164; empty for all.
	To string
	// Limit is how many at most; zero for the inbox's default.
	Limit int
	// Before, when not zero, continues after that message.
	Before store.MessageID
}

// InboxPage is one page of the inbox.
type InboxPage struct {
	Messages []Entry
	// Next, when not zero, is the Before of the next page.
	Next store.MessageID
}

// Entry is one message as its recipient would see it. Printed or logged, it
// shows its id alone.
type Entry struct {
	ID string `json:"id"`
	// ClientID is whose message it is, for the page alone.
	ClientID   string   `json:"-"`
	To         string   `json:"to"`
	From       string   `json:"from"`
	Text       string   `json:"text"`
	CreateTime api.Time `json:"createTime"`
}

// Format implements [fmt.Formatter] with the id alone.
func (e Entry) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "message "+e.ID) // a Formatter has nowhere to report to
}

// LogValue implements [slog.LogValuer] with the id alone.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.ID) }

// MinTokenBytes is the shortest admin token. Since nothing slows guesses down,
// it should be random; 256 bits are usual.
const MinTokenBytes = 16

// Token is the admin token. It prints redacted.
type Token string

// Format implements [fmt.Formatter] without the token.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue implements [slog.LogValuer] without the token.
func (Token) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Config is what a Console needs.
type Config struct {
	// Token opens everything: as a bearer (RFC 6750), or at the login page.
	Token Token
	// Login says how people log in otherwise, and how long that lasts. Its Token, Now and
	// Log are the Console's.
	Login login.Config
	Inbox Inbox
	// Messages is the message log; nil for none.
	Messages Messages
	// Events reads what was recorded; nil for nothing.
	Events Events
	// Rollups reads what was counted of messages; nil for nothing.
	Rollups Rollups
	// Phones does what owners of numbers ask for; nil for nothing.
	Phones Phones
	// Routes tells the routes and how they fare; nil for none.
	Routes func() []RouteView
	// TestSends tries routes; nil for never.
	TestSends TestSends
	// Guard tells what is held back and spent; nil for nothing.
	Guard Guard
	// Clients are changed through it; nil for none. It has to have an audit trail.
	Clients *tenant.Registry
	// Webhooks are endpoints of webhooks; nil for none. It has to have an audit trail.
	Webhooks *webhook.Registry
	// Keys tells the signing keys, and MasterKeys those of the keyset; nil for none.
	Keys       Keys
	MasterKeys func() []keyring.Key
	// Queue tells how the queue stands; nil when nobody knows.
	Queue func(context.Context) (store.QueueStats, error)
	// Metrics is what /metrics shows; nil for nothing.
	Metrics prometheus.Gatherer
	// Log takes one event a request; nil for none.
	Log *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Console serves the operator. It is safe for concurrent use.
type Console struct {
	cfg    Config
	logins *login.Keeper
	pages  *pages
	// operations and handler are made once, by New.
	operations []Operation
	handler    http.Handler
	feed       *feed
	gate       *gate
}

// New returns a Console.
func New(cfg Config) (*Console, error) {
	if len(cfg.Token) < MinTokenBytes {
		return nil, fmt.Errorf("console: the admin token is shorter than %d bytes", MinTokenBytes)
	}
	if cfg.Inbox == nil {
		return nil, errors.New("console: Inbox is required")
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Login.Token, cfg.Login.Now, cfg.Login.Log = string(cfg.Token), cfg.Now, cfg.Log
	logins, err := login.New(cfg.Login)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c := &Console{cfg: cfg, logins: logins, gate: newGate()}
	if c.pages, err = loadPages(c.clientName); err != nil {
		return nil, err
	}
	c.feed = newFeed(c.sample)
	c.handler = c.route()
	return c, nil
}

// clientName is the name of a client, or its id if the client is not known, has no name,
// or cannot be used.
func (c *Console) clientName(id string) string {
	if c.cfg.Clients != nil {
		if known := c.cfg.Clients.Client(id); known != nil && known.Name != "" {
			return known.Name
		}
	}
	return id
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, api.Health{Status: api.StatusOK})
}

// only refuses methods other than the one; GET includes HEAD.
func (c *Console) only(method string, h http.Handler) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) {
			c.methodNotAllowed(w, r, allow)
			return
		}
		h.ServeHTTP(w, r)
	})
}
