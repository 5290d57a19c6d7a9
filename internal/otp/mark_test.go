package otp_test

import (
	"strings"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const markedNumber = "+16502530000"

func (b *bed) mark(c *tenant.Client, number string, mark store.Mark) {
	b.t.Helper()
	mask, err := b.MarkPhone(b.t.Context(), audittest.Operator, c, number, mark)
	if err != nil {
		b.t.Fatal(err)
	}
	if mask != number[len(number)-4:] {
		b.t.Errorf("the mask is %q", mask)
	}
}

// TestMarkPhone marks numbers that were never sent to, of both kinds of client,
// the documented one among them.
func TestMarkPhone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for name, tc := range map[string]struct {
		client *tenant.Client
		number string
	}{
		"test":       {b.test, markedNumber},
		"live":       {b.live, markedNumber},
		"documented": {b.test, "+14165551234"},
	} {
		refused := func(kind fault.Kind) {
			t.Helper()
			before := b.queued.Load()
			_, err := b.trySend(tc.client, tc.number)
			wantKind(t, err, kind)
			if b.queued.Load() != before {
				t.Errorf("%s: a refused send was queued", name)
			}
		}
		b.mark(tc.client, tc.number, store.Mark{OptedOut: new(true)})
		refused(fault.OptedOut)
		b.mark(tc.client, tc.number, store.Mark{OptedOut: new(false), BlockedUntil: new(b.now.Add(time.Hour))})
		refused(fault.Blocked)
		b.send(tc.client, "+16502530001") // nobody else is refused
		b.now = b.now.Add(time.Hour)
		b.send(tc.client, tc.number)
	}
}

// TestMarkPhoneIsOfClient: what one client was told does not bind another.
func TestMarkPhoneIsOfClient(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.mark(b.live, markedNumber, store.Mark{OptedOut: new(true)})
	b.send(b.test, markedNumber)
}

// TestMarkPhoneAcrossRotation: a mark holds whichever index key it was made
// under, and a number that it made known can be read like any other.
func TestMarkPhoneAcrossRotation(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.mark(b.live, markedNumber, store.Mark{OptedOut: new(true)})
	b.rotate(keyring.Index)
	_, err := b.trySend(b.live, markedNumber)
	wantKind(t, err, fault.OptedOut)
	b.mark(b.live, markedNumber, store.Mark{OptedOut: new(false)})
	b.send(b.live, markedNumber)
	n, err := b.Number(b.messages(b.live)[0])
	if err != nil || string(n.AppendE164(nil)) != markedNumber {
		t.Errorf("the number reads %v, %v", n, err)
	}
}

func TestMarkPhoneRefusals(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, number := range []string{"", "6502530000", " +16502530000", "+1650253000", "+", "+1650253000x", strings.Repeat("+1", 1<<16)} {
		_, err := b.MarkPhone(t.Context(), audittest.Operator, b.live, number, store.Mark{OptedOut: new(true)})
		wantKind(t, err, fault.InvalidPhone)
	}
	stranger := *b.live
	stranger.ID = "client-live-nobody"
	_, err := b.MarkPhone(t.Context(), audittest.Operator, &stranger, markedNumber, store.Mark{OptedOut: new(true)})
	wantKind(t, err, fault.NotFound)
}

// TestMarkPhoneIsRecorded: with the ids that the phone can have, and never its number.
func TestMarkPhoneIsRecorded(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	former := b.send(b.live, markedNumber).PhoneID
	b.rotate(keyring.Index)
	until := b.now.Add(time.Hour)
	for _, tc := range []struct {
		mark        store.Mark
		kind, extra string
	}{
		{store.Mark{OptedOut: new(true)}, otp.EventOptOut, ""},
		{store.Mark{OptedOut: new(false)}, otp.EventOptIn, ""},
		{store.Mark{BlockedUntil: &until}, otp.EventBlock, `,"until":"2026-03-01T13:00:00Z"`},
		{store.Mark{BlockedUntil: new(time.Time{})}, otp.EventUnblock, ""},
	} {
		b.trail.Fail(fault.New(fault.Unavailable, "down"), 0)
		if _, err := b.MarkPhone(t.Context(), audittest.Operator, b.live, markedNumber, tc.mark); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", tc.kind, err)
		}
		b.trail.Fail(nil, 0)
		b.trail.Take()
		b.mark(b.live, markedNumber, tc.mark)
		got := b.trail.Take()
		if len(got) != 1 || got[0].Kind != tc.kind || got[0].Client != b.live.ID || got[0].Actor != audittest.Operator {
			t.Fatalf("%s: %+v", tc.kind, got)
		}
		data := string(got[0].Data)
		if !strings.HasPrefix(data, `{"phoneId":"phone-number-live-`) || !strings.HasSuffix(data, `"formerPhoneIds":["`+former+`"]`+tc.extra+`}`) ||
			strings.Contains(data, markedNumber[2:]) {
			t.Errorf("%s: %s", tc.kind, data)
		}
	}
	b.trail.Fail(fault.New(fault.Unavailable, "down"), 0)
	if _, err := b.MarkPhone(t.Context(), audittest.Operator, b.live, markedNumber, store.Mark{OptedOut: new(true)}); err == nil {
		t.Error("marked, and not recorded")
	}
	b.send(b.live, markedNumber) // it was not marked
	number, err := phone.Parse(markedNumber)
	if err != nil {
		t.Fatal(err)
	}
	// What its owner replies is no operator's change.
	if err := b.MarkKnown(t.Context(), b.live, number, store.Mark{OptedOut: new(true)}); err != nil {
		t.Error(err)
	}
}
