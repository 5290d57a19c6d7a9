package carriertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/waittest"
)

// Behavior is what the counterpart of a carrier does with every message.
type Behavior uint8

// The behaviors.
const (
	// BehaviorAccept takes it.
	BehaviorAccept Behavior = iota + 1
	// BehaviorReject refuses it for good, by what the provider documents for a
	// number that does not exist or the like.
	BehaviorReject
	// BehaviorOptedOut refuses it since the owner of the phone replied STOP.
	BehaviorOptedOut
	// BehaviorRetry does not take it, for now: the provider is down.
	BehaviorRetry
	// BehaviorThrottle does not take it, since there were too many.
	BehaviorThrottle
	// BehaviorAuth does not take our credentials.
	BehaviorAuth
	// BehaviorUnknown fails in a way that leaves open whether it took it.
	BehaviorUnknown
	// BehaviorGarbage answers what makes no sense.
	BehaviorGarbage
	// BehaviorFlood answers more than any honest answer has, without end.
	BehaviorFlood
	// BehaviorSlow takes the whole message and answers when the test is over.
	BehaviorSlow
	// BehaviorCutBefore ends the connection before a message can be written.
	BehaviorCutBefore
	// BehaviorCutAfter takes the whole message and ends the connection.
	BehaviorCutAfter
)

// behaviors has the name of each; that is also what fixtures are called.
var behaviors = [...]string{
	BehaviorAccept:    "accept",
	BehaviorReject:    "reject",
	BehaviorOptedOut:  "opted-out",
	BehaviorRetry:     "retry",
	BehaviorThrottle:  "throttle",
	BehaviorAuth:      "auth",
	BehaviorUnknown:   "unknown",
	BehaviorGarbage:   "garbage",
	BehaviorFlood:     "flood",
	BehaviorSlow:      "slow",
	BehaviorCutBefore: "cut-before",
	BehaviorCutAfter:  "cut-after",
}

func (b Behavior) String() string {
	if b == 0 || int(b) >= len(behaviors) {
		return fmt.Sprintf("Behavior(%d)", uint8(b))
	}
	return behaviors[b]
}

// Subject is a carrier under test.
type Subject struct {
	// Open returns a carrier that is ready to send to a fresh counterpart with
	// that behavior. It must end with the test.
	Open func(t *testing.T, b Behavior) Peer
	// To is the number to send to, for a counterpart that behaves by number.
	// Default Number, for each.
	To func(b Behavior) string
	// Lacks says of each behavior that the counterpart cannot show why it cannot.
	Lacks map[Behavior]string
}

// Peer is a carrier with its counterpart.
type Peer struct {
	Carrier carrier.Carrier
	// Received counts the messages that the counterpart has read to their ends;
	// nil when it cannot tell.
	Received func() int
}

// Number is where the suite sends to.
const Number = "+16502530000"

const (
	// prompt is how long a carrier may take once its context has ended, or once
	// it could know the outcome.
	prompt = waittest.Slack * 5 * time.Second
	// patience is the deadline of a send that gets no answer; it leaves a busy
	// machine the time to connect.
	patience = 2 * time.Second
)

// expectation is what a carrier must make of a behavior.
type expectation struct {
	behavior Behavior
	class    carrier.Class
	effect   carrier.Effect
	// reason is empty where the provider's table decides.
	reason string
	// received is how often the counterpart gets the message: a carrier never
	// repeats a send by itself.
	received int
}

var expectations = []expectation{
	{BehaviorReject, carrier.Rejected, carrier.EffectNone, "", 1},
	{BehaviorOptedOut, carrier.Rejected, carrier.EffectOptOut, carrier.ReasonOptedOut, 1},
	{BehaviorRetry, carrier.Retryable, carrier.EffectNone, "", 1},
	{BehaviorThrottle, carrier.Retryable, carrier.EffectThrottle, carrier.ReasonThrottled, 1},
	{BehaviorAuth, carrier.Retryable, carrier.EffectMisconfigured, carrier.ReasonMisconfigured, 1},
	{BehaviorUnknown, carrier.Unknown, carrier.EffectNone, "", 1},
	{BehaviorGarbage, carrier.Unknown, carrier.EffectNone, "", 1},
	{BehaviorFlood, carrier.Unknown, carrier.EffectNone, "", 1},
	{BehaviorSlow, carrier.Unknown, carrier.EffectNone, carrier.ReasonTimeout, 1},
	{BehaviorCutBefore, carrier.Retryable, carrier.EffectNone, carrier.ReasonUnavailable, 0},
	{BehaviorCutAfter, carrier.Unknown, carrier.EffectNone, carrier.ReasonConnectionLost, 1},
}

// Run is the suite that every carrier passes.
func Run(t *testing.T, s Subject) {
	t.Helper()
	s.on(t, "name", BehaviorAccept, s.name)
	s.on(t, "accepted", BehaviorAccept, s.accepted)
	s.on(t, "concurrent", BehaviorAccept, s.concurrent)
	s.on(t, "canceled context", BehaviorAccept, s.canceled)
	for _, want := range expectations {
		s.on(t, want.behavior.String(), want.behavior, func(t *testing.T) { s.fails(t, want) })
	}
	s.on(t, "check", BehaviorAccept, func(t *testing.T) { s.check(t, BehaviorAccept, true) })
	for _, b := range []Behavior{BehaviorAuth, BehaviorCutBefore, BehaviorGarbage, BehaviorSlow} {
		s.on(t, "check "+b.String(), b, func(t *testing.T) { s.check(t, b, false) })
	}
}

func (s Subject) on(t *testing.T, name string, b Behavior, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		if why, lacks := s.Lacks[b]; lacks {
			t.Skipf("no %v: %s", b, why)
		}
		test(t)
	})
}

// Message returns a message to a number, valid for ten minutes.
func Message(tb testing.TB, to string) carrier.Message {
	tb.Helper()
	n, err := phone.Parse(to)
	if err != nil {
		tb.Fatal(err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		tb.Fatal(err)
	}
	return carrier.Message{
		ID:         store.MessageID(id),
		To:         n,
		Text:       message.Text("123456 is your Acme verification code. Don't share it."),
		ValidUntil: time.Now().Add(10 * time.Minute),
	}
}

func (s Subject) message(t *testing.T, b Behavior) carrier.Message {
	t.Helper()
	if s.To == nil {
		return Message(t, Number)
	}
	return Message(t, s.To(b))
}

func (p Peer) received(t *testing.T, want int) {
	t.Helper()
	if p.Received == nil {
		return
	}
	if got := p.Received(); got != want {
		t.Errorf("the counterpart got the message %d times, want %d", got, want)
	}
}

var stable = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,47}$`)

func (s Subject) name(t *testing.T) {
	c := s.Open(t, BehaviorAccept).Carrier
	name, traits := c.Name(), c.Traits()
	if !stable.MatchString(name) {
		t.Errorf("name %q does not match %v", name, stable)
	}
	if _, err := c.Send(t.Context(), s.message(t, BehaviorAccept)); err != nil {
		t.Fatal(err)
	}
	if c.Name() != name || c.Traits() != traits {
		t.Error("a send changed name or traits")
	}
}

func (s Subject) accepted(t *testing.T) {
	p := s.Open(t, BehaviorAccept)
	receipt, err := p.Carrier.Send(t.Context(), s.message(t, BehaviorAccept))
	if err != nil {
		t.Fatalf("got %v, want a receipt", carrier.Classify(err).Cause)
	}
	if len(receipt.Ref) > 128 {
		t.Errorf("ref of %d bytes", len(receipt.Ref))
	}
	p.received(t, 1)
}

// fails: each way to fail has its class and effect, and comes in time.
func (s Subject) fails(t *testing.T, want expectation) {
	p := s.Open(t, want.behavior)
	wait := prompt
	if want.behavior == BehaviorSlow {
		wait = patience
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	begun := time.Now()
	receipt, err := p.Carrier.Send(ctx, s.message(t, want.behavior))
	if took := time.Since(begun); took > wait+prompt {
		t.Errorf("returned after %v", took)
	}
	e := typed(t, err)
	if e.Class != want.class || e.Effect != want.effect {
		t.Errorf("got class %v, effect %d for %s, want %v, %d (cause: %v)",
			e.Class, e.Effect, e.Reason, want.class, want.effect, e.Cause)
	}
	if want.reason != "" && e.Reason != want.reason {
		t.Errorf("reason %q, want %q (cause: %v)", e.Reason, want.reason, e.Cause)
	}
	if e.Class == carrier.Unknown {
		receipt.Ref = "" // what may have been taken may be named
	}
	if receipt != (carrier.Receipt{}) {
		t.Error("a receipt along with the error")
	}
	p.received(t, want.received)
}

// canceled: what never left certainly did not arrive, and nobody waits for it.
func (s Subject) canceled(t *testing.T) {
	p := s.Open(t, BehaviorAccept)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	_, err := p.Carrier.Send(ctx, s.message(t, BehaviorAccept))
	if took := time.Since(begun); took > prompt {
		t.Errorf("returned after %v", took)
	}
	if e := typed(t, err); e.Class != carrier.Retryable || e.Reason != carrier.ReasonCanceled {
		t.Errorf("got %v %q, want retryable, canceled", e.Class, e.Reason)
	}
	p.received(t, 0)
}

func (s Subject) concurrent(t *testing.T) {
	const n = 32
	p := s.Open(t, BehaviorAccept)
	var wg sync.WaitGroup
	for range n {
		m := s.message(t, BehaviorAccept)
		wg.Go(func() {
			if _, err := p.Carrier.Send(t.Context(), m); err != nil {
				t.Errorf("one of many: %v (cause: %v)", err, carrier.Classify(err).Cause)
			}
		})
	}
	wg.Wait()
	p.received(t, n)
}

// check: a carrier that can tell whether its settings work tells the truth, and
// in time, without sending.
func (s Subject) check(t *testing.T, b Behavior, works bool) {
	p := s.Open(t, b)
	c, ok := p.Carrier.(carrier.Checker)
	if !ok {
		t.Skip("the carrier is no Checker")
	}
	wait := patience
	if works {
		wait = prompt
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	begun := time.Now()
	err := c.Check(ctx)
	if took := time.Since(begun); took > wait+prompt {
		t.Errorf("returned after %v", took)
	}
	if (err == nil) != works {
		t.Errorf("got %v, want it to work: %v", err, works)
	}
	p.received(t, 0)
}

func typed(t *testing.T, err error) *carrier.Error {
	t.Helper()
	var e *carrier.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *carrier.Error", err, err)
	}
	if !reason.MatchString(e.Reason) {
		t.Errorf("reason %q does not match %v", e.Reason, reason)
	}
	if e.RetryAfter < 0 || e.RetryAfter > 0 && e.Effect != carrier.EffectThrottle {
		t.Errorf("retry after %v with effect %d", e.RetryAfter, e.Effect)
	}
	return e
}

var reason = regexp.MustCompile(`^[a-z0-9_]{1,48}$`)
