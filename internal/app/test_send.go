package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"codeword/api"
	"codeword/internal/audit"
	"codeword/internal/carrier"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const (
	// eventTestSend is the kind of the entries about test sends.
	eventTestSend = "route.test"
	// testText is what a test send says: nothing that anybody could use.
	testText = message.Text("Test message of an operator. There is nothing to do.")
	// testTimeout is the deadline of a test send, that of any send.
	testTimeout = 10 * time.Second
	// testValid is how long the text may take to arrive.
	testValid = 5 * time.Minute
	// maxTests is how many test sends this server makes within testWindow.
	maxTests   = 10
	testWindow = time.Hour
	// optOutTimeout is how long it may take to ask whether the phone replied STOP.
	optOutTimeout = 10 * time.Second
)

// testSends hands test texts to the carriers of routes. It passes by queue, breaker and
// message log: what it tells is what the carrier does right now.
type testSends struct {
	find    func(route string) (carrier.Carrier, bool)
	clients interface {
		List(ctx context.Context) ([]store.Client, error)
	}
	ids    func(c *tenant.Client, n phone.Number) ([]store.PhoneID, error)
	phones interface {
		PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error)
	}
	lines interface {
		LineType(ctx context.Context, n phone.Number, p phone.LookupPolicy) (phone.LineType, error)
	}
	audit   *audit.Trail
	timeout time.Duration
	now     func() time.Time
	log     *slog.Logger

	mu   sync.Mutex
	made []time.Time
}

// TestSend implements console.TestSends.
func (s *testSends) TestSend(ctx context.Context, actor, route, to string) (console.TestOutcome, error) {
	c, ok := s.find(route)
	if !ok {
		return console.TestOutcome{}, console.ErrNoRoute
	}
	n, err := s.number(ctx, to)
	if err != nil {
		return console.TestOutcome{}, err
	}
	if err := s.take(); err != nil {
		return console.TestOutcome{}, err
	}
	// It goes on when who asked has gone: it costs money, and its outcome is recorded.
	ctx = context.WithoutCancel(ctx)
	var out console.TestOutcome
	entry := audit.Entry{Actor: actor, Kind: eventTestSend, Data: testData{route, n.Mask()}}
	err = s.audit.RecordTold(ctx, entry, func() (any, error) {
		out = s.send(ctx, c, route, n)
		return testResult{out.Status, out.Class, out.Reason, out.CarrierRef}, nil
	})
	if err != nil && out.Status == "" {
		return out, err
	}
	if err != nil { // it was sent, so it must not look as if it could be repeated
		s.log.ErrorContext(ctx, "the outcome of a test send was not recorded", "route", route, "error", err)
	}
	return out, nil
}

// testData and testResult are what the entries tell.
type testData struct {
	Route string `json:"route"`
	// PhoneMask is the last four digits.
	PhoneMask string `json:"phoneMask"`
}

type testResult struct {
	Status     string `json:"status"`
	Class      string `json:"class,omitempty"`
	Reason     string `json:"reason,omitempty"`
	CarrierRef string `json:"carrierRef,omitempty"`
}

// number reads a number that a test may go to: one that may be a United States mobile,
// and did not reply STOP to any client.
func (s *testSends) number(ctx context.Context, to string) (phone.Number, error) {
	n, err := phone.Parse(to)
	if err == nil {
		err = phone.Rule{}.Check(n)
	}
	switch {
	case errors.Is(err, phone.ErrCountry):
		return n, fault.Wrap(fault.InvalidPhoneCountry, "number", err)
	case errors.Is(err, phone.ErrType):
		return n, fault.Wrap(fault.InvalidPhoneType, "number", err)
	case err != nil:
		return n, fault.Wrap(fault.InvalidPhone, "number", err)
	}
	line, err := s.lines.LineType(ctx, n, phone.LookupPolicy{}) // asks no service
	if err != nil {
		return n, fault.Wrap(fault.Unavailable, "line type", err)
	}
	if line != phone.LineMobile && line != phone.LineUnknown {
		return n, fault.New(fault.InvalidPhoneType, "line type "+line.String())
	}
	return n, s.optedOut(ctx, n)
}

// optedOut refuses a number that replied STOP. Carriers keep that by sender, and clients
// share senders, so that it counts whichever client it was said to.
func (s *testSends) optedOut(ctx context.Context, n phone.Number) error {
	ctx, cancel := context.WithTimeout(ctx, optOutTimeout)
	defer cancel()
	rows, err := s.clients.List(ctx)
	if err != nil {
		return err
	}
	for i := range rows {
		ids, err := s.ids(bareClient(&rows[i]), n)
		if err != nil {
			return fault.Wrap(fault.Internal, "phone id", err)
		}
		record, err := s.phones.PhoneRecord(ctx, store.PhoneQuery{Now: s.now(), Client: rows[i].ID, Phones: ids, RowOnly: true})
		if err != nil {
			return err
		}
		if !record.OptedOutAt.IsZero() {
			return fault.New(fault.OptedOut, "the number replied STOP")
		}
	}
	return nil
}

// take counts a test send, or refuses it.
func (s *testSends) take() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.made = slices.DeleteFunc(s.made, func(at time.Time) bool {
		return now.Sub(at) >= testWindow || at.After(now) // the clock was set back
	})
	if len(s.made) >= maxTests {
		after := s.made[0].Add(testWindow).Sub(now)
		return &fault.Error{Kind: fault.LimitClient, Detail: "test sends", Limit: "test_send", RetryAfter: after}
	}
	s.made = append(s.made, now)
	return nil
}

// answer is what a carrier said.
type answer struct {
	receipt carrier.Receipt
	err     error
}

// send hands the text to the carrier. The outcome is never an error.
func (s *testSends) send(ctx context.Context, c carrier.Carrier, route string, n phone.Number) console.TestOutcome {
	began := s.now()
	out := console.TestOutcome{Route: route, PhoneMask: n.Mask(), Time: api.NewTime(began), Status: "sent"}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	said := s.ask(ctx, c, route, carrier.Message{ID: store.NewMessageID(), To: n, Text: testText, ValidUntil: began.Add(testValid)})
	out.DurationMillis, out.CarrierRef = max(0, s.now().Sub(began).Milliseconds()), said.receipt.Ref
	switch failure := carrier.Classify(said.err); {
	case failure == nil && said.receipt.Delivered:
		out.Status = "delivered"
	case failure != nil && failure.Class == carrier.Unknown:
		out.Status, out.Class, out.Reason = "unknown", failure.Class.String(), failure.Reason
	case failure != nil:
		out.Status, out.Class, out.Reason = "failed", failure.Class.String(), failure.Reason
	}
	return out
}

// ask does not wait for a carrier that has forgotten the deadline.
func (s *testSends) ask(ctx context.Context, c carrier.Carrier, route string, m carrier.Message) answer {
	said := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil { // it may come after the message has left
				a.err = &carrier.Error{Class: carrier.Unknown, Reason: "panic"}
				s.log.ErrorContext(ctx, "a carrier panicked", "route", route, "panic", fmt.Sprintf("%T", p))
			}
			said <- a
		}()
		a.receipt, a.err = c.Send(ctx, m)
	}()
	late := time.NewTimer(s.timeout + s.timeout/5)
	defer late.Stop()
	select {
	case a := <-said:
		return a
	case <-late.C:
		return answer{err: carrier.NewError(carrier.ReasonTimeout, nil)}
	}
}

func (n *node) testSends() *testSends {
	return &testSends{
		find: func(route string) (carrier.Carrier, bool) {
			l, ok := n.carriers.find(route)
			if !ok {
				return nil, false
			}
			return l.carrier, true
		},
		clients: n.clients, ids: n.otp.PhoneIDs, phones: n.store, lines: n.online.lines,
		audit: n.audit, timeout: testTimeout, now: n.cfg.Now, log: n.log,
	}
}
