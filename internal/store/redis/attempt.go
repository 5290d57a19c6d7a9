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
// used up whatever becomes of the session. Events are queued in the ledger before the
// caller gets its answer: a kill in between loses one of which nobody was told otherwise.
// Refusals: fault.WrongCode, LimitOTP,
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
	before, err := s.guess(ctx, &in)
	if err != nil {
		// Who guesses and hangs up must not keep it from being told.
		if lost := s.QueueWebhooks(context.WithoutCancel(ctx), in.Told(err)); lost != nil {
			return store.Session{}, lost
		}
		return store.Session{}, err
	}
	ctx = context.WithoutCancel(ctx) // the code is used up
	owner, err := s.OwnPhone(ctx, store.Own{
		Now: in.Now, Client: in.Client, Phone: in.Phone, Sealed: []byte(before.sealed),
		User: in.Grant.Session.User, Known: in.Grant.Known, Device: in.Device,
	})
	if err != nil {
		return store.Session{}, err
	}
	if err := s.QueueWebhooks(ctx, in.Verified); err != nil {
		return store.Session{}, err
	}
	sess := intent.Granted(&in, owner, expires)
	if err := s.grant(ctx, &in, &sess, &before); err != nil {
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

// proven is what the server knew of a phone whose code was right.
type proven struct {
	sealed, user string
	devices      store.Devices
}

// openLane is the one in which guesses at nothing are counted.
const openLane = "open"

// guess has a ticket judged.
func (s *Store) guess(ctx context.Context, in *store.Attempt) (out proven, err error) {
	key, decoy := s.phoneKey(in.Client, in.Phone), s.decoyKey(phonePart(in.Phone))
	now, most, budget := micros(in.Now), strconv.Itoa(in.MaxAttempts), window(in.Failures)
	got, err := s.array(ctx, invocation{"ticket", []string{key, decoy}, []string{
		now, most, budget[0], budget[1], string(in.Binding), someone(in.BearerUser()), someone(in.Device),
	}})
	if err != nil {
		return out, err
	}
	switch text(got[0]) {
	case "refused":
		return out, intent.Exhausted(time.Duration(integer(got[2])))
	case "dead":
		// As slow as a guess that counts.
		nothing := store.ChallengeID{}
		_, err := s.array(ctx, invocation{"settle", []string{decoy}, []string{
			now, flag(false), most, budget[0], budget[1], string(nothing[:]), openLane,
		}})
		if err != nil {
			return out, err
		}
		return out, fault.New(fault.WrongCode, text(got[1]))
	}
	ch, lane := challenge(got), text(got[len(got)-1])
	right := in.Match(ch)
	got, err = s.array(context.WithoutCancel(ctx), invocation{
		"settle", []string{key}, []string{now, flag(right), most, budget[0], budget[1], string(ch.ID[:]), lane},
	})
	if err != nil {
		return out, err
	}
	if text(got[0]) == "right" {
		return proven{sealed: text(got[1]), user: text(got[2]), devices: store.Devices(text(got[3]))}, nil
	}
	retryable := integer(got[1]) == 1
	return out, &fault.Error{Kind: fault.WrongCode, Detail: "code is wrong", Retryable: retryable, Exhausted: !retryable}
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

// grant creates or upgrades the session of an attempt that was right. If the ledger
// knows more of the phone now than the server did before, the server learns it at the
// same time; should that fail, the next send tells it.
func (s *Store) grant(ctx context.Context, in *store.Attempt, sess *store.Session, before *proven) error {
	function := "session_put"
	if in.Grant.Upgrade {
		function = "session_upgrade"
	}
	calls := []invocation{{function, []string{s.sessionKey(sess.ID)}, []string{
		micros(in.Now), micros(sess.ExpiresAt), sess.Client, string(sess.User[:]), string(sess.Phone[:]),
		strings.Join(sess.AMR, " "), micros(sess.AuthTime), micros(sess.CreatedAt), sess.Issuer, sess.Subject,
	}}}
	user, devices := string(sess.User[:]), before.devices.With(in.Device)
	if user != before.user || devices != before.devices {
		calls = append(calls, invocation{"own", []string{s.phoneKey(in.Client, in.Phone)}, []string{micros(in.Now), user, string(devices)}})
	}
	answer := s.invokeAll(ctx, calls)[0]
	switch {
	case answer.err != nil:
		return answer.err
	case answer.int() == 1:
		return nil
	case in.Grant.Upgrade:
		return intent.Gone()
	default:
		return fault.New(fault.Internal, "redis: the session id is in use")
	}
}
