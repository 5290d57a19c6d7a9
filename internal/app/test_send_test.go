package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/store"
)

// capture is a carrier that remembers what it got.
type capture struct {
	step carriertest.Step
	mu   sync.Mutex
	got  []carrier.Message
}

func (*capture) Name() string           { return "capture" }
func (*capture) Traits() carrier.Traits { return carrier.Traits{} }

func (c *capture) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	c.mu.Lock()
	c.got = append(c.got, m)
	step := c.step
	c.mu.Unlock()
	return step(ctx, m)
}

func (c *capture) do(step carriertest.Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.step = step
}

func newTestSends(t *testing.T) (*keeperBed, *testSends, *capture) {
	t.Helper()
	b, c := newKeeperBed(t), &capture{step: carriertest.Accept()}
	return b, &testSends{
		find:    func(route string) (carrier.Carrier, bool) { return c, route == "main" },
		clients: b.clients, ids: b.otp.PhoneIDs, phones: b.engine, lines: lookup.New(lookup.Config{Table: new(lookup.Lines)}),
		audit: b.audit, timeout: testTimeout, now: func() time.Time { return b.now }, log: slog.New(slog.DiscardHandler),
	}, c
}

func TestTestSend(t *testing.T) {
	b, s, c := newTestSends(t)
	for _, want := range []struct {
		step                  carriertest.Step
		status, class, reason string
	}{
		{carriertest.Accept(), "sent", "", ""},
		{carriertest.Deliver(), "delivered", "", ""},
		{carriertest.Fail(carrier.Retryable, carrier.ReasonThrottled), "failed", "retryable", carrier.ReasonThrottled},
		{carriertest.Fail(carrier.Rejected, carrier.ReasonLandline), "failed", "rejected", carrier.ReasonLandline},
		{carriertest.FailWith(errors.New("secret +16502180000")), "unknown", "unknown", ""},
		{carriertest.Panic("secret"), "unknown", "unknown", "panic"},
	} {
		c.do(want.step)
		out, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber)
		if err != nil || out.Status != want.status || out.Class != want.class || want.reason != "" && out.Reason != want.reason || out.PhoneMask != "0000" ||
			(out.CarrierRef != "") != (want.class == "") || strings.Contains(out.Reason, "secret") {
			t.Errorf("%+v, %v, want %+v", out, err, want)
		}
	}
	for _, m := range c.got {
		if m.To.E164() != keptNumber || m.Text != testText || !m.ValidUntil.Equal(b.now.Add(testValid)) || m.ID == (store.MessageID{}) {
			t.Errorf("%v", m)
		}
	}
	events := b.events(eventTestSend)
	if len(events) != 12 {
		t.Fatalf("%d entries", len(events))
	}
	var first testData
	if err := json.Unmarshal(events[11].Data, &first); err != nil || first != (testData{"main", "0000"}) || events[11].Actor != "cli:ann" {
		t.Errorf("%s %s, %v", events[11].Actor, events[11].Data, err)
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), "6502180000") || strings.Contains(string(e.Data), "secret") {
			t.Errorf("%s", e.Data)
		}
	}
}

func TestTestSendRefuses(t *testing.T) {
	b, s, c := newTestSends(t)
	for number, kind := range map[string]fault.Kind{
		"": fault.InvalidPhone, "6502180000": fault.InvalidPhone, "+1650218000": fault.InvalidPhone, strings.Repeat("+1", 1<<16): fault.InvalidPhone,
		"+14165551234": fault.InvalidPhoneCountry, "+17875550100": fault.InvalidPhoneCountry, "+18005550100": fault.InvalidPhoneType, "+16502110000": fault.InvalidPhoneType,
	} {
		if _, err := s.TestSend(t.Context(), "cli:ann", "main", number); !fault.Is(err, kind) || strings.Contains(err.Error(), "650218") {
			t.Errorf("%.20s: %v", number, err)
		}
	}
	if _, err := s.TestSend(t.Context(), "cli:ann", "none", keptNumber); !errors.Is(err, console.ErrNoRoute) {
		t.Errorf("no route: %v", err)
	}
	n, err := phone.Parse(keptNumber)
	if err != nil {
		t.Fatal(err)
	}
	// STOP to any client counts, also to one that is off.
	if _, err := b.otp.MarkPhone(t.Context(), "cli:ann", b.clients.Client("client-live-b"), keptNumber, store.Mark{OptedOut: new(true)}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TestSend(t.Context(), "cli:ann", "main", n.E164()); !fault.Is(err, fault.OptedOut) {
		t.Errorf("after STOP: %v", err)
	}
	// Nothing is sent that cannot be recorded.
	s.audit = &audit.Trail{Store: downEvents{}, Now: s.now}
	if _, err := s.TestSend(t.Context(), "cli:ann", "main", "+16502180001"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no trail: %v", err)
	}
	if len(c.got) != 0 || len(b.events(eventTestSend)) != 0 {
		t.Errorf("%d sent", len(c.got))
	}
}

type downEvents struct{}

func (downEvents) AppendEvents(context.Context, []store.Event) error {
	return fault.New(fault.Unavailable, "down")
}

// rowsOnly is a store that is asked for no more than rows: for sessions it would have to
// look at those of all phones, once for each client.
type rowsOnly struct{ t *testing.T }

func (r rowsOnly) PhoneRecord(_ context.Context, in store.PhoneQuery) (store.PhoneRecord, error) {
	if !in.RowOnly {
		r.t.Errorf("all is read of a phone of %s", in.Client)
	}
	return store.PhoneRecord{}, nil
}

func TestTestSendReadsLittle(t *testing.T) {
	_, s, _ := newTestSends(t)
	s.phones = rowsOnly{t}
	if out, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber); err != nil || out.Status != "sent" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTestSendLimit(t *testing.T) {
	b, s, c := newTestSends(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range maxTests + 5 {
		wg.Go(func() {
			_, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber)
			mu.Lock()
			defer mu.Unlock()
			if fault.Is(err, fault.LimitClient) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if refused != 5 || len(c.got) != maxTests {
		t.Errorf("%d refused, %d sent", refused, len(c.got))
	}
	b.now = b.now.Add(testWindow - time.Minute)
	var f *fault.Error
	if _, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber); !errors.As(err, &f) || f.RetryAfter != time.Minute {
		t.Errorf("%v", err)
	}
	for _, step := range []time.Duration{time.Minute, -24 * time.Hour} { // the window, and a clock that is set back
		b.now = b.now.Add(step)
		if _, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
	}
}

// TestTestSendOutlivesWhoAsked, and does not wait for a carrier that hangs.
func TestTestSendOutlivesWhoAsked(t *testing.T) {
	_, s, c := newTestSends(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.do(func(send context.Context, m carrier.Message) (carrier.Receipt, error) {
		cancel()
		return carriertest.Accept()(send, m)
	})
	if out, err := s.TestSend(ctx, "cli:ann", "main", keptNumber); err != nil || out.Status != "sent" {
		t.Errorf("%+v, %v", out, err)
	}
	s.timeout = 10 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	for name, step := range map[string]carriertest.Step{"to the deadline": carriertest.Hang(), "for good": carriertest.HangUntil(release)} {
		c.do(step)
		if out, err := s.TestSend(t.Context(), "cli:ann", "main", keptNumber); err != nil || out.Status != "unknown" || out.Reason != carrier.ReasonTimeout {
			t.Errorf("hangs %s: %+v, %v", name, out, err)
		}
	}
}
