package login

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"codeword/api"
	"codeword/internal/store"
)

// session is what a cookie holds, sealed. Times are in seconds since 1970.
type session struct {
	ID string `json:"i"`
	// Token and Rules tell what the session rests on: one is there.
	Token []byte `json:"t,omitempty"`
	Rules []byte `json:"u,omitempty"`

	Role    Role   `json:"r"`
	Subject string `json:"s,omitempty"`
	Name    string `json:"n,omitempty"`
	Began   int64  `json:"b"`
	Seen    int64  `json:"l"`
	// Checked is when the provider vouched last, and Tried when it was last asked to.
	Checked int64 `json:"c,omitempty"`
	Tried   int64 `json:"a,omitempty"`
}

// What cookies are sealed for. A cookie of one kind is none of the other.
var (
	sealSession = []byte("codeword/console/session/1")
	sealFlow    = []byte("codeword/console/flow/1")
)

// maxCookie is more than any cookie of ours has, in bytes.
const maxCookie = 4 << 10

func (k *Keeper) sealed(v any, as []byte) (string, error) {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false) // a way back of many & would be six times as long
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	out, err := k.cfg.Keys.Seal(raw.Bytes(), as)
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(out), nil
}

func (k *Keeper) opened(text string, as []byte, into any) bool {
	if len(text) > maxCookie {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	raw, err = k.cfg.Keys.Open(raw, as)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// prefix keeps other hosts of the domain, and pages without TLS, from giving a browser
// a cookie in our name (RFC 6265bis section 4.1.3.2).
func (k *Keeper) prefix() string {
	if k.secure {
		return "__Host-"
	}
	return ""
}

func (k *Keeper) sessionName() string { return k.prefix() + "codeword_console" }

// cookie is out of reach for scripts. On plain loopback it could not be Secure.
func (k *Keeper) cookie(name, value string, maxAge int, site http.SameSite) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // see above for Secure
		Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: k.secure, SameSite: site,
	}
}

// give sends the cookie of a session, which requests that other sites cause lack.
func (k *Keeper) give(w http.ResponseWriter, s *session) error {
	value, err := k.sealed(s, sealSession)
	if err != nil {
		return err
	}
	left := min(k.cfg.Idle, time.Unix(s.Began, 0).Add(k.cfg.Life).Sub(k.cfg.Now()))
	http.SetCookie(w, k.cookie(k.sessionName(), value, max(1, int(left/time.Second)), http.SameSiteStrictMode))
	return nil
}

// session reads and judges the cookie of a request. Of several with our name none
// counts, since one of them is not ours.
func (k *Keeper) session(r *http.Request) (*session, api.Code) {
	cookies := r.CookiesNamed(k.sessionName())
	if len(cookies) == 0 {
		return nil, api.CodeMissingAuthorization
	}
	s := &session{}
	if len(cookies) > 1 || !k.opened(cookies[0].Value, sealSession, s) || !k.holds(s) || k.ended.has(r.Context(), s.ID, k.cfg.Now()) {
		return nil, api.CodeExpiredAuthorization
	}
	return s, ""
}

// holds tells whether a session rests on what holds today, and has not ended by itself.
func (k *Keeper) holds(s *session) bool {
	now := k.cfg.Now()
	if s.ID == "" || s.Role < Viewer || s.Role > Admin || !k.within(s.Began, k.cfg.Life) || !k.within(s.Seen, k.cfg.Idle) ||
		time.Unix(s.Began, 0).After(now.Add(leeway)) {
		return false
	}
	if s.Subject == "" {
		return hmac.Equal(s.Token, k.tokenMark)
	}
	return k.provider != nil && hmac.Equal(s.Rules, k.rules) && k.within(s.Checked, k.cfg.Recheck)
}

// within tells whether a time is no longer ago than that.
func (k *Keeper) within(at int64, span time.Duration) bool {
	return k.cfg.Now().Before(time.Unix(at, 0).Add(span))
}

// retryCheck is how long a provider that did not vouch is left alone.
const retryCheck = 5 * time.Minute

func (k *Keeper) person(s *session) Person {
	p := Person{Role: s.Role, Subject: s.Subject, Name: s.Name}
	if s.Subject != "" {
		p.Issuer = k.cfg.Provider.Issuer
		p.Due = !k.within(s.Checked, k.cfg.Recheck/2) && !k.within(s.Tried, retryCheck)
	}
	return p
}

// renew remembers that a session was used by a person, not by a page that refreshes
// itself. What a browser has to tell that from is Sec-Fetch-Mode.
func (k *Keeper) renew(w http.ResponseWriter, r *http.Request, s *session) {
	if !navigates(r) || k.within(s.Seen, min(time.Minute, k.cfg.Idle/10)) {
		return
	}
	fresh := *s
	fresh.Seen = k.cfg.Now().Unix()
	if err := k.give(w, &fresh); err != nil { // the cookie of before works on
		k.cfg.Log.WarnContext(r.Context(), "a session could not be renewed", "error", err)
	}
}

func navigates(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// end makes a session end on all nodes.
func (k *Keeper) end(ctx context.Context, s *session) {
	k.ended.add(ctx, s.ID, k.cfg.Now(), time.Unix(s.Began, 0).Add(k.cfg.Life))
}

// Notes are what nodes tell each other; see [store.Note].
type Notes interface {
	PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
	Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
}

const (
	// topicEnded has a note for each session that ended before its time.
	topicEnded = "console-ended"
	// readEvery is how old the list of ended sessions may be, and readTimeout how long a
	// request waits for it. While it cannot be read, the list of before holds: else an
	// operator could not see why.
	readEvery   = time.Second
	readTimeout = 2 * time.Second
)

// ended are the sessions that ended before their time.
type ended struct {
	notes Notes
	log   *slog.Logger

	mu    sync.Mutex
	until map[string]time.Time
	read  time.Time
}

func newEnded(notes Notes, log *slog.Logger) *ended {
	return &ended{notes: notes, log: log, until: map[string]time.Time{}}
}

func (e *ended) has(ctx context.Context, id string, now time.Time) bool {
	e.mu.Lock()
	age := now.Sub(e.read)
	stale := e.notes != nil && (age >= readEvery || age < 0)
	if stale {
		e.read = now // one request reads, others go on with what is known
	}
	_, has := e.until[id]
	e.mu.Unlock()
	if has || !stale {
		return has
	}
	// Not by the request's time alone: who hangs up at once, again and again, would keep a
	// session alive that ended elsewhere, since nobody else reads in that second.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	notes, err := e.notes.Notes(ctx, now, topicEnded, time.Time{})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.log.WarnContext(ctx, "which sessions of the console have ended cannot be read", "error", err)
	}
	e.sweep(now)
	for i := range notes {
		e.until[notes[i].Key] = notes[i].Until
	}
	_, has = e.until[id]
	return has
}

// sweep drops what would have ended by itself. e.mu is held.
func (e *ended) sweep(now time.Time) {
	maps.DeleteFunc(e.until, func(_ string, until time.Time) bool { return !now.Before(until) })
}

func (e *ended) add(ctx context.Context, id string, now, until time.Time) {
	e.mu.Lock()
	e.sweep(now)
	e.until[id] = until
	e.mu.Unlock()
	if e.notes == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	if err := e.notes.PutNotes(ctx, now, []store.Note{{Topic: topicEnded, Key: id, At: now, Until: until}}); err != nil {
		e.log.WarnContext(ctx, "other servers were not told that a session of the console ended", "error", err)
	}
}
