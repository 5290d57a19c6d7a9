package attack_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"codeword/api"
	"codeword/test/testserver"
)

func b64(v any) string {
	raw, ok := v.([]byte)
	if !ok {
		raw, _ = json.Marshal(v) // maps of strings always encode
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// published is the key that the server publishes for its tokens.
func published(t *testing.T, e *testserver.Endpoint) jose.JSONWebKey {
	t.Helper()
	a, err := exchange(e, http.MethodGet, api.PathJWKS, http.NoBody, nil)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(a.body, &set); err != nil || len(set.Keys) == 0 {
		t.Fatalf("key set %s: %v", a.body, err)
	}
	for _, k := range set.Keys {
		if !k.IsPublic() {
			t.Fatal("a private key is published")
		}
	}
	return set.Keys[0]
}

// forgeries are tokens that a stranger can make of a good one, by name.
func forgeries(t *testing.T, good string, own jose.JSONWebKey, evil *issuer) map[string]string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(own.Key)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	asJWK, err := own.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	payload := claims(t, good)
	changed := func(change map[string]any) map[string]any {
		c := maps.Clone(payload)
		maps.Copy(c, change)
		return c
	}
	parts := strings.Split(good, ".")
	kid := func(id string) *jose.SignerOptions {
		return (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", id)
	}
	stranger := evil.key
	withKID := stranger
	withKID.KeyID = own.KeyID
	plain := func(alg, signature string) string {
		return b64(map[string]string{"alg": alg, "typ": "JWT", "kid": own.KeyID}) + "." + parts[1] + "." + signature
	}
	out := map[string]string{
		"none":                        plain("none", ""),
		"none, old signature":         plain("none", parts[2]),
		"nOnE":                        plain("nOnE", "AA"),
		"empty alg":                   plain("", parts[2]),
		"HS256 with the PEM":          sign(t, jose.HS256, asPEM, payload, kid(own.KeyID)),
		"HS256 with the DER":          sign(t, jose.HS256, der, payload, kid(own.KeyID)),
		"HS256 with the JWK":          sign(t, jose.HS256, asJWK, payload, kid(own.KeyID)),
		"HS512 with the PEM":          sign(t, jose.HS512, append(asPEM, make([]byte, 64)...), payload, kid(own.KeyID)),
		"stranger's key, our kid":     sign(t, jose.ES256, withKID, payload, nil),
		"stranger's key, foreign kid": sign(t, jose.ES256, stranger, payload, nil),
		"stranger's key, no kid":      sign(t, jose.ES256, stranger.Key, payload, nil),
		"kid as a path":               sign(t, jose.ES256, stranger.Key, payload, kid("../../../../dev/null")),
		"kid as SQL":                  sign(t, jose.ES256, stranger.Key, payload, kid("' OR '1'='1")),
		"embedded jwk":                sign(t, jose.ES256, withKID, payload, (&jose.SignerOptions{EmbedJWK: true}).WithType("JWT")),
		"jku":                         sign(t, jose.ES256, withKID, payload, (&jose.SignerOptions{}).WithType("JWT").WithHeader("jku", evil.url+"/jwks")),
		"x5u":                         sign(t, jose.ES256, withKID, payload, (&jose.SignerOptions{}).WithType("JWT").WithHeader("x5u", evil.url+"/jwks")),
		"stranger as issuer":          sign(t, jose.ES256, stranger, changed(map[string]any{"iss": evil.url}), nil),
		"zero signature":              plain("ES256", b64(make([]byte, 64))), // CVE-2022-21449
		"no signature":                parts[0] + "." + parts[1] + ".",
		"short signature":             good[:len(good)-8],
		"DER signature":               parts[0] + "." + parts[1] + "." + b64([]byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01}),
		"four parts":                  good + "." + parts[2],
		"two parts":                   parts[0] + "." + parts[1],
		"huge":                        strings.Repeat("a", 20<<10),
		"crit":                        b64(map[string]any{"alg": "ES256", "typ": "JWT", "kid": own.KeyID, "crit": []string{"b64"}, "b64": false}) + "." + parts[1] + "." + parts[2],
	}
	for name, change := range map[string]map[string]any{
		"another user":       {"sub": "user-test-00000000-0000-4000-8000-000000000000"},
		"a later end":        {"exp": int64(4102444800)},
		"another session":    {"sid": "00000000-0000-7000-8000-000000000000"},
		"two factors":        {"amr": []string{"mfa", "otp", "sms"}},
		"another audience":   {"aud": "client-test-00000000-0000-4000-8000-000000000000"},
		"a list of audience": {"aud": []any{payload["aud"], "x"}},
	} {
		out["payload with "+name] = parts[0] + "." + b64(changed(change)) + "." + parts[2]
	}
	return out
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	evil := newIssuer(t)
	other := callAs(t, s.Endpoint, s.CreateClient("other", false, ""))
	c := callAs(t, s.Endpoint, s.Test)
	good := c.mustSignIn(number(1))
	tokens := forgeries(t, good, published(t, s.Endpoint), evil)
	revoked := c.mustSignIn(number(2))
	if a := c.do(http.MethodPost, api.PathSessionRevoke, "", bearer(revoked)); a.status != http.StatusNoContent {
		t.Fatalf("revoke: %s", a)
	}
	tokens["revoked"] = revoked
	tokens["another client's"] = other.mustSignIn(number(3))
	tokens["a live client's"] = callAs(t, s.Endpoint, s.Live).mustSignIn(number(3))
	tokens["garbage"] = "garbage"
	tokens["a secret"] = s.Test.Secret

	id, code := c.mustStart(number(4))
	accepted, calls := 0, 0
	for name, token := range tokens {
		for what, a := range map[string]answer{
			"session":      c.session(token),
			"revoke":       c.do(http.MethodPost, api.PathSessionRevoke, "", bearer(token)),
			"send":         c.send(number(5), bearer(token)),
			"authenticate": c.authenticate(id, code, bearer(token)),
		} {
			calls++
			if name == "huge" && a.status == http.StatusRequestHeaderFieldsTooLarge {
				continue
			}
			if !a.is(http.StatusUnauthorized, api.CodeInvalidAuthorization) {
				accepted++
				t.Errorf("%s at %s: %s", name, what, a)
			}
		}
	}
	report(t, "forged-tokens", fmt.Sprintf("%d forged, stolen or revoked tokens at four endpoints", len(tokens)),
		"%d of %d accepted, %d keys fetched from the attacker", accepted, calls, evil.asked.Load())
	if n := evil.asked.Load(); n != 0 {
		t.Errorf("the server asked the attacker's key set %d times", n)
	}
	// Nothing was consumed or sent meanwhile, and a good token still works.
	if n := len(s.Inbox(number(5))); n != 0 {
		t.Errorf("%d messages sent under forged tokens", n)
	}
	if a := c.session(good); a.status != http.StatusOK {
		t.Errorf("the good token: %s", a)
	}
	c.mustAuthenticate(id, code)
}

func TestForgedIssuerTokens(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	idp, evil := newIssuer(t), newIssuer(t)
	c := callAs(t, s.Endpoint, s.CreateClient("federated", false, idp.settings()))
	if a := c.send(number(1), bearer(idp.token(t, "alice", nil))); a.status != http.StatusOK {
		t.Fatalf("a good token of the trusted issuer: %s", a)
	}
	good := idp.token(t, "alice", nil)
	parts := strings.Split(good, ".")
	der, err := x509.MarshalPKIXPublicKey(idp.key.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	evilKey := evil.key
	evilKey.KeyID = idp.key.KeyID
	tokens := map[string]string{
		"none":                 b64(map[string]string{"alg": "none", "kid": idp.key.KeyID}) + "." + parts[1] + ".",
		"HS256 with the DER":   sign(t, jose.HS256, der, idp.claims("alice", nil), (&jose.SignerOptions{}).WithHeader("kid", idp.key.KeyID)),
		"stranger's key":       sign(t, jose.ES256, evilKey, idp.claims("alice", nil), nil),
		"foreign kid":          sign(t, jose.ES256, evil.key, idp.claims("alice", nil), nil),
		"embedded jwk":         sign(t, jose.ES256, evilKey, idp.claims("alice", nil), &jose.SignerOptions{EmbedJWK: true}),
		"jku":                  sign(t, jose.ES256, evilKey, idp.claims("alice", nil), (&jose.SignerOptions{}).WithHeader("jku", evil.url+"/jwks")),
		"issuer not trusted":   evil.token(t, "alice", nil),
		"issuer with slash":    idp.token(t, "alice", map[string]any{"iss": idp.url + "/"}),
		"another audience":     idp.token(t, "alice", map[string]any{"aud": "somebody-else"}),
		"no audience":          idp.token(t, "alice", map[string]any{"aud": nil}),
		"expired":              idp.token(t, "alice", map[string]any{"exp": 1000}),
		"no end":               idp.token(t, "alice", map[string]any{"exp": nil}),
		"no subject":           idp.token(t, "", nil),
		"tampered":             parts[0] + "." + b64(idp.claims("bob", nil)) + "." + parts[2],
		"our issuer, idp key":  idp.token(t, "alice", map[string]any{"iss": s.URL}),
		"our issuer, our form": idp.token(t, "user-test-00000000-0000-4000-8000-000000000000", map[string]any{"iss": s.URL, "aud": c.cred.ID, "sid": "00000000-0000-7000-8000-000000000000"}),
	}
	accepted := 0
	for name, token := range tokens {
		a := c.send(number(2), bearer(token))
		expired := (name == "expired" || name == "no end") && a.is(http.StatusUnauthorized, api.CodeExpiredAuthorization)
		if !expired && !a.is(http.StatusUnauthorized, api.CodeInvalidAuthorization) {
			accepted++
			t.Errorf("%s: %s", name, a)
		}
	}
	// A client that does not trust the issuer takes none of its tokens.
	if a := callAs(t, s.Endpoint, s.Test).send(number(2), bearer(good)); !a.is(http.StatusUnauthorized, api.CodeInvalidAuthorization) {
		accepted++
		t.Errorf("at a client without that issuer: %s", a)
	}
	report(t, "forged-issuer-tokens", fmt.Sprintf("%d forged tokens of a trusted issuer", len(tokens)+1),
		"%d accepted, %d requests to the attacker", accepted, evil.asked.Load())
	if n := evil.asked.Load(); n != 0 {
		t.Errorf("the server asked the attacker %d times", n)
	}
	if a := c.send(number(2), bearer(good)); a.status != http.StatusOK {
		t.Errorf("the good token: %s", a)
	}
}
