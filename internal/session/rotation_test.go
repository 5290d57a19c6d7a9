package session_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

func kids(tb testing.TB, m *session.Manager) []string {
	tb.Helper()
	body, maxAge := m.JWKS()
	if maxAge != session.JWKSMaxAge {
		tb.Errorf("max age %v", maxAge)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		tb.Fatal(err)
	}
	var out []string
	for _, k := range set.Keys {
		if !k.IsPublic() || !k.Valid() || k.Use != "sig" || k.Algorithm == "" {
			tb.Errorf("published %+v", k)
		}
		out = append(out, k.KeyID)
	}
	return out
}

// outsider verifies like a well-behaved library: by a key set that it fetches
// again only when its copy is older than max-age.
type outsider struct {
	m       *session.Manager
	set     jose.JSONWebKeySet
	fetched time.Time
}

func (o *outsider) verify(tb testing.TB, token string, now time.Time) {
	tb.Helper()
	body, maxAge := o.m.JWKS()
	if now.Sub(o.fetched) >= maxAge {
		o.set, o.fetched = jose.JSONWebKeySet{}, now
		if err := json.Unmarshal(body, &o.set); err != nil {
			tb.Fatal(err)
		}
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := jws.Verify(&o.set); err != nil {
		tb.Fatalf("%v: a valid JWT fails for a verifier whose key set is %v old: %v", now, now.Sub(o.fetched), err)
	}
}

// A day of two nodes and their verifiers: whatever was minted on one node verifies
// everywhere until it expires, and the key set does not grow.
func TestRotationHasNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *session.Config) {
			c.Now, c.KeyLifetime, c.PublishAhead = time.Now, 2*time.Hour, 20*time.Minute
		})
		far := w.node(t)
		client := newClient("client-a", func(s *tenant.Settings) {
			s.TokenLifetime, s.SessionIdle = tenant.Duration(session.MaxTokenLifetime), tenant.Duration(30*24*time.Hour)
		})
		// Verifiers whose copies of the key set age in turn.
		out := []*outsider{{m: far}, {m: far}, {m: w.Manager}}
		type issued struct {
			jwt string
			at  time.Time
		}
		var tokens []issued
		signers := make(map[string]bool)
		for step := range 26 * 30 {
			_, jwt := w.signIn(t, client, nil)
			now := time.Now()
			tokens = append(tokens, issued{jwt, now})
			for now.Sub(tokens[0].at) >= session.MaxTokenLifetime {
				tokens = tokens[1:]
			}
			for _, i := range []int{0, len(tokens) / 2, len(tokens) - 1} {
				if _, err := far.Verify(t.Context(), client, tokens[i].jwt); err != nil {
					t.Fatalf("%v: a JWT of age %v: %v", now, now.Sub(tokens[i].at), err)
				}
				for _, o := range out[:min(step+1, len(out))] {
					o.verify(t, tokens[i].jwt, now)
				}
			}
			header, _, _ := strings.Cut(jwt, ".")
			signers[header] = true
			time.Sleep(2 * time.Minute)
			// In whatever order the nodes get to it.
			for _, m := range []*session.Manager{far, w.Manager} {
				if err := m.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(kids(t, far)); n == 0 || n > 16 {
				t.Fatalf("%d keys published", n)
			}
			if n := len(w.store.keys); n > 16 {
				t.Fatalf("%d keys kept", n)
			}
		}
		if n := len(signers); n < 12 || n > 14 {
			t.Errorf("%d keys signed in 26 hours, want one for each two", n)
		}
	})
}

func TestRunRotatesAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *session.Config) {
			c.Now, c.KeyLifetime, c.PublishAhead = time.Now, time.Hour, 20*time.Minute
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		first := kids(t, w.Manager)
		time.Sleep(41 * time.Minute)
		synctest.Wait()
		if got := kids(t, w.Manager); len(got) != 2 {
			t.Errorf("published %v before the first key's end, want the next one too", got)
		}
		w.store.setDown(fault.New(fault.Unavailable, "down"))
		time.Sleep(10 * time.Minute)
		if _, jwt := w.signIn(t, newClient("client-a"), nil); jwt == "" {
			t.Error("no JWT while the store is down")
		}
		w.store.setDown(nil)
		time.Sleep(26 * time.Hour)
		synctest.Wait()
		for _, kid := range kids(t, w.Manager) {
			if kid == first[0] {
				t.Error("the first key is still published")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestWithdrawnWithinASecond: a key that one node withdraws is refused, and the one
// that takes its place known, on all the others within a second, whatever they
// remember.
func TestWithdrawnWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *session.Config) { c.Now = time.Now })
		far := w.node(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- far.Run(ctx) }()
		time.Sleep(1234 * time.Millisecond)
		client := newClient("client-a")
		_, before := w.signIn(t, client, nil)
		if _, err := far.Verify(t.Context(), client, before); err != nil {
			t.Fatal(err)
		}
		keys, err := w.ListKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Retire(t.Context(), audittest.Operator, keys[0].KID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		_, err = far.Verify(t.Context(), client, before)
		wantFault(t, err, fault.InvalidAuthorization)
		_, after := w.signIn(t, client, nil)
		loads := w.store.loadsOfKeys()
		if _, err := far.Verify(t.Context(), client, after); err != nil {
			t.Errorf("a JWT of the key that took over: %v", err)
		}
		if w.store.loadsOfKeys() != loads {
			t.Error("the node had to ask for the key")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestOperator(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	states := func() string {
		t.Helper()
		list, err := w.ListKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, k := range list {
			out = append(out, string(k.State))
		}
		return strings.Join(out, " ")
	}
	want := func(s string) {
		t.Helper()
		if got := states(); got != s {
			t.Fatalf("keys are %q, want %q", got, s)
		}
	}
	want("active")
	next, err := w.RotateNow(t.Context(), audittest.Operator, false)
	if err != nil || next.State != session.KeyNext || !next.ActiveAt.Equal(start.Add(time.Hour)) {
		t.Fatalf("%+v, %v", next, err)
	}
	want("active next")
	if again, err := w.RotateNow(t.Context(), audittest.Operator, false); err != nil || again.KID != next.KID {
		t.Fatalf("a second rotation: %+v, %v", again, err)
	}
	w.clock.Advance(time.Hour)
	want("retiring active")
	_, token2 := w.signIn(t, client, nil)

	// The active key leaked: a new one signs at once, and its JWTs are void.
	far := w.node(t)
	if _, err := far.Verify(t.Context(), client, token2); err != nil {
		t.Fatal(err)
	}
	if err := w.Retire(t.Context(), audittest.Operator, next.KID); err != nil {
		t.Fatal(err)
	}
	want("retiring retired active")
	_, err = w.Verify(t.Context(), client, token2)
	wantFault(t, err, fault.InvalidAuthorization)
	if err := far.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = far.Verify(t.Context(), client, token2)
	wantFault(t, err, fault.InvalidAuthorization)
	_, token3 := w.signIn(t, client, nil)
	w.mustVerify(t, client, token3)

	// A node that has not seen the new key yet learns of it from the JWT.
	immediate, err := w.RotateNow(t.Context(), audittest.Operator, true)
	if err != nil || immediate.State != session.KeyActive {
		t.Fatalf("%+v, %v", immediate, err)
	}
	w.clock.Advance(time.Second)
	_, token4 := w.signIn(t, client, nil)
	if _, err := far.Verify(t.Context(), client, token4); err != nil {
		t.Errorf("another node: %v", err)
	}
	wantFault(t, w.Retire(t.Context(), audittest.Operator, "unknown"), fault.NotFound)

	w.clock.Advance(50 * time.Hour)
	if err := w.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("active")
	_, err = w.Verify(t.Context(), client, token)
	wantFault(t, err, fault.InvalidAuthorization)
}

func TestRetireNextKey(t *testing.T) {
	w := newWorld(t)
	next, err := w.RotateNow(t.Context(), audittest.Operator, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Retire(t.Context(), audittest.Operator, next.KID); err != nil {
		t.Fatal(err)
	}
	client := newClient("client-a")
	for range 4 {
		_, jwt := w.signIn(t, client, nil)
		w.mustVerify(t, client, jwt)
		for _, kid := range kids(t, w.Manager) {
			if kid == next.KID {
				t.Fatal("a withdrawn key is published")
			}
		}
		w.clock.Advance(time.Hour)
		if err := w.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAlgorithmChange(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a", func(s *tenant.Settings) {
		s.TokenLifetime, s.SessionIdle = tenant.Duration(time.Hour*24), tenant.Duration(time.Hour*24)
	})
	_, token := w.signIn(t, client, nil)
	w.config.Algorithm = session.EdDSA
	ed := w.node(t)
	for range 5 { // nodes that disagree do not make keys without end
		if err := w.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ed.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.store.keys); n != 2 {
		t.Fatalf("%d keys", n)
	}
	w.clock.Advance(time.Hour)
	w.Manager = ed
	_, token2 := w.signIn(t, client, nil)
	if !strings.Contains(string(ed.OpenIDConfiguration()), `["ES256","EdDSA"]`) {
		t.Errorf("discovery %s", ed.OpenIDConfiguration())
	}
	w.mustVerify(t, client, token)
	w.mustVerify(t, client, token2)
}

// go-oidc knows nothing of this package: discovery, key set and JWT must do.
func TestIndependentVerifier(t *testing.T) {
	for _, alg := range []string{session.ES256, session.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			var m *session.Manager
			mux := http.NewServeMux()
			serve := func(body func() []byte) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write(body())
				}
			}
			mux.Handle("GET /.well-known/openid-configuration", serve(func() []byte { return m.OpenIDConfiguration() }))
			mux.Handle("GET /.well-known/jwks.json", serve(func() []byte { body, _ := m.JWKS(); return body }))
			server := httptest.NewServer(mux)
			defer server.Close()
			w := newWorld(t, func(c *session.Config) { c.Issuer, c.Algorithm, c.Now = server.URL, alg, time.Now })
			m = w.Manager

			provider, err := oidc.NewProvider(t.Context(), server.URL)
			if err != nil {
				t.Fatal(err)
			}
			verifier := provider.Verifier(&oidc.Config{ClientID: "client-a"})
			s, first := w.signIn(t, newClient("client-a"), nil)
			if _, err := w.RotateNow(t.Context(), audittest.Operator, true); err != nil {
				t.Fatal(err)
			}
			_, second := w.signIn(t, newClient("client-a"), nil)
			for _, jwt := range []string{first, second, first} {
				token, err := verifier.Verify(t.Context(), jwt)
				if err != nil {
					t.Fatal(err)
				}
				if jwt == first && token.Subject != "user-test-"+s.User.String() {
					t.Errorf("subject %q", token.Subject)
				}
			}
			_, other := w.signIn(t, newClient("client-b"), nil)
			if _, err := verifier.Verify(t.Context(), other); err == nil {
				t.Error("another client's JWT verifies")
			}
		})
	}
}

// TestOperatorsAreRecorded: what an operator does to the signing keys leaves entries,
// what the rotation does leaves none, and nothing is done that cannot be recorded.
func TestOperatorsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // makes the first key
	first := w.store.keys[0].KID
	told := func(want ...string) {
		t.Helper()
		got := w.trail.Take()
		if len(got) != len(want) {
			t.Fatalf("%d entries, want %q", len(got), want)
		}
		for i, e := range got {
			if text := e.Kind + " " + string(e.Data); text != want[i] || e.Actor != audittest.Operator || e.Client != "" {
				t.Errorf("%s by %s, want %s", text, e.Actor, want[i])
			}
		}
	}
	told()
	w.trail.Fail(fault.New(fault.Unavailable, "down"), 0)
	if _, err := w.RotateNow(t.Context(), audittest.Operator, true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	wantFault(t, w.Retire(t.Context(), audittest.Operator, first), fault.Unavailable)
	if keys := w.store.keys; len(keys) != 1 || !keys[0].RetireAt.IsZero() {
		t.Errorf("changed to %+v", keys)
	}
	w.trail.Fail(nil, 0)

	next, err := w.RotateNow(t.Context(), audittest.Operator, false)
	if err != nil {
		t.Fatal(err)
	}
	told(`keys.rotate {"purpose":"signing","key":"` + next.KID + `","activeTime":"2026-03-01T13:00:00Z"}`)
	if _, err := w.RotateNow(t.Context(), audittest.Operator, false); err != nil { // changes nothing
		t.Fatal(err)
	}
	wantFault(t, w.Retire(t.Context(), audittest.Operator, "unknown"), fault.NotFound)
	told()
	if err := w.Retire(t.Context(), audittest.Operator, first); err != nil {
		t.Fatal(err)
	}
	keys := w.store.keys
	told(`keys.retire {"purpose":"signing","key":"`+first+`"}`,
		`keys.rotate {"purpose":"signing","key":"`+keys[len(keys)-1].KID+`","activeTime":"2026-03-01T12:00:00Z"}`)
}

// overtaken is a store in which somebody else adds a key first.
type overtaken struct {
	*memory

	first func()
}

func (o *overtaken) AddSigningKey(ctx context.Context, key store.SigningKey, after string) error {
	if first := o.first; first != nil {
		o.first = nil
		first()
	}
	return o.memory.AddSigningKey(ctx, key, after)
}

// TestTwoOperatorsRotate: of two at one time both are told the key that one has published.
func TestTwoOperatorsRotate(t *testing.T) {
	t.Parallel()
	o := &overtaken{}
	w := newWorld(t, func(c *session.Config) {
		o.memory, _ = c.KeyStore.(*memory)
		c.KeyStore = o
	})
	for _, immediate := range []bool{false, true} {
		var first session.KeyInfo
		o.first = func() {
			var err error
			if first, err = w.RotateNow(t.Context(), audittest.Operator, immediate); err != nil {
				t.Error(err)
			}
		}
		keys := len(w.store.keys)
		second, err := w.RotateNow(t.Context(), audittest.Operator, immediate)
		switch {
		case immediate: // whoever wants a key of his own has to know that he got none
			wantFault(t, err, fault.Conflict)
		case err != nil || second.KID != first.KID || second.State != session.KeyNext:
			t.Errorf("%+v, %v, want %+v", second, err, first)
		}
		if len(w.store.keys) != keys+1 {
			t.Errorf("%d keys, then %d", keys, len(w.store.keys))
		}
	}
}
