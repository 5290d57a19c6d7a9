package session_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"codeword/internal/fault"
	"codeword/internal/session"
	"codeword/internal/store"
)

// ownKey digs out the key that signs, so that a test can forge with it.
func (w *world) ownKey(tb testing.TB) jose.JSONWebKey {
	tb.Helper()
	row := w.store.keys[len(w.store.keys)-1]
	plain, err := w.ring.Open(row.Sealed, []byte(row.KID))
	if err != nil {
		tb.Fatal(err)
	}
	var k jose.JSONWebKey
	if err := json.Unmarshal(plain, &k); err != nil {
		tb.Fatal(err)
	}
	return k
}

func sign(tb testing.TB, alg jose.SignatureAlgorithm, key any, claims any, opts *jose.SignerOptions) string {
	tb.Helper()
	if opts == nil {
		opts = (&jose.SignerOptions{}).WithType("JWT")
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func payloadOf(tb testing.TB, token string) map[string]any {
	tb.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		tb.Fatal(err)
	}
	var out map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		tb.Fatal(err)
	}
	for name, v := range out {
		if n, ok := v.(json.Number); ok {
			if out[name], err = n.Int64(); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return out
}

func TestVerifyOwn(t *testing.T) {
	for _, alg := range []string{session.ES256, session.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			w := newWorld(t, func(c *session.Config) { c.Algorithm = alg })
			client := newClient("client-a")
			s, token := w.signIn(t, client, nil)
			for range 2 { // fresh, then remembered
				p := w.mustVerify(t, client, token)
				if p.Session.ID != s.ID || p.UserID() != s.User || p.Binding() != store.Binding(s.ID[:]) || p.Subject != nil {
					t.Fatalf("principal %+v does not speak for %+v", p, s)
				}
				if !p.IssuedAt.Equal(start) || !p.ExpiresAt.Equal(start.Add(5*time.Minute)) {
					t.Fatalf("times %v, %v", p.IssuedAt, p.ExpiresAt)
				}
			}
			w.clock.Advance(5*time.Minute - time.Second)
			w.mustVerify(t, client, token)
			w.clock.Advance(time.Second)
			_, err := w.Verify(t.Context(), client, token)
			wantFault(t, err, fault.ExpiredAuthorization)
		})
	}
}

func TestForgeries(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	s, good := w.signIn(t, client, nil)
	own := w.ownKey(t)
	private := own.Key.(*ecdsa.PrivateKey)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	ownPublic, err := own.Public().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change func(map[string]any)) map[string]any {
		c := payloadOf(t, good)
		change(c)
		return c
	}
	same := claims(func(map[string]any) {})
	withKID := func(kid string) *jose.SignerOptions {
		return (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", kid)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	parts := strings.Split(good, ".")
	tampered := claims(func(c map[string]any) { c["sub"] = "user-test-" + uuid.NewString() })
	tamperedJSON, err := json.Marshal(tampered)
	if err != nil {
		t.Fatal(err)
	}
	other := newClient("client-b")
	_, others := w.signIn(t, other, nil)
	signed := func(change func(map[string]any)) string { return sign(t, jose.ES256, own, claims(change), nil) }

	for name, c := range map[string]struct {
		token string
		kind  fault.Kind
	}{
		"none":                  {b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + ".", 0},
		"none with a signature": {b64([]byte(`{"alg":"none","typ":"JWT","kid":"`+own.KeyID+`"}`)) + "." + parts[1] + "." + parts[2], 0},
		"NoNe":                  {b64([]byte(`{"alg":"NoNe","typ":"JWT","kid":"`+own.KeyID+`"}`)) + "." + parts[1] + ".AA", 0},
		"HS256 with public DER": {sign(t, jose.HS256, public, same, withKID(own.KeyID)), 0},
		"HS256 with public JWK": {sign(t, jose.HS256, ownPublic, same, withKID(own.KeyID)), 0},
		"stranger, our kid":     {sign(t, jose.ES256, stranger, same, withKID(own.KeyID)), 0},
		"stranger, own kid":     {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: strings.Repeat("a", 43)}, same, nil), 0},
		"no kid":                {sign(t, jose.ES256, private, same, nil), 0},
		"embedded jwk": {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: own.KeyID}, same,
			(&jose.SignerOptions{EmbedJWK: true}).WithType("JWT")), 0},
		"jku": {sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: own.KeyID}, same,
			(&jose.SignerOptions{}).WithType("JWT").WithHeader("jku", "https://evil.example/jwks")), 0},
		"typ":                {sign(t, jose.ES256, own, same, (&jose.SignerOptions{}).WithType("at+jwt")), 0},
		"crit":               {sign(t, jose.ES256, own, same, (&jose.SignerOptions{}).WithType("JWT").WithHeader("crit", []string{"x"})), 0},
		"tampered payload":   {parts[0] + "." + b64(tamperedJSON) + "." + parts[2], 0},
		"truncated":          {good[:len(good)-8], 0},
		"no signature":       {parts[0] + "." + parts[1] + ".", 0},
		"two parts":          {parts[0] + "." + parts[1], 0},
		"four parts":         {good + "." + parts[2], 0},
		"other client's":     {others, 0},
		"JSON serialization": {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, 0},
		"garbage":            {"garbage", 0},
		"empty":              {"", 0},
		"huge":               {strings.Repeat("a", session.MaxBearer+1), 0},
		"other's expired": {sign(t, jose.ES256, own, claims(func(c map[string]any) {
			c["aud"], c["exp"] = "client-b", start.Unix()-1
		}), nil), 0},
		"wrong iss":      {signed(func(c map[string]any) { c["iss"] = "https://codeword.example/" }), 0},
		"wrong aud":      {signed(func(c map[string]any) { c["aud"] = "client-b" }), 0},
		"aud list":       {signed(func(c map[string]any) { c["aud"] = []string{"client-a", "client-b"} }), 0},
		"live sub":       {signed(func(c map[string]any) { c["sub"] = "user-live-" + s.User.String() }), 0},
		"another's sid":  {signed(func(c map[string]any) { c["sub"] = "user-test-" + uuid.NewString() }), 0},
		"sid not a uuid": {signed(func(c map[string]any) { c["sid"] = "x" }), 0},
		"sid not canonical": {signed(func(c map[string]any) {
			c["sid"] = "{" + s.ID.String() + "}"
		}), 0},
		"unknown sid":  {signed(func(c map[string]any) { c["sid"] = uuid.NewString() }), 0},
		"exp absent":   {signed(func(c map[string]any) { delete(c, "exp") }), fault.ExpiredAuthorization},
		"exp now":      {signed(func(c map[string]any) { c["exp"] = start.Unix() }), fault.ExpiredAuthorization},
		"exp a string": {signed(func(c map[string]any) { c["exp"] = "9999999999" }), 0},
		"exp huge":     {signed(func(c map[string]any) { c["exp"] = 1e300 }), 0},
		"nbf future":   {signed(func(c map[string]any) { c["nbf"] = start.Unix() + 60 }), 0},
		"iat future":   {signed(func(c map[string]any) { c["iat"] = start.Unix() + 60 }), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if c.kind == 0 {
				c.kind = fault.InvalidAuthorization
			}
			for range 2 {
				p, err := w.Verify(t.Context(), client, c.token)
				if p != nil {
					t.Fatal("accepted")
				}
				wantFault(t, err, c.kind)
			}
		})
	}
	// The same tools make a good token, so the cases fail for their own reason.
	w.mustVerify(t, client, signed(func(map[string]any) {}))
	w.mustVerify(t, client, good)
}

// A key that somebody wrote into the store without the key ring is not trusted.
func TestPlantedKey(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, good := w.signIn(t, client, nil)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	planted := jose.JSONWebKey{Key: stranger.Public(), Algorithm: session.ES256, Use: "sig"}
	thumb, err := planted.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	planted.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	public, err := planted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	row := w.store.keys[0]
	row.KID, row.Public = planted.KeyID, public
	row.ActiveAt, row.RetireAt = start.Add(time.Hour), start.Add(48*time.Hour)
	w.store.keys = slices.Insert(w.store.keys, 0, row)
	if err := w.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	forged := sign(t, jose.ES256, jose.JSONWebKey{Key: stranger, KeyID: planted.KeyID}, payloadOf(t, good), nil)
	_, err = w.Verify(t.Context(), client, forged)
	wantFault(t, err, fault.InvalidAuthorization)
	if jwks, _ := w.JWKS(); strings.Contains(string(jwks), planted.KeyID) {
		t.Error("the planted key is published")
	}
	w.mustVerify(t, client, good)
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	far := w.node(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	p := w.mustVerify(t, client, token)
	if _, err := far.Verify(t.Context(), client, token); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Revoke(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		_, err := w.Verify(t.Context(), client, token)
		wantFault(t, err, fault.InvalidAuthorization)
	}
	w.clock.Advance(session.LivenessAge)
	_, err := far.Verify(t.Context(), client, token)
	wantFault(t, err, fault.InvalidAuthorization)

	wantFault(t, w.Revoke(t.Context(), &session.Principal{Subject: &session.Subject{}}), fault.InvalidAuthorization)
}

// A load that read the session before it was revoked must not bring it back.
func TestRevokeDuringLoad(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	p := w.mustVerify(t, client, token)
	w.clock.Advance(session.LivenessAge)

	read, revoked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.store.loaded = func() {
		once.Do(func() {
			close(read)
			<-revoked
		})
	}
	done := make(chan error)
	go func() {
		_, err := w.Verify(t.Context(), client, token)
		done <- err
	}()
	<-read
	if err := w.Revoke(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	close(revoked)
	if err := <-done; err != nil {
		t.Fatalf("a call that began before the revocation: %v", err)
	}
	_, err := w.Verify(t.Context(), client, token)
	wantFault(t, err, fault.InvalidAuthorization)
}

func TestRevokeRace(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	p := w.mustVerify(t, client, token)
	var callers sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := w.Verify(t.Context(), client, token); err != nil {
						wantKind(t, err, fault.InvalidAuthorization)
					}
				}
			}
		})
	}
	if err := w.Revoke(t.Context(), p); err != nil {
		t.Error(err)
	}
	for range 100 {
		if _, err := w.Verify(t.Context(), client, token); err == nil {
			t.Error("accepted after the revocation returned")
			break
		}
	}
	close(stop)
	callers.Wait()
}

func wantKind(tb testing.TB, err error, kind fault.Kind) {
	tb.Helper()
	if !fault.Is(err, kind) {
		tb.Errorf("error %v, want kind %d", err, kind)
	}
}

func TestLivenessIsRemembered(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	for range 10 {
		w.mustVerify(t, client, token)
		w.clock.Advance(session.LivenessAge / 10)
	}
	if loads, _ := w.store.counts(); loads != 1 {
		t.Errorf("%d loads within LivenessAge, want 1", loads)
	}
	w.mustVerify(t, client, token)
	if loads, _ := w.store.counts(); loads != 2 {
		t.Errorf("%d loads after LivenessAge, want 2", loads)
	}
	w.clock.Advance(session.LivenessAge)
	w.store.setDown(fault.New(fault.Unavailable, "down"))
	_, err := w.Verify(t.Context(), client, token)
	wantFault(t, err, fault.Unavailable)
}

func TestTouch(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	s, token := w.signIn(t, client, nil)
	idle := time.Duration(client.Settings.SessionIdle)

	w.clock.Advance(idle/20 - time.Second)
	w.mustVerify(t, client, token)
	if _, touches := w.store.counts(); touches != 0 {
		t.Fatalf("%d touches before one was due", touches)
	}
	w.clock.Advance(time.Second)
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			if _, err := w.Verify(t.Context(), client, token); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := w.mustVerify(t, client, token).Session.ExpiresAt; !got.Equal(w.clock.Now().Add(idle)) {
		t.Errorf("the session expires %v, want idle from now", got)
	}
	if got := w.store.sessions[s.ID].ExpiresAt; !got.Equal(w.clock.Now().Add(idle)) {
		t.Errorf("stored expiry %v", got)
	}
	// 16 callers may have loaded apart before one of them was remembered.
	w.mustVerify(t, client, token)
	_, before := w.store.counts()
	for range 5 {
		w.mustVerify(t, client, token)
	}
	if _, after := w.store.counts(); after != before {
		t.Errorf("touched again at once: %d, then %d", before, after)
	}
}

func TestTouchFailureIsNotTheCallers(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	w.clock.Advance(time.Minute - session.LivenessAge/2)
	w.mustVerify(t, client, token) // loads, touches
	w.clock.Advance(30 * time.Second)
	w.store.loaded = func() { w.store.setDown(nil) }
	w.mustVerify(t, client, token) // loads anew and touches
	_, before := w.store.counts()
	w.store.loaded = nil
	w.clock.Advance(session.LivenessAge / 2)
	// Shorter idle makes no touch due; a longer one does at once.
	client.Settings.SessionIdle *= 2
	w.store.setDown(fault.New(fault.Unavailable, "down"))
	w.mustVerify(t, client, token)
	w.mustVerify(t, client, token)
	if _, after := w.store.counts(); after != before+2 {
		t.Errorf("%d touches after a failure, want each call to try again", after-before)
	}
}

func TestSettingsChangeForgets(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	w.mustVerify(t, client, token)
	disowned := newClient("client-a")
	disowned.Live, disowned.Revision = true, 2
	_, err := w.Verify(t.Context(), disowned, token)
	wantFault(t, err, fault.InvalidAuthorization)
}

func BenchmarkVerifyHit(b *testing.B) {
	w := newWorld(b, func(c *session.Config) { c.Now = nil })
	w.config.Now = time.Now
	client := newClient("client-a")
	_, token := w.signIn(b, client, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Verify(b.Context(), client, token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	for _, alg := range []string{session.ES256, session.EdDSA} {
		b.Run(alg, func(b *testing.B) {
			w := newWorld(b, func(c *session.Config) { c.Algorithm = alg })
			client := newClient("client-a")
			s, _ := w.signIn(b, client, nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Mint(b.Context(), client, s, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
