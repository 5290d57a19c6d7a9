package login

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"codeword/internal/audit"
)

// Role is what somebody may do; each may do what those before it may.
type Role int

// The roles.
const (
	// Nobody may do nothing.
	Nobody Role = iota
	// Viewer reads, and sees neither whole numbers nor codes.
	Viewer
	// Operator helps: sees numbers and the inbox, and ends holds.
	Operator
	// Admin may do everything.
	Admin
)

var roleNames = [...]string{Nobody: "nobody", Viewer: "viewer", Operator: "operator", Admin: "admin"}

// String is the role's name.
func (r Role) String() string {
	if r < Nobody || r > Admin {
		return fmt.Sprintf("Role(%d)", int(r))
	}
	return roleNames[r]
}

// Person is who asks.
type Person struct {
	Role Role
	// Issuer and Subject name somebody whom a provider knows, for good and without a
	// doubt (OpenID Connect Core section 2); empty for the holder of the admin token.
	Issuer, Subject string
	// Name is what the person is called there. It may change, and be anything.
	Name string
	// Due: the provider should be asked again.
	Due bool
}

// May tells whether the person has the role of that name, or a higher one. There is no
// role of another name, so nobody has it.
func (p Person) May(role string) bool {
	i := slices.Index(roleNames[:], role)
	return i > int(Nobody) && p.Role >= Role(i)
}

func holder() Person { return Person{Role: Admin} }

// Bounds of what the audit trail is told of a person, in bytes after escaping.
const (
	maxName    = 128
	maxSubject = 256
)

// Actor names the person in the audit trail: "token", or "console:NAME sub:SUBJECT
// iss:ISSUER". What could be misread in a part is escaped as in URLs, so that no name
// can pass for another's subject.
func (p Person) Actor() string {
	if p.Subject == "" {
		return audit.Token
	}
	subject := plain(p.Subject)
	if len(subject) > maxSubject {
		sum := sha256.Sum256([]byte(p.Subject))
		subject = "sha256-" + hex.EncodeToString(sum[:])
	}
	return "console:" + plain(p.called()) + " sub:" + subject + " iss:" + p.Issuer
}

// Label is what the person is called on pages.
func (p Person) Label() string {
	if p.Subject == "" {
		return "admin token"
	}
	return p.called()
}

func (p Person) called() string {
	if p.Name == "" {
		return "unnamed"
	}
	return p.Name
}

// plain escapes all but what names and addresses are commonly made of. url.QueryEscape
// escapes more, and blanks otherwise.
func plain(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~@+|:", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteString(url.PathEscape(string([]byte{c})))
		}
	}
	return b.String()
}

// shortened cuts a name so that it fits when it is escaped, and not within a letter.
func shortened(name string) string {
	name = strings.TrimSpace(name)
	name = strings.ToValidUTF8(name[:min(len(name), maxName)], "") // escaped it is never shorter
	for len(plain(name)) > maxName {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}
