// Package logintest is an OpenID provider whose answers tests choose.
package logintest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the issuer knows its client by.
const (
	ClientID     = "codeword-console"
	ClientSecret = "a secret of the client, of 32 bytes and more: % & +"
	kid          = "key-1"
)

// Issuer is a running provider. Its fields may be changed between requests.
type Issuer struct {
	URL string
	// User are the claims of who is logged in there; nil for nobody.
	User map[string]any
	// Token changes the claims of an id token before it is signed.
	Token func(claims map[string]any)
	// Sign makes an id token of claims; nil for an honest one.
	Sign func(claims map[string]any) string
	// Info are the claims of userinfo; nil for none.
	Info map[string]any
	// Describe changes the discovery document.
	Describe func(document map[string]any)
	// Down makes it answer 503 to all.
	Down bool
	// Answer, when it is not nil, answers the token endpoint.
	Answer http.HandlerFunc
	// Asked counts requests by path.
	Asked map[string]int

	mu    sync.Mutex
	now   func() time.Time
	key   *ecdsa.PrivateKey
	codes map[string]request
}

type request struct{ nonce, challenge, redirect string }

// Start runs an issuer until the test ends.
func Start(tb testing.TB, now func() time.Time) *Issuer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	i := &Issuer{now: now, key: key, codes: map[string]request{}, Asked: map[string]int{}}
	i.User = map[string]any{"sub": "alice-1", "email": "alice@example.com", "email_verified": true, "groups": []string{"everybody", "sms-operators"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("GET /userinfo", i.userinfo)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.Asked[r.URL.Path]++
		if i.Down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(ts.Close)
	i.URL = ts.URL
	return i
}

// With changes the issuer while nobody is asking it.
func (i *Issuer) With(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func write(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(document); err != nil {
		panic(http.ErrAbortHandler) // whoever asked is gone
	}
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer": i.URL, "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token",
		"jwks_uri": i.URL + "/keys", "userinfo_endpoint": i.URL + "/userinfo",
		"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"},
		"id_token_signing_alg_values_supported": []string{"ES256", "none", "HS256"}, "subject_types_supported": []string{"public"},
		"scopes_supported": []string{"openid", "profile", "email"}, "claims_supported": []string{"sub", "groups"},
		"authorization_response_iss_parameter_supported": true,
	}
	if i.Describe != nil {
		i.Describe(document)
	}
	write(w, http.StatusOK, document)
}

// authorize is what a person sees who is logged in already: a redirect.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "no good request", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": {q.Get("state")}, "iss": {i.URL}}
	if i.User == nil {
		answer.Set("error", "login_required")
	} else {
		code := rand.Text()
		i.codes[code] = request{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
		answer.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	if i.Answer != nil {
		i.Answer(w, r)
		return
	}
	id, secret, ok := r.BasicAuth()
	if ok { // both are escaped, RFC 6749 section 2.3.1
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	if id != ClientID || secret != ClientSecret {
		write(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	asked, known := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.challenge || r.PostFormValue("redirect_uri") != asked.redirect {
		write(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	now := i.now()
	claims := map[string]any{"iss": i.URL, "aud": ClientID, "nonce": asked.nonce, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for name, value := range i.User {
		claims[name] = value
	}
	if i.Token != nil {
		i.Token(claims)
	}
	sign := i.Sign
	if sign == nil {
		sign = func(claims map[string]any) string { return Signed(jose.ES256, i.key, kid, claims) }
	}
	write(w, http.StatusOK, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": sign(claims)})
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	write(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"}}})
}

func (i *Issuer) userinfo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer access" || i.Info == nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	write(w, http.StatusOK, i.Info)
}

// PublicKey is the issuer's key as those have it who want to pass for the issuer.
func (i *Issuer) PublicKey() *ecdsa.PublicKey { return &i.key.PublicKey }

// Signed is a JWT of claims. It panics when the key cannot sign so.
func Signed(alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(err)
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		panic(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}
