package intent

import (
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Judged is what an attempt did to its phone.
type Judged uint8

// The judgments. Only Counted and Right change the phone.
const (
	// Refused: the failure budget of the caller's lane is used up.
	Refused Judged = iota + 1
	// Uncounted: there is nothing to guess at. The engine writes something all
	// the same, so that the refusal is as slow as one that counts.
	Uncounted
	// Counted: a wrong guess, noted with the challenge and with the phone.
	Counted
	// Right: the challenge is consumed.
	Right
)

// Gone refuses an attempt that is to upgrade a session that is not there.
func Gone() error { return fault.New(fault.InvalidAuthorization, "session is gone") }

// Exhausted refuses an attempt in a lane whose budget of failures is used up.
func Exhausted(retryAfter time.Duration) *fault.Error {
	return &fault.Error{
		Kind: fault.LimitOTP, Detail: "failure budget of the phone is used up",
		Limit: store.LimitPhoneFailures, RetryAfter: retryAfter,
	}
}

// Attempt judges a guess. The error is nil for Right only.
func (p *Phone) Attempt(in *store.Attempt) (Judged, error) {
	if !p.Known {
		return Uncounted, fault.New(fault.WrongCode, "phone is unknown")
	}
	who := caller{in.Binding, in.BearerUser(), in.Device}
	lane := p.lane(who)
	budget := p.budget(lane)
	if d := in.Failures.Admit(in.Now, budget.Failures); !d.Allowed {
		return Refused, Exhausted(d.RetryAfter)
	}
	ch, dead := p.Challenges.open(in, p.bindings(who))
	switch {
	case dead != "":
		return Uncounted, fault.New(fault.WrongCode, dead)
	case !in.Match(ch):
		return Counted, p.miss(in, ch, lane, &budget)
	}
	p.Challenges = p.Challenges.Remove(ch.Binding).Prune(in.Now)
	return Right, nil
}

// open returns the challenge that the attempt is for: the first of those bindings
// that takes attempts. When there is none, dead says why, for the log.
func (l Challenges) open(in *store.Attempt, bindings []store.Binding) (_ store.Challenge, dead string) {
	for _, b := range bindings {
		reason := "no challenge"
		ch, found := l.Find(b)
		if found {
			reason = deadReason(ch, in)
		}
		if reason == "" {
			return ch, ""
		}
		if dead == "" {
			dead = reason
		}
	}
	return store.Challenge{}, dead
}

// deadReason is empty for a challenge that takes attempts.
func deadReason(ch store.Challenge, in *store.Attempt) string {
	switch {
	case !ch.ExpiresAt.After(in.Now):
		return "challenge has expired"
	case ch.Attempts >= in.MaxAttempts:
		return "challenge is locked"
	default:
		return ""
	}
}

// miss counts a wrong guess against the challenge and against the lane.
func (p *Phone) miss(in *store.Attempt, ch store.Challenge, lane lane, b *Budget) error {
	ch.Attempts++
	if !in.Failures.Unlimited() {
		b.Failures = in.Failures.Record(in.Now, b.Failures)
		p.spend(lane, *b)
	}
	p.Challenges = p.Challenges.Put(ch)
	retryable := ch.Attempts < in.MaxAttempts && in.Failures.Admit(in.Now, b.Failures).Allowed
	return &fault.Error{Kind: fault.WrongCode, Detail: "code is wrong", Retryable: retryable, Exhausted: !retryable}
}

// Remember notes the device that verified the phone, and tells whether that changed
// anything.
func (p *Phone) Remember(device store.DeviceID) (changed bool) {
	before := p.Devices
	p.Devices = p.Devices.With(device)
	return p.Devices != before
}

// Owner decides whose phone it is, now that possession was proved. user comes
// from a bearer when known is true; then the phone must be that user's or
// nobody's, and other, when not nil, is the phone that the user has. Otherwise
// user is for a phone that has none yet. first tells that the phone gets its
// first user.
func (p *Phone) Owner(user store.UserID, known bool, other *store.PhoneID) (owner store.UserID, first bool, refusal error) {
	switch {
	case known && other != nil && *other != p.ID:
		return user, false, fault.New(fault.MismatchPhone, "the user has another verified phone")
	case known && p.HasUser && p.User != user:
		return user, false, fault.New(fault.PhoneTaken, "the phone belongs to another user")
	case p.HasUser:
		return p.User, false, nil
	}
	return user, true, nil
}

// Granted is the session of an attempt that was right. expires is the end of the
// session that is upgraded, zero when there is none: an upgrade never shortens a
// session.
func Granted(in *store.Attempt, owner store.UserID, expires time.Time) store.Session {
	sess := in.Grant.Session
	sess.Client, sess.Phone, sess.User = in.Client, in.Phone, owner
	if expires.After(sess.ExpiresAt) {
		sess.ExpiresAt = expires
	}
	return sess
}
