package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/phone"
	"codeword/internal/refusal"
)

// refuse notes a refused send, as a node does.
func (b *keeperBed) refuse(client, number string, why *fault.Error) {
	b.t.Helper()
	n := &node{cfg: nodeConfig{Now: func() time.Time { return b.now }, Ring: b.ring}, log: slog.New(slog.DiscardHandler), otp: b.otp}
	var err error
	n.refusals, err = refusal.NewLog(refusal.Config{Book: b.refused, PhoneIDs: n.phoneIDs, Log: n.log})
	if err != nil {
		b.t.Fatal(err)
	}
	e164, err := phone.Parse(number)
	if err != nil {
		b.t.Fatal(err)
	}
	n.refused(b.clients.Client(client), e164, why)
	ended, cancel := context.WithCancel(b.t.Context())
	cancel()
	if err := n.refusals.Run(ended); err != nil {
		b.t.Fatal(err)
	}
}

// TestKeeperFindsRefusals: of phones that are known and of such that never were, whatever
// the index key, until they are erased or end.
func TestKeeperFindsRefusals(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	b.refuse("client-live-a", keptNumber, &fault.Error{Kind: fault.LimitSMS, Detail: "too many", Limit: "phone"})
	first := b.now
	rotated, err := b.ring.Rotate(keyring.Index)
	if err != nil {
		t.Fatal(err)
	}
	b.use(rotated)
	b.now = b.now.Add(time.Hour)
	b.refuse("client-live-a", keptNumber, fault.New(fault.Blocked, "held back: nobody has verified the phone"))
	b.refuse("client-live-b", "+14165551234", fault.Wrap(fault.InvalidPhoneCountry, "number", errors.New("Canada")))
	want := []console.PhoneRefusal{
		{Time: api.NewTime(b.now), Code: api.CodeBlockedPhone, Detail: "held back: nobody has verified the phone"},
		{Time: api.NewTime(first), Code: api.CodeExceedsLimitSMS, Limit: "phone", Detail: "too many"},
	}
	for name, found := range map[string][]console.PhoneView{
		"by number": b.find("", keptNumber), "by id": b.find("client-live-a", id), "of all, by id": b.find("", id),
	} {
		if len(found) != 1 || found[0].ClientID != "client-live-a" || found[0].PhoneID != id || len(found[0].Messages) != 1 {
			t.Errorf("%s: %+v", name, found)
			continue
		}
		if got := found[0].Refusals; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	never := b.find("", "+14165551234")
	if len(never) != 1 || never[0].ClientID != "client-live-b" || never[0].PhoneMask != "1234" || !never[0].CreateTime.IsZero() || !never[0].EraseTime.IsZero() ||
		len(never[0].Messages)+len(never[0].Limits)+len(never[0].Challenges) != 0 || len(never[0].Refusals) != 1 || never[0].Refusals[0].Code != api.CodeInvalidPhoneCountryCode {
		t.Fatalf("a number that no send was accepted for: %+v", never)
	}
	if byID := b.find("", never[0].PhoneID); len(byID) != 1 || byID[0].PhoneMask != "" || len(byID[0].Refusals) != 1 {
		t.Errorf("by the id that it would get: %+v", byID)
	}
	doc, err := b.Export(t.Context(), "cli:ann", "client-live-b", "+14165551234")
	if err != nil || len(doc.Refusals) != 1 {
		t.Errorf("export: %+v, %v", doc, err)
	}

	for _, c := range []struct{ client, name string }{{"client-live-a", id}, {"client-live-b", never[0].PhoneID}} {
		done, err := b.Erase(t.Context(), "cli:ann", c.client, c.name)
		if left := b.find("", c.name); err != nil || done.Erased.Refusals == 0 || len(left) != 0 {
			t.Errorf("after the erasure %+v (%v) there is %+v", done.Erased, err, left)
		}
	}
	if left := b.find("", keptNumber); len(left) != 0 {
		t.Errorf("after the erasure there is %+v", left)
	}

	b.refuse("client-live-a", keptNumber, fault.New(fault.OptedOut, "STOP"))
	b.now = b.now.Add(refusal.Life)
	if left := b.find("", keptNumber); len(left) != 0 {
		t.Errorf("three days later there is %+v", left)
	}
}

// TestRefusedCodes: what is remembered is what the caller was told.
func TestRefusedCodes(t *testing.T) {
	b := newKeeperBed(t)
	for kind, want := range map[fault.Kind]api.Code{
		fault.InvalidPhoneType: api.CodeInvalidPhoneType, fault.OptedOut: api.CodePhoneOptedOut, fault.LimitClient: api.CodeExceedsLimitClient,
		fault.InvalidCaptcha: api.CodeInvalidCaptcha, fault.Unavailable: api.CodeUnavailable,
	} {
		b.now = b.now.Add(time.Minute)
		b.refuse("client-live-a", keptNumber, fault.New(kind, "x"))
		if got := b.find("", keptNumber)[0].Refusals[0]; got.Code != want || got.Code.Message() == "" {
			t.Errorf("kind %d: %+v", kind, got)
		}
	}
}

// TestRefusalBookIsInLedger: a flood of refusals fills a disk, if anything, and not the
// memory of the engine that keeps what expires.
func TestRefusalBookIsInLedger(t *testing.T) {
	t.Parallel()
	ledger := &leading{}
	for _, e := range []engine{ledger, layer{below: ledger}, layer{below: layer{below: ledger}}} {
		if book := refusalBook(e, nil, time.Now); book.Notes != refusal.Notes(ledger) {
			t.Errorf("%T: noted in a %T", e, book.Notes)
		}
	}
}
