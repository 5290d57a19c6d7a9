// Package webhook tells clients what happened, by webhooks as Standard Webhooks
// (standardwebhooks.com, version 1.0.0) lays them down: endpoints and their secrets,
// the durable queue, and the loop that delivers. docs/events.md is for receivers,
// docs/decisions/0023-outgoing-webhooks.md says why it is so.
//
// A webhook is delivered at least once, under an id that stays the same. Payloads hold
// no code and no whole phone number.
package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// The kinds of events.
const (
	KindMessageSent        = "message.sent"
	KindMessageDelivered   = "message.delivered"
	KindMessageFailed      = "message.failed"
	KindChallengeVerified  = "challenge.verified"
	KindChallengeExhausted = "challenge.exhausted"
	KindGuardBlocked       = "guard.blocked"
	KindGuardReleased      = "guard.released"
	KindLimitWarned        = "limit.warned"
	KindClientChanged      = "client.changed"
	// KindTest is what an operator has sent to one endpoint, whatever that wants.
	KindTest = "webhook.test"
)

// Kinds lists all kinds.
func Kinds() []string {
	return []string{
		KindMessageSent, KindMessageDelivered, KindMessageFailed, KindChallengeVerified, KindChallengeExhausted,
		KindGuardBlocked, KindGuardReleased, KindLimitWarned, KindClientChanged,
	}
}

const (
	// maxEndpoints is how many endpoints a client may have; so many more hear of all.
	maxEndpoints = 10
	// maxDocument bounds the document that all endpoints are in, in bytes.
	maxDocument = 7 << 20
	// maxURL bounds a URL, in bytes.
	maxURL = 2048
	// secretBytes is the length of a secret; Standard Webhooks wants 24 to 64.
	secretBytes  = 32
	secretPrefix = "whsec_"
	maxSecrets   = 2
)

// Endpoint is where webhooks go.
type Endpoint struct {
	ID store.EndpointID
	// Revision counts the changes, from 1.
	Revision int64
	// Client is whose events it gets; empty for those of all clients.
	Client string
	URL    string
	// Kinds are those that it wants; empty for all.
	Kinds []string
	// Secrets sign, all of them; oldest first. Two while one takes the other's place.
	Secrets   []SealedSecret
	CreatedAt time.Time
	// DisabledAt is zero for an endpoint that is enabled; Reason says why it is not.
	DisabledAt time.Time
	Reason     string
}

// SealedSecret is a secret as it is kept.
type SealedSecret struct {
	Sealed    []byte
	CreatedAt time.Time
}

// The reasons of a disabled endpoint.
const (
	// ReasonOperator: an operator wanted it.
	ReasonOperator = "operator"
	// ReasonFailing: nothing was taken for a day.
	ReasonFailing = "failing"
	// ReasonGone: it answered 410.
	ReasonGone = "gone"
)

// Enabled reports whether webhooks go there.
func (e *Endpoint) Enabled() bool { return e.DisabledAt.IsZero() }

// Wants reports whether an event of a client goes there.
func (e *Endpoint) Wants(client, kind string) bool {
	return e.Enabled() && (e.Client == "" || e.Client == client) && (len(e.Kinds) == 0 || slices.Contains(e.Kinds, kind))
}

// Invalid says what is wrong with what was asked for.
type Invalid string

func (e Invalid) Error() string { return string(e) }

func checkKinds(kinds []string) error {
	if len(kinds) > len(Kinds()) { // all endpoints are in one document
		return Invalid("kinds: one comes twice")
	}
	for _, k := range kinds {
		if !slices.Contains(Kinds(), k) {
			return Invalid(fmt.Sprintf("kinds: %q is none", k))
		}
	}
	return nil
}

// checkURL allows https, and http to this machine. Where a name leads is looked at
// when it is dialed.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxURL || u.Hostname() == "" || u.Opaque != "":
		return Invalid("url: not an https URL") // err would quote it
	case u.User != nil:
		return Invalid("url: it holds a user or a password; receivers know us by our signature")
	case u.Port() != "" && !isPort(u.Port()):
		return Invalid("url: the port is none")
	case u.Fragment != "":
		return Invalid("url: it has a fragment")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return Invalid("url: http only goes to this machine; write https")
	default:
		return Invalid("url: not an https URL")
	}
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.Unmap().IsLoopback()
}

// host is what is told of a URL in logs and in the trail: its path and its query may
// be secrets.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

// Keys seals secrets.
type Keys interface {
	Seal(plain, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// secretLabel separates secrets from what else the seal key encrypts.
const secretLabel = "webhook-secret\x00"

func newSecret(keys Keys, id store.EndpointID, now time.Time) (clear string, _ SealedSecret, err error) {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw) // never fails, see crypto/rand.Read
	sealed, err := keys.Seal(raw, append([]byte(secretLabel), id[:]...))
	if err != nil {
		return "", SealedSecret{}, fault.Wrap(fault.Internal, "webhook: seal a secret", err)
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(raw), SealedSecret{Sealed: sealed, CreatedAt: now}, nil
}
