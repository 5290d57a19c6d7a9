package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// StartChallenge carries out the intent: first everything beside the phone is asked
// and charged, at once; then one step on the phone decides. Refusals:
// fault.LimitSMS, LimitOTP, LimitClient, OptedOut, Blocked, IdempotencyMismatch.
func (s *Store) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	if len(in.Charges) > intent.MaxCharges {
		return store.Started{}, fault.New(fault.Internal, "too many charges")
	}
	send := sending{store: s, in: &in, now: micros(in.Now)}
	if err := send.prepare(ctx); err != nil {
		send.undo(ctx)
		return store.Started{}, err
	}
	out, keep, err := send.decide(ctx)
	switch {
	case err == nil && out.Replayed:
		send.giveBack(ctx, false)
	case !keep:
		send.undo(ctx)
	case err != nil:
		err = fault.MarkUnsure(err)
	}
	return out, err
}

// sending is a send on its way.
type sending struct {
	store *Store
	in    *store.Start
	now   string
	facts store.PhoneFacts
	// reserved tells that the idempotency key is noted as ours, too.
	reserved bool
	// taken are the charges that were made, nil for those that were not.
	taken [intent.MaxCharges]*taking
	// refusal is that of a charge, with the longest wait.
	refusal *fault.Error
}

// taking is what a charge changed, and when by the server's clock.
type taking struct{ tat, before, at int64 }

// prepare asks the ledger for the phone and, at the same time, charges the limits
// beside it and reserves the idempotency key.
func (s *sending) prepare(ctx context.Context) error {
	facts := make(chan error, 1)
	go func() {
		var err error
		s.facts, err = s.store.PhoneFacts(ctx, s.in.Client, s.in.Phone, s.in.Former)
		facts <- err
	}()
	calls := make([]invocation, 0, 2+len(s.in.Charges)+len(s.in.Former))
	for i := range s.in.Charges {
		if c := &s.in.Charges[i]; !c.Bucket.Unlimited() {
			calls = append(calls, invocation{"charge", []string{s.store.limitKey(c.Key)}, append([]string{s.now}, bucket(c.Bucket)...)})
		}
	}
	charges := len(calls)
	if k := s.in.Idempotency; k != nil {
		calls = append(calls, invocation{"reserve", []string{s.store.reservationKey(k.Key)}, []string{s.now, micros(k.ExpiresAt), string(k.Body[:])}})
	}
	// The ledger may not know yet what was accepted a moment ago.
	ids := s.ids()
	for _, id := range ids {
		calls = append(calls, invocation{function: "known", keys: []string{s.store.phoneKey(s.in.Client, id)}})
	}
	var answers []answer
	if len(calls) > 0 {
		answers = s.store.invokeAll(ctx, calls)
	}
	err := s.note(answers[:charges])
	rest := answers[charges:]
	if s.in.Idempotency != nil {
		switch a := rest[0]; {
		case a.err != nil:
			err = first(err, a.err)
		case a.int() == 0:
			err = first(err, fault.New(fault.IdempotencyMismatch, "idempotency key was used with another body"))
		default:
			s.reserved = true
		}
		rest = rest[1:]
	}
	if ledger := <-facts; ledger != nil {
		return ledger
	}
	s.store.clients.Store(s.in.Client, true)
	return first(err, s.recognize(ids, rest))
}

// ids are the phone's possible ones, the primary first; none when there is no choice.
func (s *sending) ids() []store.PhoneID {
	if len(s.in.Former) == 0 {
		return nil
	}
	return append([]store.PhoneID{s.in.Phone}, s.in.Former...)
}

// note remembers what was charged and what was refused.
func (s *sending) note(answers []answer) (err error) {
	next := 0
	for i := range s.in.Charges {
		c := &s.in.Charges[i]
		if c.Bucket.Unlimited() {
			continue
		}
		a := answers[next]
		next++
		if a.err != nil {
			err = first(err, a.err)
			continue
		}
		got, asked := a.message.AsIntSlice()
		switch {
		case asked != nil || len(got) < 2 || got[0] == 1 && len(got) < 4:
			err = first(err, unavailable("answered otherwise than agreed", asked))
		case got[0] == 1:
			s.taken[i] = &taking{got[1], got[2], got[3]}
		default:
			kind := fault.LimitSMS
			if c.OfClient {
				kind = fault.LimitClient
			}
			s.consider(kind, c.Name, got[1])
		}
	}
	return err
}

// consider keeps the refusal with the longest wait, so that waiting as told is enough.
func (s *sending) consider(kind fault.Kind, name string, wait int64) {
	if after := time.Duration(wait); s.refusal == nil || after > s.refusal.RetryAfter {
		s.refusal = &fault.Error{Kind: kind, Detail: "limit " + name, Limit: name, RetryAfter: after}
	}
}

// recognize finds the phone under the first id that it is known by here or there.
func (s *sending) recognize(ids []store.PhoneID, answers []answer) error {
	for i, a := range answers {
		if a.err != nil {
			return a.err
		}
		if s.facts.Known && s.facts.ID == ids[i] {
			return nil
		}
		if a.int() == 1 {
			s.facts = store.PhoneFacts{ID: ids[i]}
			return nil
		}
	}
	return nil
}

// decide takes the step on the phone. keep tells that what was charged stays charged:
// the message was accepted, or nobody knows.
func (s *sending) decide(ctx context.Context) (out store.Started, keep bool, err error) {
	var marked *fault.Error
	switch {
	case s.in.Refusal != nil:
		marked = s.in.Refusal
	case s.facts.OptedOut:
		marked = fault.New(fault.OptedOut, "phone opted out")
	case s.in.Now.Before(s.facts.BlockedUntil):
		marked = fault.New(fault.Blocked, "phone is blocked")
	case s.in.ProvenOnly && !s.facts.HasUser:
		marked = intent.Unproven()
	}
	if marked != nil && s.in.Idempotency == nil {
		return out, false, marked
	}
	dry := marked != nil || s.refusal != nil
	sealed, err := s.in.SealedFor(s.facts.ID)
	if err != nil {
		return out, false, err
	}
	message, err := s.store.invoke(ctx, s.start(dry, sealed))
	if err != nil {
		_, answered := rueidis.IsRedisErr(errors.Unwrap(err)) // then nothing was done
		return out, !dry && !answered, err
	}
	got, err := message.ToArray()
	if err != nil || len(got) == 0 {
		return out, true, unavailable("answered otherwise than agreed", err)
	}
	switch word := text(got[0]); {
	case word == "replayed":
		return store.Started{Phone: s.facts.ID, Replayed: true}, false, nil
	case word == "mismatch":
		return out, false, fault.New(fault.IdempotencyMismatch, "idempotency key was used with another body")
	case marked != nil:
		return out, false, marked
	case word == "refused":
		return out, false, s.refuse(text(got[1]), integer(got[2]))
	case word == "passed":
		return out, false, s.refusal
	}
	s.store.mover.hint(phonePart(s.facts.ID))
	return store.Started{Phone: s.facts.ID, Challenge: challenge(got)}, true, nil
}

// refuse weighs the refusal of the phone against that of a charge.
func (s *sending) refuse(limit string, wait int64) error {
	charged := s.refusal
	s.refusal = nil
	switch limit {
	case "burst":
		s.consider(fault.LimitSMS, store.LimitPhoneBurst, wait)
	case "day":
		s.consider(fault.LimitSMS, store.LimitPhoneDay, wait)
	default:
		s.consider(fault.LimitOTP, store.LimitPhoneFailures, wait)
	}
	if charged != nil && charged.RetryAfter > s.refusal.RetryAfter {
		return charged
	}
	return s.refusal
}

// start is the step on the phone, in the order of its arguments.
func (s *sending) start(dry bool, sealed []byte) invocation {
	in, id := s.in, s.facts.ID
	ch := &in.Challenge
	keys := []string{s.store.phoneKey(in.Client, id), s.store.streamKey(phonePart(id))}
	body, until := "", "0"
	if k := in.Idempotency; k != nil {
		keys = append(keys, s.store.sentKey(id, k.Key))
		body, until = string(k.Body[:]), micros(k.ExpiresAt)
	}
	args := []string{
		s.now, flag(dry), flag(in.PhoneLimits != nil),
		strconv.FormatUint(uint64(ch.KeyVersion), 10), strconv.Itoa(ch.Digits), micros(ch.CreatedAt), micros(ch.ExpiresAt),
		strconv.Itoa(in.MaxAttempts), strconv.Itoa(ch.Attempts), string(ch.ID[:]), string(ch.Binding), body, until,
		in.Client, string(id[:]), string(sealed), string(in.Message[:]), in.Locale,
		someone(in.User), someone(in.Device), someone(s.facts.User), string(s.facts.Devices),
	}
	if l := in.PhoneLimits; l != nil {
		args = append(args, bucket(l.Burst)...)
		args = append(args, window(l.Day)...)
		args = append(args, window(l.Failures)...)
	}
	return invocation{"start", keys, args}
}

// undo takes back everything: charges and the reservation.
func (s *sending) undo(ctx context.Context) { s.giveBack(ctx, s.reserved) }

// giveBack returns the charges. What cannot be returned comes back by itself, as any
// charge does, and what has come back by now is not returned again.
func (s *sending) giveBack(ctx context.Context, release bool) {
	var calls []invocation
	for i, t := range s.taken {
		if t == nil {
			continue
		}
		c := &s.in.Charges[i]
		calls = append(calls, invocation{"give", []string{s.store.limitKey(c.Key)}, []string{
			s.now, itoa(t.tat), itoa(t.before), itoa(int64(c.Bucket.Every)), itoa(t.at),
		}})
	}
	if release {
		k := s.in.Idempotency
		calls = append(calls, invocation{"release", []string{s.store.reservationKey(k.Key)}, []string{string(k.Body[:])}})
	}
	if len(calls) > 0 {
		s.store.invokeAll(context.WithoutCancel(ctx), calls)
	}
}

// challenge reads what the functions tell of one: a word and its fields.
func challenge(got []rueidis.RedisMessage) (ch store.Challenge) {
	copy(ch.ID[:], text(got[1]))
	ch.KeyVersion = uint32(integer(got[2]))
	ch.Digits = int(integer(got[3]))
	ch.CreatedAt = store.FromMicros(integer(got[4]))
	ch.ExpiresAt = store.FromMicros(integer(got[5]))
	ch.Binding = store.Binding(text(got[6]))
	ch.Attempts = int(integer(got[7]))
	return ch
}

func micros(t time.Time) string { return strconv.FormatInt(store.Micros(t), 10) }

func bucket(b guard.Bucket) []string {
	return []string{strconv.Itoa(b.Burst), strconv.FormatInt(int64(b.Every), 10)}
}

func window(w guard.Window) []string {
	return []string{strconv.Itoa(w.Max), strconv.FormatInt(int64(w.Period), 10)}
}

// someone is an id as an argument, empty for the zero one.
func someone[K ~[16]byte](id K) string {
	if [16]byte(id) == ([16]byte{}) {
		return ""
	}
	return string(id[:])
}

func flag(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// text and integer read what the functions answer, which is as agreed.
func text(m rueidis.RedisMessage) string   { v, _ := m.ToString(); return v }
func integer(m rueidis.RedisMessage) int64 { v, _ := m.AsInt64(); return v }

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
