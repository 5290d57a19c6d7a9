package otp_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// TestDeviceDigest: what the store is told of a device is the same on both calls, and
// another for another client, another device and another index key.
func TestDeviceDigest(t *testing.T) {
	b := newBed(t)
	other := b.client("client-live-2", true, "")
	digest := func(c *tenant.Client, device string) store.DeviceID {
		t.Helper()
		res, err := b.Send(t.Context(), otp.SendRequest{Client: c, PhoneNumber: number, Device: device})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Authenticate(t.Context(), otp.AuthenticateRequest{Client: c, PhoneID: res.PhoneID, OTP: "x", Device: device})
		wantKind(t, err, fault.WrongCode)
		sent, tried := b.store.last().Device, b.store.attempts[len(b.store.attempts)-1].Device
		if sent != tried {
			t.Errorf("a send has %x, an attempt %x", sent, tried)
		}
		return sent
	}
	if d := digest(b.test, ""); d != (store.DeviceID{}) {
		t.Errorf("no device is %x", d)
	}
	of := map[store.DeviceID]string{}
	add := func(what string, d store.DeviceID) {
		t.Helper()
		if of[d] != "" || strings.Contains(string(d[:]), "device") {
			t.Errorf("%s is %x, as %s", what, d, of[d])
		}
		of[d] = what
	}
	first := digest(b.test, "device")
	add("nothing", store.DeviceID{})
	add("a device", first)
	add("another", digest(b.test, "device "))
	add("another client's", digest(other, "device"))
	if digest(b.test, "device") != first {
		t.Error("one device has two digests")
	}
	b.rotate("index")
	add("another key's", digest(b.test, "device"))
}

// visitor is somebody at the business's site, with or without a bearer.
type visitor struct {
	who    *session.Principal
	device string
}

func (b *bed) sendAs(v visitor) (otp.SendResult, error) {
	return b.Send(b.t.Context(), otp.SendRequest{Client: b.live, Principal: v.who, PhoneNumber: number, Device: v.device})
}

func (b *bed) verifyAs(v visitor, id, code string) (store.Session, error) {
	return b.Authenticate(b.t.Context(), otp.AuthenticateRequest{Client: b.live, Principal: v.who, PhoneID: id, OTP: code, Device: v.device})
}

// signsIn is a visitor who gets a code and types it.
func (b *bed) signsIn(v visitor) store.Session {
	b.t.Helper()
	res, err := b.sendAs(v)
	if err != nil {
		b.t.Fatal(err)
	}
	s, err := b.verifyAs(v, res.PhoneID, b.code(b.live))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// subject is a user of a trusted issuer.
func subject(n byte) *session.Principal {
	return &session.Principal{Subject: &session.Subject{
		Issuer: "https://idp.example", Subject: fmt.Sprint(n), User: store.UserID{n + 1}, Binding: store.Binding([]byte{n, 32: 0}),
	}}
}

// crowd are the visitors that an attacker can pretend to be: 40 without a bearer or
// with one of his own.
func crowd(bearers bool) []visitor {
	out := make([]visitor, 40)
	for i := range out {
		out[i].device = fmt.Sprintf("device %d", i)
		if bearers {
			out[i].who = subject(byte(i))
		}
	}
	return out
}

// besiege is an attacker who sends and guesses as often as he can, for days, as each
// of some crowds. It returns when his guesses were compared.
func (b *bed) besiege(id string, days int, crowds ...[]visitor) (compared []time.Time) {
	b.t.Helper()
	b.store.judged = func(in store.Attempt) { compared = append(compared, in.Now) }
	defer func() { b.store.judged = nil }()
	const pace = 30 * time.Minute
	for step := range days * int(24*time.Hour/pace) {
		if step > 0 {
			b.now = b.now.Add(pace)
		}
		for _, c := range crowds {
			v := c[step%len(c)]
			_, _ = b.sendAs(v) // refused most of the time
			for range 10 {
				// A code has digits, so this is never right.
				if _, err := b.verifyAs(v, id, "wrong!"); fault.Is(err, fault.LimitOTP) {
					break
				}
			}
		}
	}
	return compared
}

// most is the largest number of moments within 24 hours.
func most(moments []time.Time) (n int) {
	for i, first := range moments {
		in := 0
		for _, at := range moments[i:] {
			if at.Sub(first) < 24*time.Hour {
				in++
			}
		}
		n = max(n, in)
	}
	return n
}

// TestWorstCase: an attacker who does nothing else for three days has as many guesses
// as docs/security.md says, and the owner of the phone signs in all the same.
func TestWorstCase(t *testing.T) {
	raw, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	stated := func(format string, args ...any) {
		t.Helper()
		if line := fmt.Sprintf(format, args...); !strings.Contains(page, line) {
			t.Errorf("docs/security.md does not say %q", line)
		}
	}
	owners := visitor{device: "the owner's"}
	open, bound, known := crowd(false), crowd(true), []visitor{owners}
	for _, tc := range []struct {
		who    string
		crowds [][]visitor
	}{
		{"no bearer, any device", [][]visitor{open}},
		{"bearers of his own as well, any number", [][]visitor{open, bound}},
		{"the owner's session or device id as well", [][]visitor{open, bound, known}},
	} {
		b := newBed(t)
		b.signsIn(owners)
		id := b.PhoneID(b.live, b.store.last().Phone)
		guesses := most(b.besiege(id, 3, tc.crowds...))
		daily := float64(guesses) / 1e6
		stated("| %s | %d | %.1f x 10^-5 | %.2f %% |", tc.who, guesses, daily*1e5, 100*(1-math.Pow(1-daily, 365)))
		if len(tc.crowds) < 3 {
			b.signsIn(owners)
		} else if _, err := b.sendAs(owners); !fault.Is(err, fault.LimitOTP) {
			t.Errorf("after the owner's own lane was used up: %v", err)
		}
	}

	s := tenant.Defaults()
	perDay := func(r tenant.Rate) int { return r.Burst + int(24*time.Hour/r.Bucket().Every) }
	address, client := perDay(s.AddressRate), perDay(s.ClientRate)
	stated("%s messages for each hit", thousands(1_000_000/s.MaxAttempts))
	stated("%s sends a day", thousands(address))
	stated("%.3f expected hits", float64(address*s.MaxAttempts)/1e6)
	stated("%.0f expected hits", float64(client*s.MaxAttempts)/1e6)
	stated("%d sends a day and lane, %d in all", s.PhoneDay.Max, 2*s.PhoneDay.Max)
}

// thousands writes a number as the documentation does.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestOwnerByBearer: the phone's user is known by a token of a trusted issuer, and by
// a session of ours, whatever strangers have used up.
func TestOwnerByBearer(t *testing.T) {
	b := newBed(t)
	sess := b.signsIn(visitor{who: subject(99)})
	id := b.PhoneID(b.live, sess.Phone)
	b.besiege(id, 1, crowd(false), crowd(true))
	for _, v := range []visitor{{}, {device: "new"}, {who: subject(1)}} {
		_, err := b.sendAs(v)
		wantKind(t, err, fault.LimitOTP)
	}
	again := b.signsIn(visitor{who: subject(99)})
	own := &session.Principal{Session: again}
	if got := b.signsIn(visitor{who: own}); got.ID != again.ID || got.User != sess.User {
		t.Errorf("%+v, want an upgrade of %+v", got, again)
	}
	stranger := &session.Principal{Session: again}
	stranger.Session.User = store.UserID{200}
	_, err := b.sendAs(visitor{who: stranger})
	wantKind(t, err, fault.LimitOTP)
}

// TestDeviceOnOneCallOnly: a business that tells the device only when it sends, or
// only when it checks, loses the protection and no code; one that once told it on both
// calls and then forgets it on the second has to have the code sent anew.
func TestDeviceOnOneCallOnly(t *testing.T) {
	b := newBed(t)
	device, none := visitor{device: "d"}, visitor{}
	for range 2 { // nothing is learned from sends
		res, err := b.sendAs(device)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.verifyAs(none, res.PhoneID, b.code(b.live)); err != nil {
			t.Errorf("told on send: %v", err)
		}
	}
	b.now = b.now.Add(time.Hour)
	for range 2 {
		res, err := b.sendAs(none)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.verifyAs(device, res.PhoneID, b.code(b.live)); err != nil {
			t.Errorf("told on authenticate: %v", err)
		}
	}
	res, err := b.sendAs(device)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.verifyAs(none, res.PhoneID, b.code(b.live))
	wantKind(t, err, fault.WrongCode)
	if _, err := b.verifyAs(device, res.PhoneID, b.code(b.live)); err != nil {
		t.Errorf("the attempts of a device were used up by somebody without: %v", err)
	}
}
