package otp_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/screening"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// scripted answers with one verdict and notes what it is told.
type scripted struct {
	verdict  screening.Verdict
	sends    []screening.Send
	accepted []bool // fresh or not
	refused  int
	verified []store.PhoneID
}

func (s *scripted) Screen(in *screening.Send) screening.Verdict {
	s.sends = append(s.sends, *in)
	return s.verdict
}

func (s *scripted) Accepted(_ *screening.Verdict, _ store.PhoneID, fresh bool) {
	s.accepted = append(s.accepted, fresh)
}

func (s *scripted) Refused(*tenant.Client, *screening.Verdict, time.Time) { s.refused++ }

func (s *scripted) Verified(_ string, id store.PhoneID) { s.verified = append(s.verified, id) }

func newScreenedBed(t *testing.T) (*bed, *scripted) {
	t.Helper()
	b := newBed(t)
	s := &scripted{}
	b.screen = s
	b.use(b.ring)
	b.lines.line = phone.LineMobile
	return b, s
}

func TestScreenIsTold(t *testing.T) {
	t.Parallel()
	b, s := newScreenedBed(t)
	in := otp.SendRequest{Client: b.live, PhoneNumber: number, Device: "browser-1"}
	for i, fresh := range []bool{true, false} {
		if _, err := b.Send(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if len(s.accepted) != i+1 || s.accepted[i] != fresh {
			t.Fatalf("send %d: accepted %v", i+1, s.accepted)
		}
	}
	if first := s.sends[0]; first.Number.E164() != number || first.Device == (store.DeviceID{}) || !first.At.Equal(b.now) {
		t.Errorf("told %+v", first)
	}
	id := b.messages(b.live)[0].Phone
	if _, err := b.verify(b.live, b.PhoneID(b.live, id), b.code(b.live)); err != nil {
		t.Fatal(err)
	}
	if len(s.verified) != 1 || s.verified[0] != id {
		t.Errorf("verified %v", s.verified)
	}
	if _, err := b.trySend(b.test, number); err != nil || len(s.sends) != 2 {
		t.Errorf("a test client was screened (%v)", err)
	}
}

// TestHeldBack: only who was verified before passes a hold, and nobody is asked for money.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	b, s := newScreenedBed(t)
	b.live.Lookup = phone.LookupPolicy{Mode: phone.LookupAlways}
	s.verdict.ProvenOnly, s.verdict.Why = true, "the guard holds back the exchange of the number"
	if _, err := b.trySend(b.live, number); !fault.Is(err, fault.Blocked) || !strings.Contains(err.Error(), s.verdict.Why) {
		t.Fatalf("held back: %v", err)
	}
	if s.refused != 1 || len(s.accepted) != 0 {
		t.Errorf("the verdict was given back as %d refused, %d accepted", s.refused, len(s.accepted))
	}
	if last := b.asked[len(b.asked)-1]; last.Mode != phone.LookupOff {
		t.Errorf("a service was to be asked: %+v", last)
	}
	s.verdict.ProvenOnly = false
	sent, err := b.trySend(b.live, number)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.verify(b.live, sent.PhoneID, b.code(b.live)); err != nil {
		t.Fatal(err)
	}
	s.verdict.ProvenOnly = true
	if _, err := b.trySend(b.live, number); err != nil {
		t.Errorf("a phone that was verified before: %v", err)
	}
}

// TestOverBudget: nothing is sent, but what was sent before is told again.
func TestOverBudget(t *testing.T) {
	t.Parallel()
	b, s := newScreenedBed(t)
	in := otp.SendRequest{Client: b.live, PhoneNumber: number, IdempotencyKey: "k", Body: []byte("{}")}
	first, err := b.Send(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s.verdict.OverBudget = &fault.Error{Kind: fault.LimitClient, Limit: "spend_day", RetryAfter: time.Hour}
	if again, err := b.Send(t.Context(), in); err != nil || !again.Replayed || again.PhoneID != first.PhoneID {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	for i, key := range []string{"", "another"} {
		in.IdempotencyKey = key
		if _, err := b.Send(t.Context(), in); !fault.Is(err, fault.LimitClient) {
			t.Errorf("key %q: %v", key, err)
		}
		if s.refused != i+2 {
			t.Errorf("key %q: %d of %d verdicts were given back", key, s.refused, i+2)
		}
	}
	if len(s.accepted) != 1 || b.queued.Load() != 1 {
		t.Errorf("%d accepted, %d queued; want one", len(s.accepted), b.queued.Load())
	}
}

// TestRefusedAfterAll: what is refused behind the screen is given back.
func TestRefusedAfterAll(t *testing.T) {
	t.Parallel()
	b, s := newScreenedBed(t)
	b.lines.line = phone.LineLandline
	if _, err := b.trySend(b.live, number); !fault.Is(err, fault.InvalidPhoneType) {
		t.Fatal(err)
	}
	b.lines.line = phone.LineMobile
	for range 4 { // the fourth is one too many for the phone
		_, _ = b.trySend(b.live, number)
	}
	if s.refused != 2 || len(s.accepted) != 3 {
		t.Errorf("%d refused, %d accepted; want 2 and 3", s.refused, len(s.accepted))
	}
}

// lostAck is a store that takes a send and loses the answer.
type lostAck struct{ otp.Challenges }

func (l lostAck) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	_, _ = l.Challenges.StartChallenge(ctx, in)
	return store.Started{}, fault.MarkUnsure(fault.New(fault.Unavailable, "no answer"))
}

// TestLostAnswer: a send that may have been accepted counts, and costs; one that was
// refused before the store was asked cannot have been.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		line              phone.LineType
		refused, accepted int
	}{
		{phone.LineMobile, 0, 1},
		{phone.LineLandline, 1, 0},
	} {
		b, s := newScreenedBed(t)
		b.lines.line = tt.line
		b.Service = otp.New(otp.Config{
			Store: lostAck{b.store}, Keys: b.ring, Lines: b, Screen: s,
			Now: func() time.Time { return b.now }, Queued: func() {},
		})
		in := otp.SendRequest{Client: b.live, PhoneNumber: number, IdempotencyKey: "k", Body: []byte("{}")}
		if _, err := b.Send(t.Context(), in); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		if s.refused != tt.refused || len(s.accepted) != tt.accepted {
			t.Errorf("%v: %d refused, %d accepted; want %d and %d", tt.line, s.refused, len(s.accepted), tt.refused, tt.accepted)
		}
	}
}
