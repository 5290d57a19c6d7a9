// Package login decides who the operator is: whoever holds the admin token, or somebody
// whom an OpenID provider knows and to whom its claims give a role. Its cookies are
// sealed, so that every node that has the keyset can read them and none keeps a list.
package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"codeword/api"
	"codeword/internal/audit"
	"codeword/internal/keyring"
)

// Defaults of a Config.
const (
	DefaultLife    = 12 * time.Hour
	DefaultIdle    = time.Hour
	DefaultRecheck = time.Hour
)

// leeway is how far clocks may be apart: of two nodes, or ours and the provider's.
const leeway = time.Minute

// Sealer keeps what is in cookies from being read and made by others. Every node has to
// have the same keys.
type Sealer interface {
	Seal(plain, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Config is what a Keeper needs. The zero value of what is not required is a default.
type Config struct {
	// Token is the admin token; required.
	Token string
	// Keys seal the cookies; nil for keys that end with the process.
	Keys Sealer
	// Notes tell all nodes which sessions ended early; nil when there is one node.
	Notes Notes
	// URL is where browsers reach the console. With https cookies are Secure.
	URL string
	// Life is how long a session lasts, and Idle how long without being used.
	Life, Idle time.Duration
	// Recheck is how long the provider's word on somebody is taken.
	Recheck time.Duration
	// Provider is where people log in without the token; its zero value for nowhere.
	Provider Settings
	// Client asks the provider; nil for one of its own.
	Client *http.Client
	// Audit takes logins; nil for none.
	Audit *audit.Trail
	Now   func() time.Time
	Log   *slog.Logger
}

// Keeper admits operators. It is safe for concurrent use.
type Keeper struct {
	cfg    Config
	secure bool
	key    [sha256.Size]byte
	// token is a keyed hash, so that comparing takes the same time for any two.
	token [sha256.Size]byte
	// tokenMark and rules tell sessions that were begun under another token, or under
	// other rules of the provider.
	tokenMark, rules []byte
	ended            *ended
	used             *used
	provider         *provider
}

// New returns a Keeper. The provider is asked when somebody logs in there.
func New(cfg Config) (*Keeper, error) {
	if cfg.Keys == nil {
		ring, err := keyring.Generate()
		if err != nil {
			return nil, err
		}
		cfg.Keys = ring
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for at, fallback := range map[*time.Duration]time.Duration{&cfg.Life: DefaultLife, &cfg.Idle: DefaultIdle, &cfg.Recheck: DefaultRecheck} {
		if *at == 0 {
			*at = fallback
		}
	}
	k := &Keeper{cfg: cfg, secure: strings.HasPrefix(cfg.URL, "https://"), used: &used{states: map[string]time.Time{}}}
	_, _ = rand.Read(k.key[:]) // never fails, see crypto/rand.Read
	k.token = k.hashed(cfg.Token)
	k.tokenMark = mark(cfg.Token, "token")
	k.ended = newEnded(cfg.Notes, cfg.Log)
	if cfg.Provider.Issuer == "" {
		return k, nil
	}
	if err := errors.Join(cfg.Provider.Validate(), ValidateURL(cfg.URL)); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	k.rules = mark(cfg.Token, cfg.Provider.rules())
	k.provider = newProvider(&k.cfg)
	return k, nil
}

// ValidateURL says what is wrong with a Config's URL.
func ValidateURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !reachable(u) || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("admin-url: %q is not an https URL, or an http URL of this machine", raw)
	case u.Path != "":
		return errors.New("admin-url: without a path: the console is at the root of its host")
	}
	return nil
}

// reachable: what is not encrypted must not leave the machine.
func reachable(u *url.URL) bool {
	if u.Host == "" {
		return false
	}
	switch host := u.Hostname(); u.Scheme {
	case "https":
		return true
	case "http":
		return host == "localhost" || host == "127.0.0.1" || host == "::1"
	}
	return false
}

func (k *Keeper) hashed(secret string) (d [sha256.Size]byte) {
	mac := hmac.New(sha256.New, k.key[:])
	_, _ = mac.Write([]byte(secret)) // never fails, see hash.Hash
	mac.Sum(d[:0])
	return d
}

// mark is what a session remembers of what it rests on. Nobody can make one who does not
// have the admin token, so that the keys of the cookies alone make no session.
func mark(token, of string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	_, _ = mac.Write([]byte("codeword console " + of)) // never fails, see hash.Hash
	return mac.Sum(nil)[:16]
}

// IsToken compares in constant time.
func (k *Keeper) IsToken(presented string) bool {
	d := k.hashed(presented)
	return hmac.Equal(d[:], k.token[:])
}

// HasProvider tells whether there is one to log in at.
func (k *Keeper) HasProvider() bool { return k.provider != nil }

// Admit tells who asks, or the code that says why nobody does. A bearer that is no good
// is not made good by a cookie. The answer may get a fresh cookie.
func (k *Keeper) Admit(w http.ResponseWriter, r *http.Request) (Person, api.Code) {
	if values := r.Header.Values("Authorization"); len(values) > 0 {
		scheme, token, _ := strings.Cut(values[0], " ")
		if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || !k.IsToken(strings.TrimLeft(token, " ")) {
			return Person{}, api.CodeInvalidAuthorization
		}
		return holder(), ""
	}
	s, code := k.session(r)
	if code != "" {
		return Person{}, code
	}
	k.renew(w, r, s)
	return k.person(s), ""
}

// EnterByToken begins the session of whoever showed the admin token.
func (k *Keeper) EnterByToken(w http.ResponseWriter, r *http.Request) error {
	return k.enter(w, r, &session{Token: k.tokenMark, Role: Admin})
}

// recordTimeout bounds the wait for the audit trail: who logs in to see why the store
// is down is let in without it.
const recordTimeout = 2 * time.Second

// enter records a login and gives its cookie out. A session that the browser has goes.
func (k *Keeper) enter(w http.ResponseWriter, r *http.Request, s *session) error {
	if old, code := k.session(r); code == "" {
		k.end(r.Context(), old)
	}
	now := k.cfg.Now()
	s.ID, s.Began, s.Seen = rand.Text(), now.Unix(), now.Unix()
	p := k.person(s)
	if k.cfg.Audit != nil {
		ctx, cancel := context.WithTimeout(r.Context(), recordTimeout)
		defer cancel()
		entry := audit.Entry{Actor: p.Actor(), Kind: EventLogin, Data: map[string]string{"role": s.Role.String()}}
		if err := k.cfg.Audit.Record(ctx, entry, func() error { return nil }); err != nil {
			k.cfg.Log.WarnContext(r.Context(), "a login could not be recorded", "actor", p.Actor(), "error", err)
		}
	}
	return k.give(w, s)
}

// EventLogin is the kind of the entries about logins.
const EventLogin = "console.login"

// Leave ends the session of a request, if there is one.
func (k *Keeper) Leave(w http.ResponseWriter, r *http.Request) {
	if s, code := k.session(r); code == "" {
		k.end(r.Context(), s)
	}
	http.SetCookie(w, k.cookie(k.sessionName(), "", -1, http.SameSiteStrictMode))
}

// LocalPath returns where a browser is led after a login: a path of this console, or
// "/". Browsers read a backslash as a slash, and leave out tabs and line feeds.
func LocalPath(raw string) string {
	const most = 1 << 10
	if len(raw) > most || !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") ||
		strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }) {
		return "/"
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(u.Path, "\\") || u.Path == "/login" || strings.HasPrefix(u.Path, "/login/") {
		return "/"
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String()
}
