package app

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/store"
)

// find looks a phone up, and must not fail.
func (b *keeperBed) find(client, name string) []console.PhoneView {
	b.t.Helper()
	out, err := b.Find(b.t.Context(), "cli:ann", client, name)
	if err != nil {
		b.t.Fatal(err)
	}
	if text, err := json.Marshal(out); err != nil || strings.Contains(string(text), keptNumber[1:]) {
		b.t.Errorf("the number is told: %s, %v", text, err)
	}
	return out
}

// miss notes wrong codes, of which the challenge takes as many as there are.
func (b *keeperBed) miss(client, external string, n int) {
	b.t.Helper()
	c := b.clients.Client(client)
	for range n {
		_, err := b.engine.Attempt(b.t.Context(), store.Attempt{
			Now: b.now, Client: client, Phone: b.otp.ParsePhoneID(c, external), MaxAttempts: c.Settings.MaxAttempts,
			Failures: c.Settings.PhoneFailures.Window(), Match: func(store.Challenge) bool { return false },
		})
		if !fault.Is(err, fault.WrongCode) {
			b.t.Fatal(err)
		}
	}
}

func TestKeeperFinds(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	other := b.send("client-live-b")
	b.miss("client-live-a", id, 2)
	client := b.clients.Client("client-live-a")
	until := b.now.Add(time.Hour)
	if _, err := b.otp.MarkPhone(t.Context(), "cli:ann", client, keptNumber, store.Mark{OptedOut: new(true), BlockedUntil: &until}); err != nil {
		t.Fatal(err)
	}
	both := b.find("", keptNumber)
	if len(both) != 2 || both[0].PhoneID != id || both[1].PhoneID != other {
		t.Fatalf("%+v", both)
	}
	a := both[0]
	if a.ClientID != client.ID || a.PhoneMask != "0000" || a.OptOutTime.IsZero() || !a.BlockEndTime.Equal(until) || !a.VerifyTime.IsZero() ||
		a.CreateTime.IsZero() || a.LastSendTime.IsZero() || len(a.Messages) != 1 || a.Messages[0].PhoneID != id || a.Messages[0].PhoneMask != "0000" {
		t.Errorf("%+v", a)
	}
	if len(a.Challenges) != 1 || a.Challenges[0].State != console.ChallengeOpen || *a.Challenges[0].Attempts != 2 || a.Challenges[0].MaxAttempts != 5 {
		t.Errorf("%+v", a.Challenges)
	}
	if len(a.Limits) != 1 || a.Limits[0] != (console.PhoneLimit{Lane: "open", Sends: 1, MaxSends: 10, WrongCodes: 2, MaxWrongCodes: 15}) {
		t.Errorf("%+v", a.Limits)
	}
	if second := both[1]; !second.OptOutTime.IsZero() || !second.BlockEndTime.IsZero() || second.Limits[0].WrongCodes != 0 {
		t.Errorf("the other client's: %+v", second)
	}
	for _, c := range []struct {
		client, name string
		want         int
	}{
		{client.ID, keptNumber, 1},
		{client.ID, id, 1},
		{"", id, 1},
		{"client-live-b", id, 0},
		{client.ID, strings.Replace(id, "live", "test", 1), 0},
		{"", "+16502180009", 0},
		{"", "phone-number-live-+16502180000", 0},
	} {
		if got := b.find(c.client, c.name); len(got) != c.want || got == nil {
			t.Errorf("%q, %q: %+v", c.client, c.name, got)
		}
	}
	entries := b.events(eventFind)
	told := make([]string, len(entries))
	for i, e := range entries {
		told[len(entries)-1-i] = e.Client + " " + string(e.Data)
	}
	known := client.ID + ` {"phoneId":"` + id + `"}`
	want := []string{
		known, `client-live-b {"phoneId":"` + other + `"}`, known, known, known, `client-live-b {"phoneId":"` + id + `"}`,
		client.ID + ` {"phoneId":"` + strings.Replace(id, "live", "test", 1) + `"}`, ` {"phoneMask":"0009"}`, " {}",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

func TestKeeperFindRefuses(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	for _, name := range []string{"", "6502180000", "+1650", "+4915112345678", "phone-number", "x"} {
		if _, err := b.Find(t.Context(), "cli:ann", "", name); !fault.Is(err, fault.InvalidPhone) || strings.Contains(err.Error(), "1650") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := b.Find(t.Context(), "cli:ann", "nobody", keptNumber); !errors.Is(err, console.ErrNoClient) {
		t.Errorf("no such client: %v", err)
	}
	if n := len(b.events("phone.")); n != 0 {
		t.Errorf("%d entries of what was refused", n)
	}
	b.audit = nil
	for _, name := range []string{id, keptNumber, "+16502180009"} {
		if got, err := b.Find(t.Context(), "cli:ann", "", name); err == nil || got != nil {
			t.Errorf("%s is told without a trail: %+v, %v", name, got, err)
		}
	}
}

// TestKeeperFindsWhatLocks: limits tell until when they refuse, as long as they do.
func TestKeeperFindsWhatLocks(t *testing.T) {
	b := newKeeperBed(t)
	first := b.now
	var id string
	for range 3 { // fifteen wrong codes, a minute apart by five
		id = b.send("client-live-a")
		b.miss("client-live-a", id, 5)
	}
	got := b.find("client-live-a", id)[0]
	free := first.Add(time.Minute + 24*time.Hour) // when the first wrong code counts no more
	if len(got.Limits) != 1 || got.Limits[0].Sends != 3 || got.Limits[0].WrongCodes != 15 || !got.Limits[0].LockEndTime.Equal(free) || !got.Limits[0].SendRetryTime.Equal(free) {
		t.Errorf("%+v, want until %v", got.Limits, free)
	}
	if len(got.Challenges) != 1 || got.Challenges[0].State != console.ChallengeExhausted {
		t.Errorf("%+v", got.Challenges)
	}
	if len(got.Messages) != 3 {
		t.Errorf("%d messages", len(got.Messages))
	}
	b.now = free
	got = b.find("client-live-a", id)[0]
	if len(got.Limits) != 1 || !got.Limits[0].LockEndTime.IsZero() || !got.Limits[0].SendRetryTime.IsZero() || got.Limits[0].WrongCodes != 10 || len(got.Challenges) != 0 {
		t.Errorf("a day later: %+v, %+v", got.Limits, got.Challenges)
	}
	b.now = first.Add(48 * time.Hour)
	if got := b.find("client-live-a", id)[0]; len(got.Limits) != 0 {
		t.Errorf("two days later: %+v", got.Limits)
	}
	// Bursts are told as well: nothing else refuses here.
	b.now = first.Add(72 * time.Hour)
	for range 3 {
		if _, err := b.otp.Send(t.Context(), otp.SendRequest{Client: b.clients.Client("client-live-b"), PhoneNumber: keptNumber}); err != nil {
			t.Fatal(err)
		}
	}
	l := b.find("client-live-b", keptNumber)[0].Limits[0]
	if _, err := b.otp.Send(t.Context(), otp.SendRequest{Client: b.clients.Client("client-live-b"), PhoneNumber: keptNumber}); !fault.Is(err, fault.LimitSMS) {
		t.Fatal(err)
	}
	if !l.SendRetryTime.Equal(b.now.Add(time.Minute)) || !l.LockEndTime.IsZero() {
		t.Errorf("%+v", l)
	}
}

// TestKeeperFindsWhatStays: after an erasure, a rotation of the index key, and of a client
// whose settings cannot be read.
func TestKeeperFindsWhatStays(t *testing.T) {
	b := newKeeperBed(t)
	id := b.send("client-live-a")
	ids := mustIDs(t, b, id)
	rotated, err := b.ring.Rotate(keyring.Index)
	if err != nil {
		t.Fatal(err)
	}
	b.use(rotated)
	row, err := b.clients.Find(t.Context(), "client-live-a")
	if err != nil {
		t.Fatal(err)
	}
	row.Settings = []byte(`{"codeLength": 99}`)
	if err := b.engine.UpdateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if err := b.clients.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{id, keptNumber} {
		got := b.find("", name)
		if len(got) != 1 || got[0].PhoneID != id || got[0].PhoneMask != "0000" || len(got[0].Messages) != 1 || got[0].Challenges[0].MaxAttempts != 0 ||
			got[0].Limits[0] != (console.PhoneLimit{Lane: "open", Sends: 1}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if err := b.engine.MarkPhone(t.Context(), store.PhoneMark{
		Now: b.now, Client: row.ID, Phone: ids[0], Mark: store.Mark{OptedOut: new(true)}, KnownOnly: true,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Erase(t.Context(), "cli:ann", row.ID, id); err != nil {
		t.Fatal(err)
	}
	got := b.find("", keptNumber)
	if len(got) != 1 || got[0].PhoneID != id || got[0].PhoneMask != "" || got[0].OptOutTime.IsZero() || got[0].EraseTime.IsZero() ||
		!got[0].CreateTime.IsZero() || len(got[0].Messages)+len(got[0].Challenges)+len(got[0].Limits) != 0 {
		t.Errorf("after the erasure: %+v", got)
	}
}
