package session_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"codeword/internal/fault"
	"codeword/internal/session"
)

// Of many nodes that start on an empty store, one makes the key.
func TestFirstStart(t *testing.T) {
	w := newWorld(t)
	w.store.keys = nil
	var nodes sync.WaitGroup
	for range 16 {
		nodes.Go(func() {
			m, err := session.New(w.config)
			if err != nil {
				t.Error(err)
				return
			}
			if err := m.Load(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
	if n := len(w.store.keys); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

func TestLoadFailures(t *testing.T) {
	w := newWorld(t)
	w.config.Keys = newRing(t)
	m, err := session.New(w.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(t.Context()); err == nil {
		t.Error("loaded keys of another key ring")
	}
	if n := len(w.store.keys); n != 1 {
		t.Errorf("%d keys: a wrong key ring made one", n)
	}
	_, err = m.Mint(t.Context(), newClient("client-a"), w.Grant(newClient("client-a"), nil, [16]byte{}, start).Session, start)
	wantFault(t, err, fault.Unavailable)

	w.store.setDown(fault.New(fault.Unavailable, "down"))
	wantFault(t, w.Load(t.Context()), fault.Unavailable)
}

// Unknown kids make a node read its keys again, but not for each of them.
func TestUnknownKIDReloadsSeldom(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, good := w.signIn(t, client, nil)
	w.clock.Advance(time.Minute)
	w.store.mu.Lock()
	before := w.store.keyLoads
	w.store.mu.Unlock()
	own := w.ownKey(t)
	for i := range 20 {
		kid := strings.Repeat(string(rune('a'+i)), 43)
		_, err := w.Verify(t.Context(), client,
			sign(t, jose.ES256, jose.JSONWebKey{Key: own.Key, KeyID: kid}, payloadOf(t, good), nil))
		wantFault(t, err, fault.InvalidAuthorization)
	}
	if n := w.store.keyLoads - before; n != 1 {
		t.Errorf("%d loads", n)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*session.Config){
		"no store":      func(c *session.Config) { c.Store = nil },
		"no phone id":   func(c *session.Config) { c.PhoneID = nil },
		"no issuer":     func(c *session.Config) { c.Issuer = "" },
		"issuer query":  func(c *session.Config) { c.Issuer = "https://a.example?x" },
		"issuer scheme": func(c *session.Config) { c.Issuer = "ftp://a.example" },
		"HS256":         func(c *session.Config) { c.Algorithm = "HS256" },
		"ahead":         func(c *session.Config) { c.PublishAhead = session.JWKSMaxAge },
		"lifetime":      func(c *session.Config) { c.KeyLifetime = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			c := w.config
			change(&c)
			if _, err := session.New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// One thumbprint in 64 begins with a dash, and 'keys retire' would read it as
// a flag: such a key is drawn again.
func TestKIDsBeginWithNoDash(t *testing.T) {
	for _, algorithm := range []string{session.ES256, session.EdDSA} {
		w := newWorld(t, func(c *session.Config) { c.Algorithm = algorithm })
		for range 500 {
			w.store.keys = nil
			w.node(t)
			if kid := w.store.keys[0].KID; kid[0] == '-' {
				t.Fatalf("%s: %s", algorithm, kid)
			}
		}
	}
}
