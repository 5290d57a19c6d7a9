package session

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// tokenType is the typ header of our JWTs (RFC 7519 section 5.1).
const tokenType = "JWT"

// refreshShared is how long calls of one session get the same fresh JWT.
const refreshShared = 10 * time.Second

// claims are those of a session JWT. Times are in seconds (RFC 7519 section 2).
type claims struct {
	Issuer    string     `json:"iss"`
	Subject   string     `json:"sub"`
	Audience  string     `json:"aud"`
	SessionID string     `json:"sid"`
	IssuedAt  int64      `json:"iat"`
	NotBefore int64      `json:"nbf"`
	Expiry    int64      `json:"exp"`
	ID        string     `json:"jti"`
	AuthTime  int64      `json:"auth_time"`
	AMR       []string   `json:"amr"`
	PhoneID   string     `json:"phoneId"`
	Federated *federated `json:"federated,omitempty"`
}

// federated names the trusted issuer's subject that the user is.
type federated struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// userPrefix begins every sub of the client.
func userPrefix(client *tenant.Client) string { return "user-" + client.Env() + "-" }

// Mint signs a JWT for a session that was just created or upgraded. It is good
// for the client's TokenLifetime. fault.Unavailable if no key can sign.
func (m *Manager) Mint(_ context.Context, client *tenant.Client, s store.Session, now time.Time) (string, error) {
	// What this node knew of the session is older than s.
	m.live.drop(s.ID)
	key, err := m.signer(now)
	if err != nil {
		return "", err
	}
	return m.mint(key, client, &s, now)
}

func (m *Manager) signer(now time.Time) (*signingKey, error) {
	if key := m.ring.Load().signer(now); key != nil {
		return key, nil
	}
	return nil, fault.New(fault.Unavailable, "no signing key is active")
}

// mint writes the JWS compact serialization (RFC 7515 section 3.1). The header
// is the same for every token of a key and so encoded once per key, which
// halves what a general signer adds to the signature itself.
func (m *Manager) mint(key *signingKey, client *tenant.Client, s *store.Session, now time.Time) (string, error) {
	issued := now.Unix()
	c := claims{
		Issuer:    m.cfg.Issuer,
		Subject:   userPrefix(client) + s.User.String(),
		Audience:  client.ID,
		SessionID: s.ID.String(),
		IssuedAt:  issued,
		NotBefore: issued,
		Expiry:    issued + int64(time.Duration(client.Settings.TokenLifetime)/time.Second),
		ID:        uuid.NewString(),
		AuthTime:  s.AuthTime.Unix(),
		AMR:       s.AMR,
		PhoneID:   m.cfg.PhoneID(client, s.Phone),
	}
	if s.Issuer != "" {
		c.Federated = &federated{Issuer: s.Issuer, Subject: s.Subject}
	}
	payload, err := json.Marshal(&c)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "claims", err)
	}
	token := make([]byte, 0, len(key.header)+base64.RawURLEncoding.EncodedLen(len(payload))+128)
	token = append(token, key.header...)
	token = base64.RawURLEncoding.AppendEncode(token, payload)
	signature, err := key.sign(token)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "sign a JWT", err)
	}
	token = append(token, '.')
	return string(base64.RawURLEncoding.AppendEncode(token, signature)), nil
}

// refreshKey tells a session before a step-up from the same one after it, and
// what one key signed from what the next one did.
type refreshKey struct {
	kid      string
	session  store.SessionID
	authTime int64
}

// Refresh returns a fresh JWT (ok) for an own bearer that has less than half of
// its life left. Calls within a few seconds share one.
func (m *Manager) Refresh(_ context.Context, client *tenant.Client, p *Principal, now time.Time) (jwt string, ok bool, err error) {
	if p == nil || p.Subject != nil || p.ExpiresAt.Sub(now) >= p.ExpiresAt.Sub(p.IssuedAt)/2 {
		return "", false, nil
	}
	key, err := m.signer(now)
	if err != nil {
		return "", false, err
	}
	same := refreshKey{kid: key.row.KID, session: p.Session.ID, authTime: p.Session.AuthTime.UnixNano()}
	if jwt, ok := m.refreshed.get(same, now); ok {
		return jwt, true, nil
	}
	if jwt, err = m.mint(key, client, &p.Session, now); err != nil {
		return "", false, err
	}
	m.refreshed.put(same, jwt, now, now.Add(refreshShared), 0)
	return jwt, true, nil
}
