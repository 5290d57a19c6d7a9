// Package carriertest tests carriers and what stands above them: the suite that
// every carrier passes, and a scripted carrier for those who need one.
package carriertest

import (
	"context"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

// Step is one answer of a Fake.
type Step func(ctx context.Context, m carrier.Message) (carrier.Receipt, error)

// Accept takes the message.
func Accept() Step {
	return func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
		return carrier.Receipt{Ref: "fake-" + m.ID.String()}, nil
	}
}

// Deliver takes the message and says that it has arrived.
func Deliver() Step {
	return func(_ context.Context, m carrier.Message) (carrier.Receipt, error) {
		return carrier.Receipt{Delivered: true, Ref: "fake-" + m.ID.String()}, nil
	}
}

// Fail fails with class and reason; a shared reason has its effect.
func Fail(class carrier.Class, reason string) Step {
	err := carrier.NewError(reason, nil)
	err.Class = class
	return FailWith(err)
}

// FailWith fails with any error.
func FailWith(err error) Step {
	return func(context.Context, carrier.Message) (carrier.Receipt, error) { return carrier.Receipt{}, err }
}

// Hang answers nothing until the context ends, and then its error.
func Hang() Step {
	return func(ctx context.Context, _ carrier.Message) (carrier.Receipt, error) {
		<-ctx.Done()
		return carrier.Receipt{}, ctx.Err()
	}
}

// HangUntil breaks the port's promise: it ignores the context and answers
// nothing until release is closed, and then that the message was delivered.
func HangUntil(release <-chan struct{}) Step {
	return func(context.Context, carrier.Message) (carrier.Receipt, error) {
		<-release
		return carrier.Receipt{Delivered: true}, nil
	}
}

// Panic panics with v.
func Panic(v any) Step {
	return func(context.Context, carrier.Message) (carrier.Receipt, error) { panic(v) }
}

// After waits d, unless the context ends first, and goes on with next.
func After(d time.Duration, next Step) Step {
	return func(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return next(ctx, m)
		case <-ctx.Done():
			return carrier.Receipt{}, ctx.Err()
		}
	}
}

// Fake is a carrier that follows a script. It is safe for concurrent use.
type Fake struct {
	name   string
	traits carrier.Traits

	mu     sync.Mutex
	script []Step
	rest   Step
	sent   []carrier.Message
	times  map[store.MessageID]int
	busy   int
	peak   int
}

// NewFake returns a Fake that gives the answers of the script in order and
// rest, Accept if nil, to all that come after.
func NewFake(name string, rest Step, script ...Step) *Fake {
	if rest == nil {
		rest = Accept()
	}
	return &Fake{name: name, script: script, rest: rest, times: make(map[store.MessageID]int)}
}

// WithTraits sets what Traits returns.
func (f *Fake) WithTraits(traits carrier.Traits) *Fake {
	f.traits = traits
	return f
}

// Name implements carrier.Carrier.
func (f *Fake) Name() string { return f.name }

// Traits implements carrier.Carrier.
func (f *Fake) Traits() carrier.Traits { return f.traits }

// Send implements carrier.Carrier.
func (f *Fake) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	step := f.begin(m)
	defer f.end()
	return step(ctx, m)
}

func (f *Fake) begin(m carrier.Message) Step {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, m)
	f.times[m.ID]++
	f.busy++
	f.peak = max(f.peak, f.busy)
	if len(f.script) == 0 {
		return f.rest
	}
	step := f.script[0]
	f.script = f.script[1:]
	return step
}

func (f *Fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
}

// Sent returns the messages that Send was called with, in order.
func (f *Fake) Sent() []carrier.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]carrier.Message(nil), f.sent...)
}

// Times tells how often Send was called with that message.
func (f *Fake) Times(id store.MessageID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.times[id]
}

// Peak tells how many calls of Send ran at once at most.
func (f *Fake) Peak() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak
}
