package session

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// signingKey is a key as this node uses it. The public half is derived from the
// sealed private one and the KID is its thumbprint, so that whoever can write
// to the store, but lacks the key ring, cannot plant a key that is trusted.
type signingKey struct {
	row    store.SigningKey
	public jose.JSONWebKey
	// header is the encoded JOSE header with its dot: the same for all JWTs.
	header string
	sign   func(input []byte) ([]byte, error)
}

// published reports whether the key is in the key set, and so trusted.
func (k *signingKey) published(now time.Time) bool {
	return k.row.RetireAt.IsZero() || k.row.RetireAt.After(now)
}

// ring is the state of all keys at one load; immutable.
type ring struct {
	keys  []*signingKey // oldest first
	byKID map[string]*signingKey
	// rows are what it was built of, and published how many of keys were in the key
	// set then.
	rows      []store.SigningKey
	published int
	jwks      []byte
	discovery []byte
}

// trusted returns the key that may verify, or nil.
func (r *ring) trusted(kid string, now time.Time) *signingKey {
	if k := r.byKID[kid]; k != nil && k.published(now) {
		return k
	}
	return nil
}

// signer returns the key that signs at now, or nil: the newest that is active
// and stays published until the longest-lived JWT has expired.
func (r *ring) signer(now time.Time) *signingKey {
	for _, k := range slices.Backward(r.keys) {
		if signs(k.row, now) {
			return k
		}
	}
	return nil
}

func signs(row store.SigningKey, now time.Time) bool {
	return !row.ActiveAt.After(now) && (row.RetireAt.IsZero() || row.RetireAt.After(now.Add(MaxTokenLifetime)))
}

// JWKS returns the key set (RFC 7517 section 5), ready to be sent, and how
// long it may be cached. The caller must not change it.
func (m *Manager) JWKS() (body []byte, maxAge time.Duration) { return m.ring.Load().jwks, JWKSMaxAge }

// OpenIDConfiguration returns the discovery document (OpenID Connect Discovery
// 1.0 section 3), ready to be sent. There are no endpoints to sign in with, so
// it says what verifiers of a JWT need and no more. The caller must not change
// it.
func (m *Manager) OpenIDConfiguration() []byte { return m.ring.Load().discovery }

// unchanged tells whether a ring built of these rows now would be the same. One with
// a key that could not be opened is built again: that key may be due to sign.
func (r *ring) unchanged(rows []store.SigningKey, now time.Time) bool {
	published := 0
	for _, k := range r.keys {
		if k.published(now) {
			published++
		}
	}
	return len(r.keys) > 0 && len(r.keys) == len(r.rows) && published == r.published && slices.EqualFunc(r.rows, rows, func(a, b store.SigningKey) bool {
		return a.KID == b.KID && a.ActiveAt.Equal(b.ActiveAt) && a.RetireAt.Equal(b.RetireAt)
	})
}

// build makes a ring of the rows. Keys of the former ring are taken over, so
// that a reload costs no cryptography.
func (m *Manager) build(rows []store.SigningKey, now time.Time) (*ring, error) {
	former := m.ring.Load()
	if former.unchanged(rows, now) {
		return former, nil
	}
	next := &ring{byKID: make(map[string]*signingKey, len(rows)), rows: rows}
	var cause error
	for _, row := range rows {
		var k signingKey
		if old := former.byKID[row.KID]; old != nil {
			k = *old
			k.row = row
		} else if opened, err := m.open(row); err == nil {
			k = *opened
		} else {
			if !m.closed[row.KID] {
				m.closed[row.KID] = true
				m.cfg.Log.Error("a signing key cannot be opened and is not trusted", "kid", row.KID, "error", err)
			}
			if signs(row, now) {
				cause = err
			}
			continue
		}
		next.keys = append(next.keys, &k)
		next.byKID[row.KID] = &k
	}
	// A key that should sign but cannot be opened means a wrong key ring; a
	// node that then signs with another would contradict its peers.
	if cause != nil {
		return nil, fmt.Errorf("session: the signing key cannot be opened: %w", cause)
	}
	return next, m.render(next, now)
}

// open decrypts a key and checks that it is the one its KID names.
func (m *Manager) open(row store.SigningKey) (*signingKey, error) {
	plain, err := m.cfg.Keys.Open(row.Sealed, []byte(row.KID))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var private jose.JSONWebKey
	if err := private.UnmarshalJSON(plain); err != nil {
		return nil, errors.New("not a JWK") // the cause could quote it
	}
	k, err := newSigningKey(row.Algorithm, private.Key)
	if err != nil {
		return nil, err
	}
	if k.row.KID != row.KID {
		return nil, errors.New("the KID is not the key's thumbprint")
	}
	k.row = row
	return k, nil
}

// newSigningKey prepares a private key for use.
func newSigningKey(algorithm string, private any) (*signingKey, error) {
	k := &signingKey{}
	var public crypto.PublicKey
	switch key := private.(type) {
	case *ecdsa.PrivateKey:
		if algorithm != ES256 || key.Curve != elliptic.P256() {
			return nil, errors.New("the key does not fit its algorithm")
		}
		public, k.sign = key.Public(), func(input []byte) ([]byte, error) { return signES256(key, input) }
	case ed25519.PrivateKey:
		if algorithm != EdDSA {
			return nil, errors.New("the key does not fit its algorithm")
		}
		public, k.sign = key.Public(), func(input []byte) ([]byte, error) { return ed25519.Sign(key, input), nil }
	default:
		return nil, errors.New("not a private key for signatures")
	}
	k.public = jose.JSONWebKey{Key: public, Algorithm: algorithm, Use: "sig"}
	thumb, err := k.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	k.public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	k.row = store.SigningKey{KID: k.public.KeyID, Algorithm: algorithm}
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		Typ string `json:"typ"`
	}{algorithm, k.public.KeyID, tokenType})
	k.header = base64.RawURLEncoding.EncodeToString(header) + "."
	return k, err
}

// signES256 is RFC 7518 section 3.4: R and S, 32 bytes each.
func signES256(key *ecdsa.PrivateKey, input []byte) ([]byte, error) {
	digest := sha256.Sum256(input)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out, nil
}

// generate makes a new key of the configured algorithm, sealed.
func (m *Manager) generate(now, active time.Time) (store.SigningKey, error) {
	private, k, err := freshKey(m.cfg.Algorithm)
	if err != nil {
		return store.SigningKey{}, err
	}
	row := k.row
	row.CreatedAt, row.ActiveAt = now, active
	if row.Public, err = k.public.MarshalJSON(); err != nil {
		return store.SigningKey{}, err
	}
	plain, err := jose.JSONWebKey{Key: private, KeyID: row.KID, Algorithm: row.Algorithm, Use: "sig"}.MarshalJSON()
	if err != nil {
		return store.SigningKey{}, err
	}
	defer clear(plain)
	row.Sealed, err = m.cfg.Keys.Seal(plain, []byte(row.KID))
	return row, err
}

// freshKey draws a key pair. No KID begins with a dash, which the command line
// of 'keys retire' would take for a flag; one thumbprint in 64 would.
func freshKey(algorithm string) (private any, k *signingKey, err error) {
	for k == nil || k.row.KID[0] == '-' {
		if algorithm == EdDSA {
			_, private, err = ed25519.GenerateKey(rand.Reader)
		} else {
			private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
		if err != nil {
			return nil, nil, err
		}
		if k, err = newSigningKey(algorithm, private); err != nil {
			return nil, nil, err
		}
	}
	return private, k, nil
}

// discoveryDocument has the fields of OpenID Connect Discovery 1.0 section 3
// that apply where tokens are only ever verified.
type discoveryDocument struct {
	Issuer        string   `json:"issuer"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	Claims        []string `json:"claims_supported"`
}

// render writes the documents once per load.
func (m *Manager) render(r *ring, now time.Time) error {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	algorithms := []string{m.cfg.Algorithm}
	for _, k := range slices.Backward(r.keys) {
		if k.published(now) {
			r.published++
			set.Keys = append(set.Keys, k.public)
			algorithms = append(algorithms, k.row.Algorithm)
		}
	}
	slices.Sort(algorithms)
	var err error
	if r.jwks, err = json.Marshal(set); err != nil {
		return err
	}
	r.discovery, err = json.Marshal(discoveryDocument{
		Issuer:        m.cfg.Issuer,
		JWKSURI:       strings.TrimSuffix(m.cfg.Issuer, "/") + "/.well-known/jwks.json",
		ResponseTypes: []string{"id_token"},
		SubjectTypes:  []string{"public"},
		Algorithms:    slices.Compact(algorithms),
		Claims: []string{
			"iss", "sub", "aud", "sid", "iat", "nbf", "exp", "jti", "auth_time", "amr", "phoneId", "federated",
		},
	})
	return err
}

// keyFor returns the trusted key of a KID. An unknown one may be newer than the
// last load, so the keys are read again, but seldom.
func (m *Manager) keyFor(ctx context.Context, kid string, now time.Time) (*signingKey, error) {
	if k := m.ring.Load().trusted(kid, now); k != nil {
		return k, nil
	}
	if err := m.reload(ctx, unknownEvery); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "signing keys", err)
	}
	if k := m.ring.Load().trusted(kid, now); k != nil {
		return k, nil
	}
	return nil, invalid("not signed with a key of ours")
}
