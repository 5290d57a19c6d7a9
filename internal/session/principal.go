package session

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Principal is whom a verified bearer speaks for: a session of ours, or a
// trusted issuer's subject. It is shared between requests: read only.
type Principal struct {
	// Session is the live session of an own bearer, at most LivenessAge old;
	// zero if Subject is set.
	Session store.Session
	// Subject is set for a trusted issuer's token.
	Subject *Subject
	// IssuedAt and ExpiresAt are the token's.
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Subject is a user that a trusted issuer vouches for.
type Subject struct {
	Issuer  string
	Subject string
	// AMR are the registered methods (RFC 8176) that the issuer told.
	AMR []string
	// Vouched: the issuer told no methods at all, so its word is the factor.
	Vouched bool
	// User is the same for the same client, issuer and subject, always.
	User store.UserID
	// Binding is a keyed digest of the same three.
	Binding store.Binding
}

// Binding ties a challenge to this principal; a nil Principal binds nothing.
func (p *Principal) Binding() store.Binding {
	switch {
	case p == nil:
		return ""
	case p.Subject != nil:
		return p.Subject.Binding
	default:
		return store.Binding(p.Session.ID[:])
	}
}

// UserID is the user that the bearer speaks for.
func (p *Principal) UserID() store.UserID {
	if p.Subject != nil {
		return p.Subject.User
	}
	return p.Session.User
}

// Grant is the session that a successful code creates or upgrades. Without a
// bearer (p nil) it is a new session with a candidate for a new user; with an
// own bearer that session is upgraded; with a trusted issuer's, it is a new
// session of that subject.
func (m *Manager) Grant(client *tenant.Client, p *Principal, phone store.PhoneID, now time.Time) store.Grant {
	s := store.Session{
		Client:    client.ID,
		Phone:     phone,
		AuthTime:  now,
		CreatedAt: now,
		ExpiresAt: now.Add(time.Duration(client.Settings.SessionIdle)),
	}
	switch {
	case p == nil:
		s.ID = newSessionID()
		s.User = store.UserID(uuid.Must(uuid.NewV7()))
		s.AMR = stepUp(nil, false)
		return store.Grant{Session: s}
	case p.Subject != nil:
		s.ID = newSessionID()
		s.User = p.Subject.User
		s.AMR = stepUp(p.Subject.AMR, p.Subject.Vouched)
		s.Issuer, s.Subject = p.Subject.Issuer, p.Subject.Subject
		return store.Grant{Session: s, Known: true}
	default:
		s.ID = p.Session.ID
		s.User = p.Session.User
		s.AMR = stepUp(p.Session.AMR, false)
		s.CreatedAt = p.Session.CreatedAt
		s.Issuer, s.Subject = p.Session.Issuer, p.Session.Subject
		return store.Grant{Session: s, Upgrade: true, Known: true}
	}
}

func newSessionID() store.SessionID { return store.SessionID(uuid.Must(uuid.NewV7())) }

// Domain labels of the digests over a subject.
const (
	labelUser    = "codeword/session/user/v1"
	labelBinding = "codeword/session/binding/v1"
)

// subject derives the ids of a trusted issuer's subject. The user id is not
// keyed: it must outlive every rotation of the index key, and whoever sees it
// (the client, which knows the subject anyway) learns nothing from it. The
// binding lives as long as a challenge, so it can be keyed.
func (m *Manager) subject(client, issuer, sub string) (*Subject, error) {
	digest, err := m.cfg.Keys.Index(m.cfg.Keys.IndexVersion(), encode(labelBinding, client, issuer, sub))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "digest of a subject", err)
	}
	sum := sha256.Sum256(encode(labelUser, client, issuer, sub))
	user := store.UserID(sum[:16])
	user[6] = user[6]&0x0f | 0x80 // version 8, RFC 9562 section 5.8
	user[8] = user[8]&0x3f | 0x80
	return &Subject{Issuer: issuer, Subject: sub, User: user, Binding: store.Binding(digest[:])}, nil
}

// encode joins strings with their lengths, so that no two lists are alike.
func encode(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
