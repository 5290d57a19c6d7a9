package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"codeword/internal/fault"
	"codeword/internal/session"
	"codeword/internal/tenant"
)

// provider is an OpenID provider that can be told to misbehave.
type provider struct {
	server *httptest.Server
	key    jose.JSONWebKey
	fetches,
	discoveries atomic.Int64

	mu        sync.Mutex
	keys      []any
	jwks      http.HandlerFunc // replaces the key set
	discovery http.HandlerFunc
}

func newProvider(tb testing.TB) *provider {
	tb.Helper()
	i := &provider{}
	i.rotate(tb, "k1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		i.discoveries.Add(1)
		i.mu.Lock()
		h := i.discovery
		i.mu.Unlock()
		if h != nil {
			h(w, r)
			return
		}
		writeJSON(w, map[string]any{"issuer": i.url(), "jwks_uri": i.url() + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		i.mu.Lock()
		h, keys := i.jwks, i.keys
		i.mu.Unlock()
		if h != nil {
			h(w, r)
			return
		}
		writeJSON(w, map[string]any{"keys": keys})
	})
	i.server = httptest.NewServer(mux)
	tb.Cleanup(i.server.Close)
	return i
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

func (i *provider) url() string { return i.server.URL }

// rotate replaces the key.
func (i *provider) rotate(tb testing.TB, kid string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: "ES256", Use: "sig"}
	i.keys = []any{i.key.Public()}
}

func (i *provider) set(f func(*provider)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

func (i *provider) trusted(s *tenant.Settings) {
	s.TrustedIssuers = append(s.TrustedIssuers, tenant.TrustedIssuer{Issuer: i.url(), Audience: "our-app"})
}

func (i *provider) claims(change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": i.url(), "sub": "alice", "aud": "our-app",
		"iat": start.Unix(), "exp": start.Add(time.Hour).Unix(), "jti": uuid.NewString(),
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (i *provider) token(tb testing.TB, change ...func(map[string]any)) string {
	tb.Helper()
	return sign(tb, jose.ES256, i.key, i.claims(change...), nil)
}

func newFederation(tb testing.TB, change ...func(*tenant.Settings)) (*world, *provider, *tenant.Client) {
	tb.Helper()
	i := newProvider(tb)
	w := newWorld(tb)
	return w, i, newClient("client-a", append([]func(*tenant.Settings){i.trusted}, change...)...)
}

func TestForeign(t *testing.T) {
	w, idp, client := newFederation(t)
	p := w.mustVerify(t, client, idp.token(t))
	if p.Subject == nil || p.Subject.Issuer != idp.url() || p.Subject.Subject != "alice" || !p.ExpiresAt.Equal(start.Add(time.Hour)) {
		t.Fatalf("principal %+v", p)
	}
	user := uuid.UUID(p.UserID())
	if user.Version() != 8 || user.Variant() != uuid.RFC4122 {
		t.Errorf("user id %v is no UUIDv8", user)
	}
	if len(p.Binding()) != 32 {
		t.Errorf("binding of %d bytes", len(p.Binding()))
	}
	same := w.mustVerify(t, client, idp.token(t))
	if same.UserID() != p.UserID() || same.Binding() != p.Binding() {
		t.Error("the same subject is another user")
	}
	bob := w.mustVerify(t, client, idp.token(t, func(c map[string]any) { c["sub"] = "bob" }))
	elsewhere := w.mustVerify(t, newClient("client-b", idp.trusted), idp.token(t))
	for name, q := range map[string]*session.Principal{"subject": bob, "client": elsewhere} {
		if q.UserID() == p.UserID() || q.Binding() == p.Binding() {
			t.Errorf("another %s is the same user", name)
		}
	}
	// The user outlives a rotation of the index key.
	rotated, err := w.ring.Rotate("index")
	if err != nil {
		t.Fatal(err)
	}
	w.config.Keys = rotated
	later, err := w.node(t).Verify(t.Context(), client, idp.token(t))
	if err != nil || later.UserID() != p.UserID() {
		t.Errorf("after a rotation the user is %v, want %v (%v)", later, p.UserID(), err)
	}
	if n := idp.fetches.Load(); n != 2 { // one a node
		t.Errorf("%d fetches of the key set", n)
	}
}

func TestForeignRefusals(t *testing.T) {
	w, idp, client := newFederation(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(idp.key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	with := func(k string, v any) func(map[string]any) { return func(c map[string]any) { c[k] = v } }
	hs := func(key []byte) string {
		return sign(t, jose.HS256, key, idp.claims(), (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "k1"))
	}
	for name, c := range map[string]struct {
		token string
		kind  fault.Kind
	}{
		"aud":              {idp.token(t, with("aud", "other-app")), fault.InvalidAuthorization},
		"no aud":           {idp.token(t, func(c map[string]any) { delete(c, "aud") }), fault.InvalidAuthorization},
		"iss unknown":      {idp.token(t, with("iss", "https://unknown.example")), fault.InvalidAuthorization},
		"iss with slash":   {idp.token(t, with("iss", idp.url()+"/")), fault.InvalidAuthorization},
		"iss ours":         {idp.token(t, with("iss", "https://codeword.example")), fault.InvalidAuthorization},
		"no sub":           {idp.token(t, func(c map[string]any) { delete(c, "sub") }), fault.InvalidAuthorization},
		"sub too long":     {idp.token(t, with("sub", strings.Repeat("a", 256))), fault.InvalidAuthorization},
		"sub a number":     {idp.token(t, with("sub", 7)), fault.InvalidAuthorization},
		"expired":          {idp.token(t, with("exp", start.Unix()-1)), fault.ExpiredAuthorization},
		"expires now":      {idp.token(t, with("exp", start.Unix())), fault.ExpiredAuthorization},
		"nbf":              {idp.token(t, with("nbf", start.Add(time.Hour).Unix())), fault.InvalidAuthorization},
		"expired forgery":  {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "k1"}, idp.claims(with("exp", 1)), nil), fault.InvalidAuthorization},
		"stranger":         {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "k1"}, idp.claims(), nil), fault.InvalidAuthorization},
		"stranger, no kid": {sign(t, jose.ES256, stranger, idp.claims(), nil), fault.InvalidAuthorization},
		"unknown kid":      {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: "zz"}, idp.claims(), nil), fault.InvalidAuthorization},
		"HS256 public DER": {hs(public), fault.InvalidAuthorization},
		"claim sources":    {idp.token(t, with("_claim_names", map[string]string{"x": "src"})), fault.InvalidAuthorization},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := w.Verify(t.Context(), client, c.token)
			if p != nil {
				t.Fatal("accepted")
			}
			wantFault(t, err, c.kind)
		})
	}
	w.mustVerify(t, client, idp.token(t))
	if n := idp.fetches.Load(); n > 2 {
		t.Errorf("%d fetches: bad tokens make us ask the issuer each time", n)
	}
}

// Unknown kids are looked up once in a while, not once a token; a rotated key
// is then found.
func TestForeignKeyRotation(t *testing.T) {
	w, idp, client := newFederation(t)
	old := idp.token(t)
	w.mustVerify(t, client, old)
	idp.rotate(t, "k2")
	fresh := idp.token(t)
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			_, err := w.Verify(t.Context(), client, fresh)
			wantKind(t, err, fault.InvalidAuthorization) // asked a moment ago
		})
	}
	callers.Wait()
	if n := idp.fetches.Load(); n != 1 {
		t.Fatalf("%d fetches, want 1", n)
	}
	w.clock.Advance(time.Minute)
	for range 50 {
		callers.Go(func() {
			if _, err := w.Verify(t.Context(), client, fresh); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if n := idp.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	w.mustVerify(t, client, old) // remembered
	w.clock.Advance(session.ForeignAge)
	_, err := w.Verify(t.Context(), client, old)
	wantFault(t, err, fault.InvalidAuthorization)
}

func TestForeignIssuerDown(t *testing.T) {
	w, idp, client := newFederation(t)
	broken := func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusBadGateway) }
	idp.set(func(i *provider) { i.jwks = broken })
	token := idp.token(t)
	var e *fault.Error
	for range 20 {
		_, err := w.Verify(t.Context(), client, token)
		wantFault(t, err, fault.Unavailable)
		if !errors.As(err, &e) || e.RetryAfter <= 0 || e.RetryAfter > 10*time.Second {
			t.Fatalf("RetryAfter %v", e.RetryAfter)
		}
	}
	if n := idp.fetches.Load(); n != 1 {
		t.Errorf("%d fetches of a broken issuer", n)
	}
	idp.set(func(i *provider) { i.jwks = nil })
	w.clock.Advance(e.RetryAfter)
	w.mustVerify(t, client, token)

	// Down again: what is known goes on working for a while, then no more.
	idp.set(func(i *provider) { i.jwks = broken })
	w.clock.Advance(30 * time.Minute)
	w.mustVerify(t, client, idp.token(t))
	w.clock.Advance(29*time.Minute + 50*time.Second)
	w.mustVerify(t, client, idp.token(t, func(c map[string]any) { c["exp"] = start.Add(3 * time.Hour).Unix() }))
	w.clock.Advance(time.Minute)
	_, err := w.Verify(t.Context(), client, idp.token(t, func(c map[string]any) { c["exp"] = start.Add(3 * time.Hour).Unix() }))
	wantFault(t, err, fault.Unavailable)
}

func TestForeignHostileDocuments(t *testing.T) {
	rsaSmall, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(strings.Repeat("s", 32))
	oct := map[string]any{"kty": "oct", "k": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M", "kid": "k1", "alg": "HS256"}
	raw := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(s))
		}
	}
	document := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, v) }
	}
	set := func(keys ...any) http.HandlerFunc { return document(map[string]any{"keys": keys}) }
	for name, c := range map[string]struct {
		jwks, discovery http.HandlerFunc
	}{
		"huge":               {jwks: raw(`{"keys":["` + strings.Repeat("a", 1<<20) + `"]}`)},
		"not JSON":           {jwks: raw("<html>")},
		"empty":              {jwks: raw("")},
		"null":               {jwks: raw("null")},
		"keys a string":      {jwks: raw(`{"keys":"k"}`)},
		"no keys":            {jwks: set()},
		"nulls":              {jwks: set(nil, 7, "x", map[string]any{})},
		"deep":               {jwks: raw(`{"keys":` + strings.Repeat("[", 100000))},
		"symmetric only":     {jwks: set(oct)},
		"small RSA":          {jwks: set(jose.JSONWebKey{Key: rsaSmall.Public(), KeyID: "k1"})},
		"point off curve":    {jwks: set(map[string]any{"kty": "EC", "crv": "P-256", "kid": "k1", "x": "AQ", "y": "AQ"})},
		"redirect":           {jwks: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys2", http.StatusFound) }},
		"private addresses":  {discovery: document(map[string]any{"issuer": "SELF", "jwks_uri": "http://169.254.169.254/keys"})},
		"file":               {discovery: document(map[string]any{"issuer": "SELF", "jwks_uri": "file:///etc/passwd"})},
		"no jwks_uri":        {discovery: document(map[string]any{"issuer": "SELF"})},
		"other issuer":       {discovery: document(map[string]any{"issuer": "https://other.example", "jwks_uri": "https://other.example/keys"})},
		"discovery huge":     {discovery: raw(strings.Repeat(" ", 1<<20) + "{}")},
		"discovery redirect": {discovery: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/d", http.StatusMovedPermanently) }},
	} {
		t.Run(name, func(t *testing.T) {
			w, idp, client := newFederation(t)
			idp.set(func(i *provider) {
				i.jwks = c.jwks
				if c.discovery != nil {
					i.discovery = func(rw http.ResponseWriter, r *http.Request) {
						rec := httptest.NewRecorder()
						c.discovery(rec, r)
						for k, v := range rec.Header() {
							rw.Header()[k] = v
						}
						rw.WriteHeader(rec.Code)
						_, _ = rw.Write([]byte(strings.ReplaceAll(rec.Body.String(), "SELF", idp.url())))
					}
				}
			})
			_, err := w.Verify(t.Context(), client, idp.token(t))
			wantFault(t, err, fault.Unavailable)
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	t.Run("symmetric beside a good one", func(t *testing.T) {
		w, idp, client := newFederation(t)
		client.Settings.TrustedIssuers[0].Algorithms = []string{"ES256"}
		idp.set(func(i *provider) { i.keys = append([]any{oct, map[string]any{"kty": "new"}}, i.keys...) })
		_, err := w.Verify(t.Context(), client,
			sign(t, jose.HS256, jose.JSONWebKey{Key: secret, KeyID: "k1"}, idp.claims(), nil))
		wantFault(t, err, fault.InvalidAuthorization)
		w.mustVerify(t, client, idp.token(t))
	})
}

// silent is a peer that takes the request and never answers.
type silent struct{ asked atomic.Int64 }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestForeignSlowIssuer(t *testing.T) {
	idp := newProvider(t)
	token := idp.token(t)
	synctest.Test(t, func(t *testing.T) {
		peer := &silent{}
		w := newWorld(t, func(c *session.Config) { c.HTTPClient, c.Now = &http.Client{Transport: peer}, time.Now })
		client := newClient("client-a", idp.trusted)
		began := time.Now()
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				_, err := w.Verify(t.Context(), client, token)
				wantKind(t, err, fault.Unavailable)
			})
		}
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := w.Verify(hurried, client, token)
		wantFault(t, err, fault.Unavailable)
		if took := time.Since(began); took != time.Second {
			t.Errorf("a caller with a second to wait waited %v", took)
		}
		callers.Wait()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("waited %v for a silent issuer", took)
		}
		_, err = w.Verify(t.Context(), client, token) // at once
		wantFault(t, err, fault.Unavailable)
		if n := peer.asked.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

func TestForeignPinning(t *testing.T) {
	w, idp, _ := newFederation(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs := jose.JSONWebKey{Key: rsaKey, KeyID: "r1"}
	idp.set(func(i *provider) { i.keys = append(i.keys, rs.Public()) })
	trust := func(algs ...string) *tenant.Client {
		c := newClient("client-" + strings.ToLower(strings.Join(algs, "-")))
		c.Settings.TrustedIssuers = []tenant.TrustedIssuer{{
			Issuer: idp.url(), Audience: "our-app", Algorithms: algs, JWKSURL: idp.url() + "/keys",
		}}
		return c
	}
	es, rs256, ps256 := idp.token(t), sign(t, jose.RS256, rs, idp.claims(), nil), sign(t, jose.PS256, rs, idp.claims(), nil)
	for name, c := range map[string]struct {
		client *tenant.Client
		token  string
		good   bool
	}{
		"default, ES256":    {trust(), es, true},
		"default, RS256":    {trust(), rs256, true},
		"default, PS256":    {trust(), ps256, false},
		"pinned ES, ES256":  {trust("ES256"), es, true},
		"pinned ES, RS256":  {trust("ES256"), rs256, false},
		"pinned PS, PS256":  {trust("PS256"), ps256, true},
		"pinned PS, RS256":  {trust("PS256"), rs256, false},
		"pinned EdDSA, ES":  {trust("EdDSA"), es, false},
		"no trusted issuer": {newClient("client-z"), es, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Verify(t.Context(), c.client, c.token)
			if c.good && err != nil {
				t.Error(err)
			} else if !c.good {
				wantFault(t, err, fault.InvalidAuthorization)
			}
		})
	}
	if n := idp.discoveries.Load(); n != 0 {
		t.Errorf("%d discoveries although the key set's address is given", n)
	}
}
