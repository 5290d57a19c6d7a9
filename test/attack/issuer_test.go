package attack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const issuerAudience = "codeword-test"

// issuer is an OpenID provider that a client trusts.
type issuer struct {
	url string
	key jose.JSONWebKey
	// asked counts the requests for anything.
	asked atomic.Int64
}

func newKey(t *testing.T, kid string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(jose.ES256), Use: "sig"}
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	p := &issuer{key: newKey(t, "idp-1")}
	mux := http.NewServeMux()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.url, "jwks_uri": p.url + "/jwks", "authorization_endpoint": p.url + "/a", "token_endpoint": p.url + "/t",
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.Public()}})
	})
	return p
}

// settings makes a client trust the issuer.
func (p *issuer) settings() string {
	return fmt.Sprintf(`{"trustedIssuers":[{"issuer":%q,"audience":%q}]}`, p.url, issuerAudience)
}

func (p *issuer) claims(subject string, change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{"iss": p.url, "aud": issuerAudience, "sub": subject, "iat": now, "exp": now + 300}
	maps.Copy(c, change)
	return c
}

// token is an ID token for a subject, with some claims changed.
func (p *issuer) token(t *testing.T, subject string, change map[string]any) string {
	t.Helper()
	return sign(t, jose.ES256, p.key, p.claims(subject, change), nil)
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key, claims any, opts *jose.SignerOptions) string {
	t.Helper()
	if opts == nil {
		opts = (&jose.SignerOptions{}).WithType("JWT")
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
