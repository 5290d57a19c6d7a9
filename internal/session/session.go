// Package session decides who a bearer speaks for and hands out bearers: it
// verifies and mints the session JWT, keeps its signing keys in rotation,
// publishes the key set, and verifies the tokens of a client's trusted issuers.
//
// A JWT is only half of the answer: the session that it names must still exist,
// so a revocation takes effect at once on the node that carries it out and
// within LivenessAge on all others.
package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"codeword/internal/audit"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Ages and lifetimes that callers and operators may rely on.
const (
	// LivenessAge is how long a node may go on believing that a session lives
	// without asking the store: a revocation that another node carried out counts
	// here within a second, the time to ask included.
	LivenessAge = 3 * time.Second / 4
	// MaxTokenLifetime is the longest life of a JWT (package tenant enforces
	// it): how long a key must stay published after its last signature.
	MaxTokenLifetime = 24 * time.Hour
	// JWKSMaxAge is how long a verifier may cache the key set.
	JWKSMaxAge = 5 * time.Minute
	// ReloadEvery is how often Run reads the signing keys again: a key that was
	// withdrawn is refused by every node within a second.
	ReloadEvery = time.Second / 2
	// ForeignAge is how long the verification of a trusted issuer's token is
	// remembered at most, so that a key which its issuer withdraws stops
	// working.
	ForeignAge = 5 * time.Minute
)

// Defaults of Config.
const (
	DefaultKeyLifetime  = 30 * 24 * time.Hour
	DefaultPublishAhead = time.Hour
)

// The algorithms that a session JWT can be signed with (RFC 7518 section 3.4,
// RFC 8037 section 3.1).
const (
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// Store keeps the sessions.
type Store interface {
	// Session returns a session that lives at now; fault.InvalidAuthorization
	// when it is gone, revoked or expired.
	Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error)
	// TouchSession moves the expiry to a later time, never to an earlier one.
	// It is no error when the session is gone.
	TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error
	// RevokeSession ends a session; it is durable when it returns, and
	// idempotent.
	RevokeSession(ctx context.Context, now time.Time, id store.SessionID) error
}

// KeyStore keeps the signing keys, shared by all nodes.
type KeyStore interface {
	// SigningKeys lists all keys, oldest first.
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	// AddSigningKey adds a key if the newest one is still the one named by
	// after ("" for none), else it is fault.Conflict: of many nodes that want
	// to rotate, one does.
	AddSigningKey(ctx context.Context, key store.SigningKey, after string) error
	// RetireSigningKey sets RetireAt; fault.NotFound.
	RetireSigningKey(ctx context.Context, kid string, at time.Time) error
	// DeleteSigningKey removes a key for good.
	DeleteSigningKey(ctx context.Context, kid string) error
}

// Keys is the key ring: encryption at rest and a keyed digest.
type Keys interface {
	Seal(plain, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
	Index(version uint32, input []byte) ([32]byte, error)
	IndexVersion() uint32
}

// Config is what a Manager needs.
type Config struct {
	Store    Store
	KeyStore KeyStore
	Keys     Keys
	// Issuer is the public URL of the service: the iss claim and the place
	// below which /.well-known/ is served.
	Issuer string
	// Algorithm signs new JWTs: ES256 (default) or EdDSA. After a change the
	// next key is of the new kind; the old ones stay until they are due.
	Algorithm string
	// KeyLifetime is how long a key signs (default 30 days).
	KeyLifetime time.Duration
	// PublishAhead is how long a key is published before it signs (default an
	// hour); at least JWKSMaxAge plus ReloadEvery, so that every verifier that
	// keeps to the caching rules knows the key by then.
	PublishAhead time.Duration
	// PhoneID writes a phone's id as the client sees it.
	PhoneID func(c *tenant.Client, id store.PhoneID) string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// HTTPClient carries the requests to trusted issuers. Time limit, size
	// limit and refusal of redirects are added to it. Nil for a default one.
	HTTPClient *http.Client
	Log        *slog.Logger
	// Audit records what operators do to keys; nil where they can do nothing. What
	// the rotation does by itself is no operator's.
	Audit *audit.Trail
}

// Manager is safe for concurrent use. Load must have succeeded once before it
// verifies or mints.
type Manager struct {
	cfg     Config
	issuers *issuers

	ring atomic.Pointer[ring]
	// loading holds one token: whoever has it may load the keys, and read and
	// write tried, failed and closed.
	loading chan struct{}
	tried   time.Time
	failed  error
	// closed are the keys that could not be opened; the log knows of them.
	closed map[string]bool

	tokens    *cache[tokenKey, *verified]
	live      *cache[store.SessionID, *liveSession]
	refreshed *cache[refreshKey, string]
}

// New checks the configuration and returns a Manager without keys; see Load.
func New(cfg Config) (*Manager, error) {
	if cfg.Algorithm == "" {
		cfg.Algorithm = ES256
	}
	if cfg.KeyLifetime == 0 {
		cfg.KeyLifetime = DefaultKeyLifetime
	}
	if cfg.PublishAhead == 0 {
		cfg.PublishAhead = DefaultPublishAhead
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m := &Manager{
		cfg:       cfg,
		issuers:   newIssuers(cfg.HTTPClient, cfg.Now),
		loading:   make(chan struct{}, 1),
		closed:    make(map[string]bool),
		tokens:    newCache[tokenKey, *verified](maxTokens, func(k tokenKey) byte { return k.digest[0] }),
		live:      newCache[store.SessionID, *liveSession](maxLive, func(id store.SessionID) byte { return id[15] }),
		refreshed: newCache[refreshKey, string](maxRefreshed, func(k refreshKey) byte { return k.session[15] }),
	}
	m.ring.Store(&ring{})
	return m, nil
}

func (c Config) validate() error {
	var errs []error
	if c.Store == nil || c.KeyStore == nil || c.Keys == nil || c.PhoneID == nil {
		errs = append(errs, errors.New("session: Store, KeyStore, Keys and PhoneID are required"))
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.ContainsAny(c.Issuer, "?#") {
		errs = append(errs, errors.New("session: the issuer is not an http(s) URL without query and fragment"))
	}
	if c.Algorithm != ES256 && c.Algorithm != EdDSA {
		errs = append(errs, fmt.Errorf("session: algorithm %q is neither %s nor %s", c.Algorithm, ES256, EdDSA))
	}
	if c.PublishAhead < JWKSMaxAge+ReloadEvery {
		errs = append(errs, fmt.Errorf("session: keys must be published at least %s ahead", JWKSMaxAge+ReloadEvery))
	}
	if c.KeyLifetime < 2*c.PublishAhead {
		errs = append(errs, errors.New("session: keys must live at least twice as long as they are published ahead"))
	}
	return errors.Join(errs...)
}

// Revoke ends the session of an own bearer, durably and at once on this node,
// within LivenessAge on the others. A trusted issuer's token has no session
// here to end: fault.InvalidAuthorization.
func (m *Manager) Revoke(ctx context.Context, p *Principal) error {
	if p.Subject != nil {
		return invalid("a trusted issuer's token has no session to revoke")
	}
	// Dropped after the store knows, and whatever it answered: a load that
	// read the session before then does not put it back.
	defer m.live.drop(p.Session.ID)
	return m.cfg.Store.RevokeSession(ctx, m.cfg.Now(), p.Session.ID)
}
