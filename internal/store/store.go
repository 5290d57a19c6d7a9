// Package store holds what the engines and the domain exchange: row types, and
// the intents that an engine carries out as one atomic operation each. The
// ports themselves live with their consumers (otp, session, tenant, delivery);
// an engine implements all of them.
//
// Engines never read a clock: every intent carries its own Now. Refusals and
// failures are *fault.Error; whatever an engine cannot carry out (busy, full,
// corrupt, gone) is fault.Unavailable, and then nothing was acknowledged.
package store

import (
	"errors"
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
)

// Binding ties a challenge to whoever asked for it: the raw session id, or a
// keyed digest of a trusted issuer's subject. Empty means unbound.
type Binding string

// Challenge is one live chance to prove possession of a phone. It holds
// nothing from which the code follows without the key ring.
type Challenge struct {
	ID         ChallengeID
	KeyVersion uint32
	Digits     int
	Binding    Binding
	CreatedAt  time.Time
	ExpiresAt  time.Time
	Attempts   int
}

// Charge is one GCRA bucket that a send must pass. Buckets of one send are
// charged together or not at all.
type Charge struct {
	// Name is what the caller sees in data.limit.
	Name string
	// OfClient picks the refusal: the client's own limit, or a limit of
	// the phone or the end user's address.
	OfClient bool
	Key      string
	Bucket   guard.Bucket
}

// PhoneLimits are the limits kept with the phone itself, once for each lane: callers
// of whom nothing is known, those with a bearer, and those who are known to be the
// phone's owner, by a bearer of its user or by a device that verified it before. What
// happens in one lane is no matter in another.
type PhoneLimits struct {
	Burst    guard.Bucket
	Day      guard.Window
	Failures guard.Window
}

// The names of the limits kept with the phone, as data.limit tells them.
const (
	LimitPhoneBurst    = "phone_burst"
	LimitPhoneDay      = "phone_day"
	LimitPhoneFailures = "phone_failures"
)

// Idempotency makes a send repeatable. Both digests are keyed, so that nothing
// readable is stored.
type Idempotency struct {
	Key       [32]byte
	Body      [32]byte
	ExpiresAt time.Time
}

// Start is the intent behind a send: pass the limits, start a challenge or
// join the live one with the same binding, and queue one message, atomically.
type Start struct {
	Now    time.Time
	Client string
	// Phone is the id under the primary index key, Former those under older
	// keys, newest first: a phone already known under one of them keeps it.
	Phone  PhoneID
	Former []PhoneID
	// Sealed is the number, encrypted; stored when the phone is new.
	Sealed []byte
	// Seal encrypts it for one of the Former ids, under which a phone that was erased
	// may be known; nil where Sealed will do.
	Seal func(PhoneID) ([]byte, error)
	// Challenge is started unless one with the same binding lives; then that
	// one is sent again, unchanged. Without a binding, from a device that the phone
	// knows, it is bound to the device.
	Challenge Challenge
	// User is the bearer's, zero without one; Device is the caller's, zero for none.
	User   UserID
	Device DeviceID
	// MaxAttempts is how many guesses a challenge takes; one that took them all
	// is dead, and a send starts a fresh one.
	MaxAttempts int
	Message     MessageID
	// Locale is the BCP 47 tag of the message's text.
	Locale string
	// Charges are at most four; more is fault.Internal.
	Charges []Charge
	// ProvenOnly: the fraud guard holds sends to this phone's block, or from this
	// address, back. Only a phone that has a user, since it was verified before,
	// passes; others are refused with fault.Blocked.
	ProvenOnly bool
	// Refusal, when not nil, is what all but the repetition of a send that was
	// accepted before is refused with; nothing is charged for it.
	Refusal *fault.Error
	// PhoneLimits is nil when the phone is not limited (test clients).
	PhoneLimits *PhoneLimits
	// Idempotency is nil when the caller gave no key.
	Idempotency *Idempotency
}

// SealedFor is the number, encrypted for one of the phone's ids.
func (s *Start) SealedFor(id PhoneID) ([]byte, error) {
	if id == s.Phone || s.Seal == nil {
		return s.Sealed, nil
	}
	return s.Seal(id)
}

// Started is what a Start did.
type Started struct {
	Phone     PhoneID
	Challenge Challenge
	// Replayed is true when the idempotency key had been used with the same
	// body: nothing was charged, started or queued.
	Replayed bool
}

// Mark is what is to be noted about a phone; nil leaves it as it is.
type Mark struct {
	// OptedOut: whether the owner wants no messages from the client.
	OptedOut *bool
	// BlockedUntil is when messages may go there again; the zero time, like any
	// that has passed, ends a block.
	BlockedUntil *time.Time
}

// PhoneMark is the intent that notes a Mark. A phone that is not known yet
// becomes known by it, since its owner may opt out before any send.
type PhoneMark struct {
	Now    time.Time
	Client string
	// Phone, Former and Sealed are those of a Start.
	Phone  PhoneID
	Former []PhoneID
	Sealed []byte
	Mark   Mark
	// KnownOnly: a phone that is not known stays so; fault.NotFound.
	KnownOnly bool
}

// Attempt is the intent behind an authenticate: count, judge, consume and
// grant, atomically.
type Attempt struct {
	Now     time.Time
	Client  string
	Phone   PhoneID
	Binding Binding
	// MaxAttempts is how many guesses a challenge takes.
	MaxAttempts int
	// Device is the caller's, zero for none. The phone remembers it when the
	// attempt is successful.
	Device DeviceID
	// Failures is the phone's budget across challenges, of each lane; the zero
	// Window for none.
	Failures guard.Window
	// Match compares the guess with the code of the challenge it is shown. The
	// engine calls it at most once for a counted attempt, only for a challenge
	// that takes attempts, and applies its answer to that very challenge. It
	// must be pure, since a group that failed is run again.
	Match func(Challenge) bool
	Grant Grant
	// Verified and Exhausted are events that are queued with what they tell: that the
	// code was right and is used, or that a wrong one was the last try.
	Verified, Exhausted []Webhook
}

// Told returns the events that go with what an attempt came to.
func (a *Attempt) Told(err error) []Webhook {
	var wrong *fault.Error
	switch {
	case err == nil:
		return a.Verified
	case errors.As(err, &wrong) && wrong.Kind == fault.WrongCode && wrong.Exhausted:
		return a.Exhausted
	}
	return nil
}

// BearerUser is the user whom the caller's bearer names, zero without one.
func (a *Attempt) BearerUser() UserID {
	if !a.Grant.Known {
		return UserID{}
	}
	return a.Grant.Session.User
}

// Grant is the session that a successful attempt creates or upgrades.
type Grant struct {
	Session Session
	// Upgrade: Session.ID exists and is upgraded; when it is gone the attempt
	// is refused with fault.InvalidAuthorization before anything is counted.
	Upgrade bool
	// Known: Session.User comes from a bearer, so the phone must be that
	// user's or nobody's. Otherwise Session.User is only used for a phone that
	// has no user yet.
	Known bool
}

// Session is a signed-in user of a client.
type Session struct {
	ID     SessionID
	Client string
	User   UserID
	Phone  PhoneID
	// AMR holds RFC 8176 authentication method references.
	AMR       []string
	AuthTime  time.Time
	CreatedAt time.Time
	// ExpiresAt slides with use.
	ExpiresAt time.Time
	// Issuer and Subject are set when a trusted issuer vouched for the user.
	Issuer  string
	Subject string
}

// SigningKey is one JWT key pair with its place in the rotation.
type SigningKey struct {
	KID string
	// Algorithm is "ES256" or "EdDSA".
	Algorithm string
	// Public is the JWK; Sealed the private JWK, encrypted with the KID as
	// associated data.
	Public []byte
	Sealed []byte
	// CreatedAt is when the key appears in the JWKS, ActiveAt when it may sign,
	// RetireAt (zero: not yet) when it leaves the JWKS.
	CreatedAt time.Time
	ActiveAt  time.Time
	RetireAt  time.Time
}

// Client is one business that calls the API.
type Client struct {
	ID   string
	Name string
	Live bool
	// Settings is the policy as JSON; package tenant reads it.
	Settings   []byte
	Secrets    []Secret
	CreatedAt  time.Time
	DisabledAt time.Time
	// Revision counts changes; an update names the one it saw.
	Revision int64
}

// Secret is a client secret as it is kept: a keyed hash.
type Secret struct {
	ID         string
	KeyVersion uint32
	Hash       []byte
	CreatedAt  time.Time
	LastUsedAt time.Time
}

// SecretUse tells when a secret was last used.
type SecretUse struct {
	Client string
	Secret string
	At     time.Time
}
