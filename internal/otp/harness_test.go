package otp_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/sqlite/sqlitetest"
	"codeword/internal/tenant"
)

// t0 is when tests begin.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lines answers one line type for every number, or fails.
type lines struct {
	line phone.LineType
	err  error
}

func (l lines) LineType(context.Context, phone.Number) (phone.LineType, error) { return l.line, l.err }

// recorder remembers the intents on their way to the real store.
type recorder struct {
	*sqlite.Store
	starts   []store.Start
	attempts []store.Attempt
	// judged, if any, is told of every guess that is compared.
	judged func(store.Attempt)
}

func (r *recorder) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	r.attempts = append(r.attempts, in)
	if match := in.Match; r.judged != nil {
		in.Match = func(ch store.Challenge) bool {
			r.judged(in)
			return match(ch)
		}
	}
	return r.Store.Attempt(ctx, in)
}

func (r *recorder) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	r.starts = append(r.starts, in)
	return r.Store.StartChallenge(ctx, in)
}

func (r *recorder) last() store.Start { return r.starts[len(r.starts)-1] }

// refusedSend is what Config.Refused is told.
type refusedSend struct {
	client, number string
	kind           fault.Kind
}

// bed is a service over a real store and a real ring, on a clock of its own.
type bed struct {
	t     *testing.T
	store *recorder
	trail audittest.Log
	ring  *keyring.Ring
	lines lines
	// asked are the policies of the look-ups; prove, if any, is asked for each send.
	asked  []phone.LookupPolicy
	prove  func(otp.SendRequest) error
	now    time.Time
	queued atomic.Int64
	// admit, if any, is asked for each send; verified are the phones that were.
	admit    func(*tenant.Client) error
	verified []store.PhoneID
	// refused are the sends that were told of as refused.
	refused []refusedSend
	// screen, if any, judges sends.
	screen otp.Screen
	*otp.Service
	test, live *tenant.Client
}

func newBed(t *testing.T) *bed {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, store: &recorder{Store: sqlitetest.New(t)}, now: t0}
	b.test = b.client("client-test-1", false, "")
	b.live = b.client("client-live-1", true, "")
	b.use(ring)
	return b
}

// use goes on with another ring, as a server does that was started again.
func (b *bed) use(ring *keyring.Ring) {
	b.t.Helper()
	b.ring = ring
	now := func() time.Time { return b.now }
	sessions, err := session.New(session.Config{
		Store: b.store.Store, KeyStore: b.store.Store, Keys: ring, Issuer: "https://otp.example",
		PhoneID: func(c *tenant.Client, id store.PhoneID) string { return b.PhoneID(c, id) }, Now: now,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Service = otp.New(otp.Config{
		Store: b.store, Keys: ring, Sessions: sessions, Lines: b,
		Audit: b.trail.Trail(now), Screen: b.screen,
		Now: now, Queued: func() { b.queued.Add(1) },
		Admit: func(c *tenant.Client) error {
			if b.admit == nil {
				return nil
			}
			return b.admit(c)
		},
		Prove: func(_ context.Context, in otp.SendRequest) error {
			if b.prove == nil {
				return nil
			}
			return b.prove(in)
		},
		Verified: func(_ string, id store.PhoneID) { b.verified = append(b.verified, id) },
		Refused: func(c *tenant.Client, n phone.Number, why *fault.Error) {
			b.refused = append(b.refused, refusedSend{c.ID, n.E164(), why.Kind})
		},
	})
}

func (b *bed) rotate(p keyring.Purpose) {
	b.t.Helper()
	ring, err := b.ring.Rotate(p)
	if err != nil {
		b.t.Fatal(err)
	}
	b.use(ring)
}

// LineType implements otp.Lines.
func (b *bed) LineType(ctx context.Context, n phone.Number, p phone.LookupPolicy) (phone.LineType, error) {
	b.asked = append(b.asked, p)
	return b.lines.LineType(ctx, n)
}

func (b *bed) client(id string, live bool, settings string) *tenant.Client {
	b.t.Helper()
	row := store.Client{ID: id, Name: id, Live: live, Settings: []byte(settings), CreatedAt: t0, Revision: 1}
	c, err := tenant.Parse(row)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.CreateClient(b.t.Context(), row); err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (b *bed) trySend(c *tenant.Client, number string) (otp.SendResult, error) {
	return b.Send(b.t.Context(), otp.SendRequest{Client: c, PhoneNumber: number})
}

func (b *bed) send(c *tenant.Client, number string) otp.SendResult {
	b.t.Helper()
	res, err := b.trySend(c, number)
	if err != nil {
		b.t.Fatal(err)
	}
	return res
}

func (b *bed) verify(c *tenant.Client, id, code string) (store.Session, error) {
	return b.Authenticate(b.t.Context(), otp.AuthenticateRequest{Client: c, PhoneID: id, OTP: code})
}

// messages are those of a client, newest first.
func (b *bed) messages(c *tenant.Client) []store.Message {
	b.t.Helper()
	page, err := b.store.Messages(b.t.Context(), store.MessageQuery{Clients: []string{c.ID}, Limit: 100})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Messages
}

// code is the one in the client's newest message.
func (b *bed) code(c *tenant.Client) string {
	b.t.Helper()
	code, err := b.MessageCode(c, b.messages(c)[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return code.Reveal()
}

// wrong is a code of the same length that is not the right one.
func wrong(code string) string {
	digits := []byte(code)
	digits[0] = '0' + (digits[0]-'0'+1)%10
	return string(digits)
}

func wantKind(t *testing.T, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("got %v, want an error of kind %d", err, kind)
	}
	return e
}
