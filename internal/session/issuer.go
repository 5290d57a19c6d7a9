package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"codeword/internal/fault"
	"codeword/internal/tenant"
)

// maxSubject is the longest sub of an ID token (OpenID Connect Core 1.0
// section 2).
const maxSubject = 255

// verifyForeign verifies a token of one of the client's trusted issuers: issuer
// and audience exactly as configured, one of the pinned algorithms, a key of
// the issuer's key set, not expired.
func (m *Manager) verifyForeign(
	ctx context.Context, client *tenant.Client, iss, bearer string, now time.Time,
) (*Principal, error) {
	trust := client.Issuer(iss)
	if trust == nil {
		return nil, invalid("the client does not trust the bearer's issuer")
	}
	algorithms := trust.Algorithms
	if len(algorithms) == 0 {
		algorithms = []string{oidc.RS256, oidc.ES256}
	}
	keys := &callKeys{remote: m.issuers.get(trust.Issuer, trust.JWKSURL), now: now}
	for _, a := range algorithms {
		keys.algorithms = append(keys.algorithms, jose.SignatureAlgorithm(a))
	}
	token, err := oidc.NewVerifier(iss, keys, &oidc.Config{
		ClientID:             trust.Audience,
		SupportedSigningAlgs: algorithms,
		Now:                  func() time.Time { return now },
	}).Verify(ctx, bearer)
	var expired *oidc.TokenExpiredError
	switch {
	case fault.Is(keys.err, fault.Unavailable):
		return nil, keys.err
	case errors.As(err, &expired):
		return nil, fault.New(fault.ExpiredAuthorization, "a trusted issuer's token expired")
	case err != nil:
		return nil, fault.Wrap(fault.InvalidAuthorization, "a trusted issuer's token does not hold", brief(err))
	case token.Subject == "" || len(token.Subject) > maxSubject:
		return nil, invalid("a trusted issuer's token without a proper subject")
	case !token.Expiry.After(now):
		return nil, fault.New(fault.ExpiredAuthorization, "a trusted issuer's token expired")
	}
	var extra struct {
		AMR json.RawMessage `json:"amr"`
	}
	if err := token.Claims(&extra); err != nil {
		return nil, invalid("a trusted issuer's token with unreadable claims")
	}
	subject, err := m.subject(client.ID, iss, token.Subject)
	if err != nil {
		return nil, err
	}
	var told bool
	subject.AMR, told = parseMethods(extra.AMR)
	subject.Vouched = !told
	return &Principal{Subject: subject, IssuedAt: token.IssuedAt.UTC(), ExpiresAt: token.Expiry.UTC()}, nil
}

// callKeys is the key set for one verification. go-oidc turns a key set's error
// into text, so its kind is kept here.
type callKeys struct {
	remote     *remoteKeys
	algorithms []jose.SignatureAlgorithm
	now        time.Time
	err        error
}

// VerifySignature implements oidc.KeySet.
func (c *callKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, c.algorithms)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, errors.New("not a JWS of an accepted algorithm")
	}
	header := jws.Signatures[0].Protected
	keys, err := c.remote.find(ctx, header.KeyID, c.now)
	if err != nil {
		c.err = err
		return nil, err
	}
	for _, k := range keys {
		if k.Algorithm != "" && k.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := jws.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer verifies it")
}

// brief keeps what a stranger may put into an error short and on one line.
func brief(err error) error {
	const most = 200
	text := err.Error()
	return fmt.Errorf("%q", text[:min(len(text), most)])
}

// matching returns the keys that a kid names; all of them if it names none
// (RFC 7515 section 4.1.4 leaves it optional).
func matching(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	if kid == "" {
		return keys
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k jose.JSONWebKey) bool { return k.KeyID != kid })
}
