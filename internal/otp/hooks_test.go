package otp_test

import (
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
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
