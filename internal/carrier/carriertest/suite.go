package carriertest

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// Subject is a carrier under test together with its counterpart.
type Subject struct {
	// New returns a carrier that is connected to a fresh counterpart.
	New func(t *testing.T) carrier.Carrier
	// Accepted is a number for which the counterpart takes the message,
	// Rejected one that it refuses for good.
	Accepted, Rejected string
}

// prompt is how long a carrier may take once its context has ended.
const prompt = 5 * time.Second

// Run is the suite that every carrier passes.
func Run(t *testing.T, s Subject) {
	t.Helper()
	t.Run("name", s.name)
	t.Run("accepted", s.accepted)
	t.Run("rejected", s.rejected)
	t.Run("canceled context", s.canceled)
	t.Run("concurrent", s.concurrent)
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
		From:       "Acme",
		Text:       message.Render("Acme", "123456"),
		ValidUntil: time.Now().Add(10 * time.Minute),
	}
}

var stable = regexp.MustCompile(`^[a-z0-9_]{1,48}$`)

func (s Subject) name(t *testing.T) {
	c := s.New(t)
	if !stable.MatchString(c.Name()) {
		t.Errorf("name %q does not match %v", c.Name(), stable)
	}
	name, traits := c.Name(), c.Traits()
	if _, err := c.Send(t.Context(), Message(t, s.Accepted)); err != nil {
		t.Fatal(err)
	}
	if c.Name() != name || c.Traits() != traits {
		t.Error("a send changed name or traits")
	}
}

func (s Subject) accepted(t *testing.T) {
	receipt, err := s.New(t).Send(t.Context(), Message(t, s.Accepted))
	if err != nil {
		t.Fatalf("got %v, want a receipt", err)
	}
	if len(receipt.Ref) > 128 {
		t.Errorf("ref of %d bytes", len(receipt.Ref))
	}
}

func (s Subject) rejected(t *testing.T) {
	receipt, err := s.New(t).Send(t.Context(), Message(t, s.Rejected))
	e := typed(t, err)
	if e.Class != carrier.Rejected {
		t.Errorf("class %v, want rejected", e.Class)
	}
	if receipt != (carrier.Receipt{}) {
		t.Error("a receipt along with the error")
	}
}

// canceled: what never left is no rejection, and nobody waits for it.
func (s Subject) canceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	_, err := s.New(t).Send(ctx, Message(t, s.Accepted))
	if took := time.Since(begun); took > prompt {
		t.Errorf("returned after %v", took)
	}
	if e := typed(t, err); e.Class == carrier.Rejected {
		t.Error("a canceled send counts as rejected: the message would be lost")
	}
}

func (s Subject) concurrent(t *testing.T) {
	c := s.New(t)
	var wg sync.WaitGroup
	for range 32 {
		m := Message(t, s.Accepted)
		wg.Go(func() {
			if _, err := c.Send(t.Context(), m); err != nil {
				t.Errorf("one of many: %v", err)
			}
		})
	}
	wg.Wait()
}

func typed(t *testing.T, err error) *carrier.Error {
	t.Helper()
	var e *carrier.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *carrier.Error", err, err)
	}
	if !stable.MatchString(e.Reason) {
		t.Errorf("reason %q does not match %v", e.Reason, stable)
	}
	return e
}
