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
	// Refused: the phone's failure budget is used up.
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

// Attempt judges a guess. The error is nil for Right only.
func (p *Phone) Attempt(in *store.Attempt) (Judged, error) {
	if !p.Known {
		return Uncounted, fault.New(fault.WrongCode, "phone is unknown")
	}
	if d := in.Failures.Admit(in.Now, p.Failures); !d.Allowed {
		return Refused, &fault.Error{
			Kind: fault.LimitOTP, Detail: "failure budget of the phone is used up",
			Limit: store.LimitPhoneFailures, RetryAfter: d.RetryAfter,
		}
	}
	ch, dead := p.Challenges.open(in)
	switch {
	case dead != "":
		return Uncounted, fault.New(fault.WrongCode, dead)
	case !in.Match(ch):
		return Counted, p.miss(in, ch)
	}
	p.Challenges = p.Challenges.Remove(ch.Binding).Prune(in.Now)
	return Right, nil
}

// open returns the challenge that the attempt is for: the one bound to the
// caller if that takes attempts, else the one that nobody is bound to. When
// there is none, dead says why, for the log.
func (l Challenges) open(in *store.Attempt) (ch store.Challenge, dead string) {
	judge := func(b store.Binding) string {
		var found bool
		if ch, found = l.Find(b); !found {
			return "no challenge"
		}
		return deadReason(ch, in)
	}
	if dead = judge(in.Binding); dead == "" || in.Binding == "" {
		return ch, dead
	}
	if judge("") == "" {
		dead = ""
	}
	return ch, dead
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

// miss counts a wrong guess against the challenge and against the phone.
func (p *Phone) miss(in *store.Attempt, ch store.Challenge) error {
	ch.Attempts++
	if !in.Failures.Unlimited() {
		p.Failures = in.Failures.Record(in.Now, p.Failures)
	}
	p.Challenges = p.Challenges.Put(ch)
	retryable := ch.Attempts < in.MaxAttempts && in.Failures.Admit(in.Now, p.Failures).Allowed
	return &fault.Error{Kind: fault.WrongCode, Detail: "code is wrong", Retryable: retryable}
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
