package otp_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// TestLocale: a message is written in the language that was asked for when it
// was sent, and the next one in that of its own send.
func TestLocale(t *testing.T) {
	b := newBed(t)
	french := b.client("client-live-fr", true, `{"locale":"fr","locales":["es"]}`)
	for _, tc := range []struct {
		client       *tenant.Client
		header, want string
	}{
		{b.live, "", "en"},
		{b.live, "es-MX,es;q=0.9,en;q=0.8", "es"},
		{b.test, "zh-TW", "zh-Hant"},
		{french, "", "fr"},
		{french, "ru", "fr"},
		{french, "ru, es;q=0.1", "es"},
		{b.live, "\x00;;,,", "en"},
	} {
		_, err := b.Send(t.Context(), otp.SendRequest{Client: tc.client, PhoneNumber: number, AcceptLanguage: tc.header})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.store.last().Locale; got != tc.want {
			t.Errorf("%q: the intent says %q, want %q", tc.header, got, tc.want)
		}
		b.now = b.now.Add(time.Minute)
	}
}

// TestLocaleAndIdempotency: a replay is one in any language, and sends nothing.
func TestLocaleAndIdempotency(t *testing.T) {
	b := newBed(t)
	for i, header := range []string{"es", "ru", ""} {
		res, err := b.Send(t.Context(), otp.SendRequest{
			Client: b.live, PhoneNumber: number, AcceptLanguage: header, IdempotencyKey: "k", Body: []byte("{}"),
		})
		if err != nil || res.Replayed != (i > 0) {
			t.Errorf("%q: %+v, %v", header, res, err)
		}
	}
	if n := len(b.messages(b.live)); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestAdmit: what cannot be delivered in time leaves no trace, and what is wrong
// with a number is told all the same.
func TestAdmit(t *testing.T) {
	b := newBed(t)
	b.admit = func(c *tenant.Client) error {
		if !c.Live {
			return nil
		}
		return &fault.Error{Kind: fault.Unavailable, Detail: "overloaded", RetryAfter: 7 * time.Second}
	}
	_, err := b.trySend(b.live, number)
	if e := wantKind(t, err, fault.Unavailable); e.RetryAfter != 7*time.Second {
		t.Errorf("%+v", e)
	}
	if len(b.store.starts) != 0 || b.queued.Load() != 0 {
		t.Error("it was queued all the same")
	}
	_, err = b.trySend(b.live, "+14165551234")
	wantKind(t, err, fault.InvalidPhoneCountry)
	b.send(b.test, number)
	b.admit = nil
	b.send(b.live, number)
}

// TestVerified: only the right code counts, and once.
func TestVerified(t *testing.T) {
	b := newBed(t)
	id := b.send(b.live, number).PhoneID
	code := b.code(b.live)
	if _, err := b.verify(b.live, id, wrong(code)); err == nil || len(b.verified) != 0 {
		t.Errorf("%v, %d verified", err, len(b.verified))
	}
	if _, err := b.verify(b.live, id, code); err != nil || len(b.verified) != 1 || b.verified[0] != b.store.last().Phone {
		t.Errorf("%v, verified %v", err, b.verified)
	}
	if _, err := b.verify(b.live, id, code); err == nil || len(b.verified) != 1 {
		t.Errorf("%v, %d verified", err, len(b.verified))
	}
}

// TestRefused: a refusal that the owner of the number could ask about is told, with the
// client, and no other.
func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		name, number string
		prepare      func(*bed)
		kind         fault.Kind
		told         bool
	}{
		{"accepted", number, func(*bed) {}, 0, false},
		{"not E.164", "6502530000", func(*bed) {}, fault.InvalidPhone, false},
		{"abroad", "+4915112345678", func(*bed) {}, fault.InvalidPhoneCountry, false},
		{"Canada", "+14165551234", func(*bed) {}, fault.InvalidPhoneCountry, true},
		{"toll-free", "+18005551234", func(*bed) {}, fault.InvalidPhoneType, true},
		{"landline", number, func(b *bed) { b.lines.line = phone.LineLandline }, fault.InvalidPhoneType, true},
		{"look-up down", number, func(b *bed) { b.lines.err = context.DeadlineExceeded }, fault.Unavailable, true},
		{"captcha", number, func(b *bed) {
			b.prove = func(otp.SendRequest) error { return fault.New(fault.InvalidCaptcha, "none") }
		}, fault.InvalidCaptcha, true},
		{"overload", number, func(b *bed) {
			b.admit = func(*tenant.Client) error { return fault.New(fault.Unavailable, "overloaded") }
		}, fault.Unavailable, true},
		{"unsure", number, func(b *bed) {
			b.admit = func(*tenant.Client) error { return fault.MarkUnsure(fault.New(fault.Unavailable, "lost")) }
		}, fault.Unavailable, false},
		{"opted out", number, func(b *bed) { b.mark(b.live, number, store.Mark{OptedOut: new(true)}) }, fault.OptedOut, true},
		{"limit", number, func(b *bed) {
			for range 3 {
				b.send(b.live, number)
			}
		}, fault.LimitSMS, true},
		{"ours", number, func(b *bed) {
			b.admit = func(*tenant.Client) error { return fault.New(fault.Internal, "a bug") }
		}, fault.Internal, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t)
			tc.prepare(b)
			if _, err := b.trySend(b.live, tc.number); err != nil || tc.kind != 0 || tc.told {
				wantKind(t, err, tc.kind)
			}
			var want []refusedSend
			if tc.told {
				want = []refusedSend{{b.live.ID, tc.number, tc.kind}}
			}
			if !slices.Equal(b.refused, want) {
				t.Errorf("told %+v, want %+v", b.refused, want)
			}
		})
	}
}

// TestRefusedCaller: neither is told who hung up, nor who used an idempotency key twice.
func TestRefusedCaller(t *testing.T) {
	b := newBed(t)
	ctx, hangUp := context.WithCancel(t.Context())
	b.admit = func(*tenant.Client) error {
		hangUp()
		return fault.Wrap(fault.Unavailable, "store", ctx.Err())
	}
	_, err := b.Send(ctx, otp.SendRequest{Client: b.live, PhoneNumber: number})
	wantKind(t, err, fault.Unavailable)
	b.admit = nil
	in := otp.SendRequest{Client: b.live, PhoneNumber: number, IdempotencyKey: "k", Body: []byte("{}")}
	if _, err := b.Send(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	in.Body = []byte("{ }")
	_, err = b.Send(t.Context(), in)
	wantKind(t, err, fault.IdempotencyMismatch)
	if len(b.refused) != 0 {
		t.Errorf("told %+v", b.refused)
	}
}
