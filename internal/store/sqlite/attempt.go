package sqlite

import (
	"context"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Attempt carries out the intent as one durable operation and returns the
// session that it granted. Refusals: fault.WrongCode, LimitOTP, MismatchPhone,
// PhoneTaken, InvalidAuthorization.
func (s *Store) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Session{}, err
	}
	var out store.Session
	err = s.writer.do(ctx, func(t *tx) error {
		out = store.Session{}
		return t.attempt(client, &in, &out)
	})
	if err != nil {
		return store.Session{}, err
	}
	return out, nil
}

func (t *tx) attempt(client int64, in *store.Attempt, out *store.Session) error {
	var expires time.Time // of the session to upgrade
	if in.Grant.Upgrade {
		alive, err := prepare(t.conn, `SELECT expires_at FROM sessions WHERE session_id = ? AND client_no = ? AND expires_at > ?`).
			blob(in.Grant.Session.ID[:]).int(client).time(in.Now).one(func(s *sqlite.Stmt) { expires = columnTime(s, 0) })
		if err != nil {
			return err
		}
		if !alive {
			return fault.New(fault.InvalidAuthorization, "session is gone")
		}
	}
	p, err := t.phone(client, in.Phone)
	if err != nil {
		return err
	}
	if !p.found {
		return t.wrong("phone is unknown")
	}
	if d := in.Failures.Admit(in.Now, p.failures); !d.Allowed {
		return &fault.Error{
			Kind: fault.LimitOTP, Detail: "failure budget of the phone is used up",
			Limit: store.LimitPhoneFailures, RetryAfter: d.RetryAfter,
		}
	}
	ch, dead := p.challenges.open(in)
	switch {
	case dead != "":
		return t.wrong(dead)
	case !in.Match(ch):
		return t.fail(in, &p, ch)
	}
	p.challenges = p.challenges.remove(ch.Binding).prune(in.Now)
	return t.grant(client, in, &p, expires, out)
}

// open returns the challenge that the attempt is for: the one bound to the
// caller if that takes attempts, else the one that nobody is bound to. When
// there is none, dead says why, for the log.
func (l challengeList) open(in *store.Attempt) (ch store.Challenge, dead string) {
	judge := func(b store.Binding) string {
		var found bool
		if ch, found = l.find(b); !found {
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

// wrong refuses without having counted anything; the padding write makes the
// refusal as slow as one that counts (the caller must not learn which it was).
func (t *tx) wrong(detail string) error {
	if err := prepare(t.conn, `UPDATE padding SET n = n + 1 WHERE id = 1`).exec(); err != nil {
		return err
	}
	return fault.New(fault.WrongCode, detail)
}

// fail counts a wrong guess against the challenge and against the phone.
func (t *tx) fail(in *store.Attempt, p *phoneRow, ch store.Challenge) error {
	ch.Attempts++
	failures := p.failures
	if !in.Failures.Unlimited() {
		failures = in.Failures.Record(in.Now, p.failures)
	}
	err := prepare(t.conn, `UPDATE phones SET failure_log = ?, challenges = ? WHERE phone_id = ?`).
		blobOrNull(failures).blobOrNull(p.challenges.put(ch)).blob(in.Phone[:]).exec()
	if err != nil {
		return err
	}
	retryable := ch.Attempts < in.MaxAttempts && in.Failures.Admit(in.Now, failures).Allowed
	return &fault.Error{Kind: fault.WrongCode, Detail: "code is wrong", Retryable: retryable}
}

// grant decides whose phone it is and creates or upgrades the session. The
// challenge is consumed whatever it decides: that the phone is another's is told
// after possession was proved.
func (t *tx) grant(client int64, in *store.Attempt, p *phoneRow, expires time.Time, out *store.Session) error {
	sess := in.Grant.Session
	sess.Client, sess.Phone = in.Client, in.Phone
	if expires.After(sess.ExpiresAt) {
		sess.ExpiresAt = expires // an upgrade never shortens a session
	}
	var refusal error
	switch {
	case in.Grant.Known:
		refused, err := t.mayOwn(sess.User, p)
		if err != nil {
			return err
		}
		refusal = refused
	case p.hasUser:
		sess.User = p.user
	}
	if p.hasUser || refusal != nil {
		err := prepare(t.conn, `UPDATE phones SET challenges = ?, challenges_until = ? WHERE phone_id = ?`).
			blobOrNull(p.challenges).time(p.challenges.until()).blob(in.Phone[:]).exec()
		if err != nil {
			return err
		}
		if refusal != nil {
			return refusal
		}
	} else if err := t.own(client, in, p, sess.User); err != nil {
		return err
	}
	*out = sess
	amr := strings.Join(sess.AMR, " ")
	if in.Grant.Upgrade {
		return prepare(t.conn, `UPDATE sessions SET phone_id = ?, amr = ?, auth_time = ?, expires_at = ? WHERE session_id = ?`).
			blob(sess.Phone[:]).text(amr).time(sess.AuthTime).time(sess.ExpiresAt).blob(sess.ID[:]).exec()
	}
	return prepare(t.conn, `INSERT INTO sessions
		(session_id, client_no, user_id, phone_id, amr, auth_time, created_at, expires_at, issuer, subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(sess.ID[:]).int(client).blob(sess.User[:]).blob(sess.Phone[:]).text(amr).
		time(sess.AuthTime).time(sess.CreatedAt).time(sess.ExpiresAt).text(sess.Issuer).text(sess.Subject).exec()
}

// own gives the phone to its first user.
func (t *tx) own(client int64, in *store.Attempt, p *phoneRow, user store.UserID) error {
	err := prepare(t.conn, `UPDATE phones SET user_id = ?, verified_at = ?, challenges = ?, challenges_until = ? WHERE phone_id = ?`).
		blob(user[:]).time(in.Now).blobOrNull(p.challenges).time(p.challenges.until()).blob(in.Phone[:]).exec()
	if err != nil {
		return err
	}
	return prepare(t.conn, `INSERT OR REPLACE INTO users (user_id, client_no, phone_id) VALUES (?, ?, ?)`).
		blob(user[:]).int(client).blob(in.Phone[:]).exec()
}

// mayOwn refuses when the user has another phone, or the phone another user.
func (t *tx) mayOwn(user store.UserID, p *phoneRow) (refusal, err error) {
	var other store.PhoneID
	found, err := prepare(t.conn, `SELECT phone_id FROM users WHERE user_id = ?`).blob(user[:]).
		one(func(s *sqlite.Stmt) { other = columnID(s, 0) })
	switch {
	case err != nil:
		return nil, err
	case found && other != p.id:
		return fault.New(fault.MismatchPhone, "the user has another verified phone"), nil
	case p.hasUser && p.user != user:
		return fault.New(fault.PhoneTaken, "the phone belongs to another user"), nil
	}
	return nil, nil
}
