package session_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/clocktest"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// start is when tests begin unless they run in a synctest bubble.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// memory is both ports in memory, with counters.
type memory struct {
	mu       sync.Mutex
	sessions map[store.SessionID]store.Session
	keys     []store.SigningKey
	down     error
	loads    int
	touches  int
	keyLoads int
	// loaded runs after a session was read and before it is returned.
	loaded func()
}

func newMemory() *memory { return &memory{sessions: make(map[store.SessionID]store.Session)} }

func (s *memory) Session(_ context.Context, now time.Time, id store.SessionID) (store.Session, error) {
	s.mu.Lock()
	s.loads++
	row, ok := s.sessions[id]
	hook, down := s.loaded, s.down
	s.mu.Unlock()
	if hook != nil {
		hook()
	}
	if down != nil {
		return store.Session{}, down
	}
	if !ok || !row.ExpiresAt.After(now) {
		return store.Session{}, fault.New(fault.InvalidAuthorization, "gone")
	}
	return row, nil
}

func (s *memory) TouchSession(_ context.Context, _ time.Time, id store.SessionID, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touches++
	if s.down != nil {
		return s.down
	}
	if row, ok := s.sessions[id]; ok && expires.After(row.ExpiresAt) {
		row.ExpiresAt = expires
		s.sessions[id] = row
	}
	return nil
}

func (s *memory) RevokeSession(_ context.Context, _ time.Time, id store.SessionID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, id)
	return nil
}

func (s *memory) SigningKeys(context.Context) ([]store.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyLoads++
	return slices.Clone(s.keys), s.down
}

func (s *memory) AddSigningKey(_ context.Context, key store.SigningKey, after string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := ""
	if len(s.keys) > 0 {
		newest = s.keys[len(s.keys)-1].KID
	}
	if newest != after {
		return fault.New(fault.Conflict, "not the newest key")
	}
	s.keys = append(s.keys, key)
	return nil
}

func (s *memory) RetireSigningKey(_ context.Context, kid string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.keys, func(k store.SigningKey) bool { return k.KID == kid })
	if i < 0 {
		return fault.New(fault.NotFound, "no key")
	}
	s.keys[i].RetireAt = at
	return nil
}

func (s *memory) DeleteSigningKey(_ context.Context, kid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.DeleteFunc(s.keys, func(k store.SigningKey) bool { return k.KID == kid })
	return nil
}

func (s *memory) setDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *memory) loadsOfKeys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keyLoads
}

func (s *memory) counts() (loads, touches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads, s.touches
}

// world is a running Manager and what surrounds it.
type world struct {
	trail *audittest.Log
	*session.Manager
	store  *memory
	ring   *keyring.Ring
	clock  *clocktest.Clock
	config session.Config
}

func newRing(tb testing.TB) *keyring.Ring {
	tb.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func newWorld(tb testing.TB, change ...func(*session.Config)) *world {
	tb.Helper()
	w := &world{store: newMemory(), ring: newRing(tb), clock: clocktest.At(start), trail: new(audittest.Log)}
	w.config = session.Config{
		Store: w.store, KeyStore: w.store, Keys: w.ring,
		Issuer: "https://codeword.example",
		Now:    w.clock.Now,
		Audit:  w.trail.Trail(w.clock.Now),
		PhoneID: func(c *tenant.Client, id store.PhoneID) string {
			return "phone-number-" + c.Env() + "-" + id.String()
		},
	}
	for _, f := range change {
		f(&w.config)
	}
	w.Manager = w.node(tb)
	return w
}

// node starts another node over the same store.
func (w *world) node(tb testing.TB) *session.Manager {
	tb.Helper()
	m, err := session.New(w.config)
	if err != nil {
		tb.Fatal(err)
	}
	if err := m.Load(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return m
}

func newClient(id string, change ...func(*tenant.Settings)) *tenant.Client {
	c := &tenant.Client{ID: id, Settings: tenant.Defaults(), Revision: 1}
	for _, f := range change {
		f(&c.Settings)
	}
	return c
}

// signIn grants and keeps a session, and returns its first JWT.
func (w *world) signIn(tb testing.TB, c *tenant.Client, p *session.Principal) (store.Session, string) {
	tb.Helper()
	now := w.config.Now()
	s := w.Grant(c, p, store.PhoneID{1}, now).Session
	w.store.mu.Lock()
	w.store.sessions[s.ID] = s
	w.store.mu.Unlock()
	jwt, err := w.Mint(tb.Context(), c, s, now)
	if err != nil {
		tb.Fatal(err)
	}
	return s, jwt
}

func (w *world) mustVerify(tb testing.TB, c *tenant.Client, jwt string) *session.Principal {
	tb.Helper()
	p, err := w.Verify(tb.Context(), c, jwt)
	if err != nil {
		tb.Fatalf("Verify: %v", err)
	}
	return p
}

func wantFault(tb testing.TB, err error, kind fault.Kind) {
	tb.Helper()
	if !fault.Is(err, kind) {
		tb.Fatalf("error %v, want kind %d", err, kind)
	}
}
