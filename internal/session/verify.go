package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// issuedLeeway is how far in the future nbf and iat may lie, for nodes whose
// clocks differ. There is none for exp.
const issuedLeeway = 30 * time.Second

// tokenKey names a verified token. A change of the client's settings changes
// the revision, so that what was verified under the old ones is not reused.
type tokenKey struct {
	digest   [sha256.Size]byte
	client   string
	revision int64
}

// verified is what is remembered of a token whose signature and claims hold.
type verified struct {
	// foreign is set for a trusted issuer's token; the rest is of our own.
	foreign   *Principal
	kid       string
	session   store.SessionID
	user      store.UserID
	issuedAt  time.Time
	expiresAt time.Time
}

// liveSession is a session as the store told it.
type liveSession struct {
	row store.Session
	// expires is row.ExpiresAt as later moved by touch, in Unix nanoseconds.
	expires atomic.Int64
}

// Verify returns whom a bearer speaks for. It accepts JWTs of this service that
// were made for the client and whose session lives, and tokens of the client's
// trusted issuers.
//
// Errors: fault.InvalidAuthorization (malformed, forged, revoked, foreign, or
// another client's), fault.ExpiredAuthorization (it was good once),
// fault.Unavailable (the store or the issuer does not answer).
func (m *Manager) Verify(ctx context.Context, client *tenant.Client, bearer string) (*Principal, error) {
	if bearer == "" || len(bearer) > MaxBearer {
		return nil, invalid("bearer empty or too long")
	}
	now := m.cfg.Now()
	key := tokenKey{digest: sha256.Sum256([]byte(bearer)), client: client.ID, revision: client.Revision}
	v, ok := m.tokens.get(key, now)
	if ok && v.foreign == nil && m.ring.Load().trusted(v.kid, now) == nil {
		ok = false // its key was withdrawn since
	}
	if !ok {
		var err error
		var until time.Time
		if v, until, err = m.verify(ctx, client, bearer, now); err != nil {
			return nil, err
		}
		m.tokens.put(key, v, now, until, 0)
	}
	if v.foreign != nil {
		return v.foreign, nil
	}
	return m.principal(ctx, client, v, now)
}

// verify does the cryptography, and tells until when its outcome holds.
func (m *Manager) verify(ctx context.Context, client *tenant.Client, bearer string, now time.Time) (*verified, time.Time, error) {
	switch iss, ok := peekIssuer(bearer); {
	case !ok:
		return nil, now, invalid("bearer is not a JWT")
	case iss == m.cfg.Issuer:
		v, err := m.verifyOwn(ctx, client, bearer, now)
		if err != nil {
			return nil, now, err
		}
		return v, v.expiresAt, nil
	default:
		p, err := m.verifyForeign(ctx, client, iss, bearer, now)
		if err != nil {
			return nil, now, err
		}
		until := now.Add(ForeignAge)
		if p.ExpiresAt.Before(until) {
			until = p.ExpiresAt
		}
		return &verified{foreign: p}, until, nil
	}
}

// peekIssuer reads the iss claim of a compact JWS, unverified: it only decides
// who has to verify the token.
func peekIssuer(bearer string) (string, bool) {
	header, rest, ok := strings.Cut(bearer, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || header == "" || signature == "" || strings.Contains(signature, ".") {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", false
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &claims) != nil {
		return "", false
	}
	return claims.Issuer, true
}

// verifyOwn verifies a JWT of this service. Only the kid is taken from its
// header; keys or addresses of keys in there (jwk, jku, x5c, x5u) mean nothing,
// and the key itself decides the algorithm (RFC 8725 sections 3.1 and 3.2).
func (m *Manager) verifyOwn(ctx context.Context, client *tenant.Client, bearer string, now time.Time) (*verified, error) {
	jws, err := jose.ParseSignedCompact(bearer, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil || len(jws.Signatures) != 1 {
		return nil, invalid("bearer is not a JWS of an accepted algorithm")
	}
	header := jws.Signatures[0].Protected
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != tokenType || header.JSONWebKey != nil {
		return nil, invalid("bearer has a header that we do not write")
	}
	if len(header.KeyID) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return nil, invalid("not signed with a key of ours")
	}
	key, err := m.keyFor(ctx, header.KeyID, now)
	if err != nil {
		return nil, err
	}
	if header.Algorithm != key.row.Algorithm {
		return nil, invalid("algorithm is not the key's")
	}
	payload, err := jws.Verify(key.public.Key)
	if err != nil {
		return nil, invalid("bad signature")
	}
	return m.checkOwn(client, payload, key.row.KID, now)
}

// checkOwn checks the claims of a JWT that we signed.
func (m *Manager) checkOwn(client *tenant.Client, payload []byte, kid string, now time.Time) (*verified, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, invalid("claims are not ours")
	}
	sid, okSession := parseUUID(c.SessionID)
	user, okUser := parseUUID(strings.TrimPrefix(c.Subject, userPrefix(client)))
	switch {
	case c.Issuer != m.cfg.Issuer, c.Audience != client.ID:
		return nil, invalid("another client's bearer")
	case !okSession, !okUser, c.Subject != userPrefix(client)+user.String():
		return nil, invalid("claims are not ours")
	case c.Expiry <= now.Unix():
		return nil, fault.New(fault.ExpiredAuthorization, "bearer expired")
	case c.NotBefore > now.Add(issuedLeeway).Unix(), c.IssuedAt > now.Add(issuedLeeway).Unix():
		return nil, invalid("bearer is of the future")
	}
	return &verified{
		kid:       kid,
		session:   store.SessionID(sid),
		user:      store.UserID(user),
		issuedAt:  time.Unix(c.IssuedAt, 0).UTC(),
		expiresAt: time.Unix(c.Expiry, 0).UTC(),
	}, nil
}

// parseUUID accepts the canonical form alone.
func parseUUID(s string) (uuid.UUID, bool) {
	id, err := uuid.Parse(s)
	return id, err == nil && len(s) == 36
}

// principal looks up the session behind an own token.
func (m *Manager) principal(ctx context.Context, client *tenant.Client, v *verified, now time.Time) (*Principal, error) {
	s, err := m.session(ctx, v.session, now)
	if err != nil {
		return nil, err
	}
	if s.row.Client != client.ID || s.row.User != v.user {
		return nil, invalid("the session is not the bearer's")
	}
	m.touch(ctx, client, s, now)
	p := &Principal{Session: s.row, IssuedAt: v.issuedAt, ExpiresAt: v.expiresAt}
	p.Session.ExpiresAt = time.Unix(0, s.expires.Load()).UTC()
	return p, nil
}

// session returns a session that lived at most LivenessAge ago.
func (m *Manager) session(ctx context.Context, id store.SessionID, now time.Time) (*liveSession, error) {
	if s, ok := m.live.get(id, now); ok && s.expires.Load() > now.UnixNano() {
		return s, nil
	}
	mark := m.live.mark(id)
	row, err := m.cfg.Store.Session(ctx, now, id)
	if err != nil {
		return nil, err
	}
	s := &liveSession{row: row}
	s.expires.Store(row.ExpiresAt.UnixNano())
	// Counted from before the store was asked, so the age is never understated.
	m.live.put(id, s, now, now.Add(LivenessAge), mark)
	return s, nil
}

// touch extends the session when a twentieth of its idle time has been used
// up, so that a busy session costs a write now and then and not on each call.
// A failure is not the caller's: the session lives, and the next call tries
// again.
func (m *Manager) touch(ctx context.Context, client *tenant.Client, s *liveSession, now time.Time) {
	idle := time.Duration(client.Settings.SessionIdle)
	until := now.Add(idle)
	before := s.expires.Load()
	if until.UnixNano()-before < int64(idle/20) || !s.expires.CompareAndSwap(before, until.UnixNano()) {
		return
	}
	if err := m.cfg.Store.TouchSession(ctx, now, s.row.ID, until); err != nil {
		s.expires.CompareAndSwap(until.UnixNano(), before)
		m.cfg.Log.WarnContext(ctx, "a session could not be extended", "error", err)
	}
}
