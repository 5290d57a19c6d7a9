package sqlite

import (
	"context"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
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
		err := t.attempt(client, &in, &out)
		told := in.Told(err)
		for i := range told {
			if err := t.queueWebhook(&told[i]); err != nil {
				return err
			}
		}
		return err
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
			return intent.Gone()
		}
	}
	p, err := t.phone(client, in.Phone)
	if err != nil {
		return err
	}
	judged, err := p.Attempt(in)
	switch judged {
	case intent.Refused:
		return err
	case intent.Uncounted:
		if pad := prepare(t.conn, `UPDATE padding SET n = n + 1 WHERE id = 1`).exec(); pad != nil {
			return pad
		}
		return err
	case intent.Counted:
		miss := prepare(t.conn, `UPDATE phones SET failure_log = ?, lanes = ?, challenges = ? WHERE phone_id = ?`).
			blobOrNull(p.Failures).blobOrNull(p.Lanes).blobOrNull(p.Challenges).blob(in.Phone[:]).exec()
		if miss != nil {
			return miss
		}
		return err
	}
	return t.grant(client, in, &p, expires, out)
}

// grant decides whose phone it is and creates or upgrades the session. The
// challenge is consumed whatever it decides: that the phone is another's is told
// after possession was proved.
func (t *tx) grant(client int64, in *store.Attempt, p *intent.Phone, expires time.Time, out *store.Session) error {
	other, err := t.phoneOf(&in.Grant)
	if err != nil {
		return err
	}
	owner, first, refusal := p.Owner(in.Grant.Session.User, in.Grant.Known, other)
	if refusal == nil {
		p.Remember(in.Device)
	}
	if !first || refusal != nil {
		err := prepare(t.conn, `UPDATE phones SET challenges = ?, challenges_until = ?, devices = ? WHERE phone_id = ?`).
			blobOrNull(p.Challenges).time(p.Challenges.Until()).blobOrNull([]byte(p.Devices)).blob(in.Phone[:]).exec()
		if err != nil {
			return err
		}
		if refusal != nil {
			return refusal
		}
	} else if err := t.own(client, in.Now, p, owner); err != nil {
		return err
	}
	sess := intent.Granted(in, owner, expires)
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
func (t *tx) own(client int64, now time.Time, p *intent.Phone, user store.UserID) error {
	err := prepare(t.conn, `UPDATE phones SET user_id = ?, verified_at = ?, challenges = ?, challenges_until = ?, devices = ? WHERE phone_id = ?`).
		blob(user[:]).time(now).blobOrNull(p.Challenges).time(p.Challenges.Until()).blobOrNull([]byte(p.Devices)).blob(p.ID[:]).exec()
	if err != nil {
		return err
	}
	return prepare(t.conn, `INSERT OR REPLACE INTO users (user_id, client_no, phone_id) VALUES (?, ?, ?)`).
		blob(user[:]).int(client).blob(p.ID[:]).exec()
}

// phoneOf is the phone that the bearer's user has; nil without one.
func (t *tx) phoneOf(g *store.Grant) (*store.PhoneID, error) {
	if !g.Known {
		return nil, nil //nolint:nilnil // no bearer, no phone
	}
	var other store.PhoneID
	found, err := prepare(t.conn, `SELECT phone_id FROM users WHERE user_id = ?`).blob(g.Session.User[:]).
		one(func(s *sqlite.Stmt) { other = columnID(s, 0) })
	if !found || err != nil {
		return nil, err
	}
	return &other, nil
}
