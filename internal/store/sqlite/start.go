package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

// phoneRow is what an operation needs of a phone.
type phoneRow struct {
	id          store.PhoneID
	found       bool
	optedOut    bool
	blocked     time.Time // until then
	user        store.UserID
	hasUser     bool
	burst       time.Time
	day         []byte
	failures    []byte
	lastMessage []byte
	challenges  challengeList
}

// StartChallenge carries out the intent as one durable operation. Refusals:
// fault.LimitSMS, LimitOTP, LimitClient, OptedOut, Blocked, IdempotencyMismatch.
func (s *Store) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	client, err := s.clientNo(ctx, in.Client)
	if err != nil {
		return store.Started{}, err
	}
	var out store.Started
	err = s.writer.do(ctx, func(t *tx) error {
		out = store.Started{}
		return t.start(client, &in, &out)
	})
	if err != nil {
		return store.Started{}, err
	}
	return out, nil
}

func (t *tx) start(client int64, in *store.Start, out *store.Started) error {
	if in.Idempotency != nil {
		if done, err := t.replay(in, out); done || err != nil {
			return err
		}
	}
	p, err := t.findPhone(client, in.Phone, in.Former)
	if err != nil {
		return err
	}
	if p.optedOut {
		return fault.New(fault.OptedOut, "phone opted out")
	}
	if in.Now.Before(p.blocked) {
		return fault.New(fault.Blocked, "phone is blocked")
	}
	grants, err := t.passLimits(in, &p)
	if err != nil {
		return err
	}
	ch := challengeFor(in, &p)
	if err := t.insertMessage(client, in, &p, &ch); err != nil {
		return err
	}
	if err := t.savePhone(client, in, &p, grants.burst); err != nil {
		return err
	}
	for i := range in.Charges {
		if !in.Charges[i].Bucket.Unlimited() {
			t.limits.store(in.Charges[i].Key, grants.charges[i])
		}
	}
	out.Phone, out.Challenge = p.id, ch
	if in.Idempotency == nil {
		return nil
	}
	return prepare(t.conn, `INSERT OR REPLACE INTO idempotency (idempotency_key, body, phone_id, expires_at) VALUES (?, ?, ?, ?)`).
		blob(in.Idempotency.Key[:]).blob(in.Idempotency.Body[:]).blob(p.id[:]).time(in.Idempotency.ExpiresAt).exec()
}

// replay answers a send whose idempotency key was used before.
func (t *tx) replay(in *store.Start, out *store.Started) (done bool, err error) {
	var body [32]byte
	done, err = prepare(t.conn, `SELECT body, phone_id FROM idempotency WHERE idempotency_key = ? AND expires_at > ?`).
		blob(in.Idempotency.Key[:]).time(in.Now).
		one(func(s *sqlite.Stmt) {
			s.ColumnBytes(0, body[:])
			out.Phone = columnID(s, 1)
		})
	if !done || err != nil {
		return done, err
	}
	if body != in.Idempotency.Body {
		return true, fault.New(fault.IdempotencyMismatch, "idempotency key was used with another body")
	}
	out.Replayed = true
	return true, nil
}

// findPhone looks under the primary id and then under those of older index
// keys; a phone that is not known yet gets the primary one.
func (t *tx) findPhone(client int64, primary store.PhoneID, formerIDs []store.PhoneID) (phoneRow, error) {
	p, err := t.phone(client, primary)
	if err != nil || p.found {
		return p, err
	}
	for _, id := range formerIDs {
		former, err := t.phone(client, id)
		if err != nil || former.found {
			return former, err
		}
	}
	return p, nil
}

func (t *tx) phone(client int64, id store.PhoneID) (phoneRow, error) {
	p := phoneRow{id: id}
	found, err := prepare(t.conn, `SELECT opted_out_at, user_id, burst_tat, day_log, failure_log, last_message, challenges, blocked_until
		FROM phones WHERE phone_id = ? AND client_no = ?`).blob(id[:]).int(client).
		one(func(s *sqlite.Stmt) {
			p.optedOut = s.ColumnInt64(0) != 0
			p.hasUser = !s.ColumnIsNull(1)
			p.user = columnID(s, 1)
			p.burst = columnTime(s, 2)
			p.day = columnBlob(s, 3)
			p.failures = columnBlob(s, 4)
			p.lastMessage = columnBlob(s, 5)
			p.challenges = columnBlob(s, 6)
			p.blocked = columnTime(s, 7)
		})
	p.found = found
	return p, err
}

// grants are the theoretical arrival times to store once every limit passed.
type grants struct {
	burst   time.Time
	charges [4]time.Time
}

// passLimits asks every limit before any is charged. When several refuse, the
// one with the longest wait is told, so that waiting as told is enough.
func (t *tx) passLimits(in *store.Start, p *phoneRow) (grants, error) {
	g := grants{burst: p.burst}
	var refusal *fault.Error
	consider := func(d guard.Decision, kind fault.Kind, name string) {
		if !d.Allowed && (refusal == nil || d.RetryAfter > refusal.RetryAfter) {
			refusal = &fault.Error{Kind: kind, Detail: "limit " + name, Limit: name, RetryAfter: d.RetryAfter}
		}
	}
	if l := in.PhoneLimits; l != nil {
		burst := l.Burst.Take(in.Now, p.burst)
		g.burst = burst.Next
		consider(burst, fault.LimitSMS, store.LimitPhoneBurst)
		consider(l.Day.Admit(in.Now, p.day), fault.LimitSMS, store.LimitPhoneDay)
		consider(l.Failures.Admit(in.Now, p.failures), fault.LimitOTP, store.LimitPhoneFailures)
	}
	if len(in.Charges) > len(g.charges) {
		return g, fault.New(fault.Internal, "too many charges")
	}
	for i := range in.Charges {
		c := &in.Charges[i]
		d, err := t.check(in.Now, c)
		if err != nil {
			return g, err
		}
		g.charges[i] = d.Next
		kind := fault.LimitSMS
		if c.OfClient {
			kind = fault.LimitClient
		}
		consider(d, kind, c.Name)
	}
	if refusal != nil {
		return g, refusal
	}
	return g, nil
}

// challengeFor returns the live challenge with the same binding, or starts the
// one that the intent brings. Whatever is dead is dropped on the way.
func challengeFor(in *store.Start, p *phoneRow) store.Challenge {
	p.challenges = p.challenges.prune(in.Now)
	ch, found := p.challenges.find(in.Challenge.Binding)
	// Nobody could type a code of the length that the client has given up.
	if found && ch.Attempts < in.MaxAttempts && ch.Digits == in.Challenge.Digits {
		return ch
	}
	p.challenges = p.challenges.put(in.Challenge)
	return in.Challenge
}

func (t *tx) insertMessage(client int64, in *store.Start, p *phoneRow, ch *store.Challenge) error {
	now := micros(in.Now)
	return prepare(t.conn, `INSERT INTO messages
		(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, due_at, created_at, expires_at, locale)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(in.Message[:]).int(client).blob(p.id[:]).blobOrNull(p.lastMessage).blob(ch.ID[:]).
		int(int64(ch.KeyVersion)).int(int64(ch.Digits)).int(int64(store.MessageQueued)).int(now).int(now).
		time(ch.ExpiresAt).text(in.Locale).exec()
}

func (t *tx) savePhone(client int64, in *store.Start, p *phoneRow, burst time.Time) error {
	day := p.day
	if l := in.PhoneLimits; l != nil {
		day = l.Day.Record(in.Now, p.day)
	}
	if p.found {
		return prepare(t.conn, `UPDATE phones SET burst_tat = ?, day_log = ?, last_message = ?, last_send_at = ?, challenges = ?, challenges_until = ?
			WHERE phone_id = ?`).time(burst).blobOrNull(day).blob(in.Message[:]).time(in.Now).
			blobOrNull(p.challenges).time(p.challenges.until()).blob(p.id[:]).exec()
	}
	return prepare(t.conn, `INSERT INTO phones
		(phone_id, client_no, sealed, created_at, burst_tat, day_log, last_message, last_send_at, challenges, challenges_until)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).
		blob(p.id[:]).int(client).blob(in.Sealed).time(in.Now).time(burst).blobOrNull(day).blob(in.Message[:]).time(in.Now).
		blobOrNull(p.challenges).time(p.challenges.until()).exec()
}
