// Package intent is what the SQL engines do alike: the rules by which a send, an
// attempt, an outcome or a receipt changes the rows that it is shown. An engine
// reads the rows, under its own locks, lets a rule decide, and writes back what
// the rule changed. Nothing here does I/O or reads a clock.
package intent

import (
	"time"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
)

// MaxCharges is how many limits one send may charge beside those of its phone.
const MaxCharges = 4

// Phone is what an engine read of a phone.
type Phone struct {
	ID store.PhoneID
	// Known is false for a phone that has no row yet.
	Known    bool
	OptedOut bool
	// Blocked is until when no message may go there.
	Blocked time.Time
	// ErasedAt is when the phone was erased, so that little but its id is there; zero
	// for one that was not, or that was sent to since.
	ErasedAt time.Time
	User     store.UserID
	HasUser  bool
	// Budget is that of the open lane, Lanes are those of the others.
	Budget
	Lanes Lanes
	// Devices are those that verified the phone.
	Devices     store.Devices
	LastMessage []byte
	Challenges  Challenges
}

// Sent is what a send made, beside what it changed in its phone.
type Sent struct {
	Challenge store.Challenge
	// Previous is the phone's message before this one; empty for its first.
	Previous []byte
	// Charges are the theoretical arrival times to store, in the order of the
	// send's charges.
	Charges [MaxCharges]time.Time
}

// Send passes the limits, joins or starts a challenge and makes the message the
// phone's last. A refusal changes nothing. check decides about one charge without
// taking it; an error that is not a refusal can only come from there.
func (p *Phone) Send(in *store.Start, check func(*store.Charge) (guard.Decision, error)) (Sent, error) {
	if in.Refusal != nil {
		return Sent{}, in.Refusal
	}
	if p.OptedOut {
		return Sent{}, fault.New(fault.OptedOut, "phone opted out")
	}
	if in.Now.Before(p.Blocked) {
		return Sent{}, fault.New(fault.Blocked, "phone is blocked")
	}
	if in.ProvenOnly && !p.HasUser {
		return Sent{}, Unproven()
	}
	out := Sent{Previous: p.LastMessage}
	who := caller{in.Challenge.Binding, in.User, in.Device}
	lane := p.lane(who)
	budget := p.budget(lane)
	burst, err := passLimits(in, &budget, check, &out)
	if err != nil {
		return Sent{}, err
	}
	if l := in.PhoneLimits; l != nil {
		budget.Burst, budget.Day = burst, l.Day.Record(in.Now, budget.Day)
		p.spend(lane, budget)
	}
	out.Challenge = p.challengeFor(in, p.bindings(who)[0])
	p.LastMessage = in.Message[:]
	return out, nil
}

// Unproven refuses a send that is held back from phones that nobody verified.
func Unproven() *fault.Error {
	return fault.New(fault.Blocked, "held back: nobody has verified the phone")
}

// passLimits asks every limit before any is charged. When several refuse, the
// one with the longest wait is told, so that waiting as told is enough.
func passLimits(in *store.Start, b *Budget, check func(*store.Charge) (guard.Decision, error), out *Sent) (burst time.Time, err error) {
	burst = b.Burst
	var refusal *fault.Error
	consider := func(d guard.Decision, kind fault.Kind, name string) {
		if !d.Allowed && (refusal == nil || d.RetryAfter > refusal.RetryAfter) {
			refusal = &fault.Error{Kind: kind, Detail: "limit " + name, Limit: name, RetryAfter: d.RetryAfter}
		}
	}
	if l := in.PhoneLimits; l != nil {
		d := l.Burst.Take(in.Now, b.Burst)
		burst = d.Next
		consider(d, fault.LimitSMS, store.LimitPhoneBurst)
		consider(l.Day.Admit(in.Now, b.Day), fault.LimitSMS, store.LimitPhoneDay)
		consider(l.Failures.Admit(in.Now, b.Failures), fault.LimitOTP, store.LimitPhoneFailures)
	}
	if len(in.Charges) > MaxCharges {
		return burst, fault.New(fault.Internal, "too many charges")
	}
	for i := range in.Charges {
		c := &in.Charges[i]
		d, err := check(c)
		if err != nil {
			return burst, err
		}
		out.Charges[i] = d.Next
		kind := fault.LimitSMS
		if c.OfClient {
			kind = fault.LimitClient
		}
		consider(d, kind, c.Name)
	}
	if refusal != nil {
		return burst, refusal
	}
	return burst, nil
}

// challengeFor returns the live challenge with that binding, or starts the one that
// the intent brings. Whatever is dead is dropped on the way.
func (p *Phone) challengeFor(in *store.Start, binding store.Binding) store.Challenge {
	p.Challenges = p.Challenges.Prune(in.Now)
	ch, found := p.Challenges.Find(binding)
	// Nobody could type a code of the length that the client has given up.
	if found && ch.Attempts < in.MaxAttempts && ch.Digits == in.Challenge.Digits {
		return ch
	}
	ch = in.Challenge
	ch.Binding = binding
	p.Challenges = p.Challenges.Put(ch)
	return ch
}

// Replay answers a send whose idempotency key was used before, with that body
// and for that phone.
func Replay(in *store.Start, body [32]byte, phone store.PhoneID) (store.Started, error) {
	if body != in.Idempotency.Body {
		return store.Started{}, fault.New(fault.IdempotencyMismatch, "idempotency key was used with another body")
	}
	return store.Started{Phone: phone, Replayed: true}, nil
}
