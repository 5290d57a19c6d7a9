package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// Attempt carries out the intent in steps: a ticket to guess, of which there are as
// many as attempts; the judgment; what the ticket came to; whose phone it is; and the
// session. A ticket that nobody settles stays spent, and a code that was right is
// used up whatever becomes of the session. Refusals: fault.WrongCode, LimitOTP,
// MismatchPhone, PhoneTaken, InvalidAuthorization.
func (s *Store) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	if err := s.knowClient(ctx, in.Client, in.Phone); err != nil {
		return store.Session{}, err
	}
	var expires time.Time // of the session to upgrade
	if in.Grant.Upgrade {
		old, err := s.Session(ctx, in.Now, in.Grant.Session.ID)
		if err == nil && old.Client != in.Client {
			err = intent.Gone()
		}
		if err != nil {
			return store.Session{}, err
		}
		expires = old.ExpiresAt
	}
	sealed, err := s.guess(ctx, &in)
	if err != nil {
		return store.Session{}, err
	}
	ctx = context.WithoutCancel(ctx) // the code is used up
	owner, err := s.OwnPhone(ctx, store.Own{
		Now: in.Now, Client: in.Client, Phone: in.Phone, Sealed: []byte(sealed), User: in.Grant.Session.User, Known: in.Grant.Known,
	})
	if err != nil {
		return store.Session{}, err
	}
	sess := intent.Granted(&in, owner, expires)
	if err := s.grant(ctx, &in, &sess); err != nil {
		return store.Session{}, err
	}
	return sess, nil
}

// knowClient refuses a client that is not stored, with fault.NotFound. One that is
// stored stays so.
func (s *Store) knowClient(ctx context.Context, client string, phone store.PhoneID) error {
	if _, ok := s.clients.Load(client); ok {
		return nil
	}
	if _, err := s.PhoneFacts(ctx, client, phone, nil); err != nil {
		return err
	}
	s.clients.Store(client, true)
	return nil
}

// guess has a ticket judged. It returns the sealed number of the phone when the guess
// was right.
func (s *Store) guess(ctx context.Context, in *store.Attempt) (sealed string, err error) {
	key, decoy := s.phoneKey(in.Client, in.Phone), s.decoyKey(phonePart(in.Phone))
	now, most, budget := micros(in.Now), strconv.Itoa(in.MaxAttempts), window(in.Failures)
	got, err := s.array(ctx, invocation{"ticket", []string{key, decoy}, []string{now, most, budget[0], budget[1], string(in.Binding)}})
	if err != nil {
		return "", err
	}
	switch text(got[0]) {
	case "refused":
		return "", &fault.Error{
			Kind: fault.LimitOTP, Detail: "failure budget of the phone is used up",
			Limit: store.LimitPhoneFailures, RetryAfter: time.Duration(integer(got[2])),
		}
	case "dead":
		// As slow as a guess that counts.
		nothing := store.ChallengeID{}
		_, err := s.array(ctx, invocation{"settle", []string{decoy}, []string{now, flag(false), most, budget[0], budget[1], string(nothing[:])}})
		if err != nil {
			return "", err
		}
		return "", fault.New(fault.WrongCode, text(got[1]))
	}
	ch := challenge(got)
	right := in.Match(ch)
	got, err = s.array(context.WithoutCancel(ctx), invocation{
		"settle", []string{key}, []string{now, flag(right), most, budget[0], budget[1], string(ch.ID[:])},
	})
	if err != nil {
		return "", err
	}
	if text(got[0]) == "right" {
		return text(got[1]), nil
	}
	return "", &fault.Error{Kind: fault.WrongCode, Detail: "code is wrong", Retryable: integer(got[1]) == 1}
}

// array calls a function that answers with an array.
func (s *Store) array(ctx context.Context, in invocation) ([]rueidis.RedisMessage, error) {
	message, err := s.invoke(ctx, in)
	if err != nil {
		return nil, err
	}
	got, err := message.ToArray()
	if err != nil {
		return nil, unavailable("answered otherwise than agreed", err)
	}
	return got, nil
}

// grant creates or upgrades the session of an attempt that was right.
func (s *Store) grant(ctx context.Context, in *store.Attempt, sess *store.Session) error {
	function := "session_put"
	if in.Grant.Upgrade {
		function = "session_upgrade"
	}
	message, err := s.call(
		ctx, function, s.sessionKey(sess.ID), micros(in.Now), micros(sess.ExpiresAt), sess.Client, string(sess.User[:]), string(sess.Phone[:]),
		strings.Join(sess.AMR, " "), micros(sess.AuthTime), micros(sess.CreatedAt), sess.Issuer, sess.Subject,
	)
	switch {
	case err != nil:
		return err
	case integer(message) == 1:
		return nil
	case in.Grant.Upgrade:
		return intent.Gone()
	default:
		return fault.New(fault.Internal, "redis: the session id is in use")
	}
}
