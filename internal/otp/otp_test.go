package otp_test

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const number = "+16502530000"

func TestSendAndAuthenticate(t *testing.T) {
	b := newBed(t)
	for _, c := range []*tenant.Client{b.test, b.live} {
		res := b.send(c, number)
		want := regexp.MustCompile("^phone-number-" + c.Env() + "-[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
		if !want.MatchString(res.PhoneID) || res.PhoneMask != "0000" || res.Replayed {
			t.Errorf("%+v", res)
		}
		code := b.code(c)
		e := wantKind(t, second(b.verify(c, res.PhoneID, wrong(code))), fault.WrongCode)
		if !e.Retryable {
			t.Error("a first wrong guess must be retryable")
		}
		s, err := b.verify(c, res.PhoneID, code)
		if err != nil {
			t.Fatal(err)
		}
		if s.Client != c.ID || b.PhoneID(c, s.Phone) != res.PhoneID || !s.ExpiresAt.Equal(t0.Add(10*time.Minute)) {
			t.Errorf("session %+v", s)
		}
		wantKind(t, second(b.verify(c, res.PhoneID, code)), fault.WrongCode)
	}
	if got := b.queued.Load(); got != 2 {
		t.Errorf("delivery was woken %d times, want 2", got)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPhoneIDsAreOfTheirClient(t *testing.T) {
	b := newBed(t)
	other := b.client("client-live-2", true, "")
	id := b.send(b.live, number).PhoneID
	if again := b.send(b.live, number).PhoneID; again != id {
		t.Errorf("one number, two ids: %s and %s", id, again)
	}
	if foreign := b.send(other, number).PhoneID; foreign == id {
		t.Error("two clients share an id")
	}
	if next := b.send(b.live, "+16502530001").PhoneID; next == id {
		t.Error("two numbers share an id")
	}
	wantKind(t, second(b.verify(other, id, b.code(b.live))), fault.WrongCode)
}

// TestOddPhoneIDs: whatever is not an id of the client is one that nobody has,
// and the right code does not change that.
func TestOddPhoneIDs(t *testing.T) {
	b := newBed(t)
	id := b.send(b.live, number).PhoneID
	code := b.code(b.live)
	uuid := strings.TrimPrefix(id, "phone-number-live-")
	for _, odd := range []string{
		"", "x", uuid, "phone-number-test-" + uuid, "phone-number-live-", "phone-number-live-" + strings.ToUpper(uuid),
		"phone-number-live-{" + uuid + "}", "phone-number-live-urn:uuid:" + uuid, "phone-number-live-" + strings.ReplaceAll(uuid, "-", ""),
		id + " ", " " + id, id + "\x00", strings.Repeat("x", 1<<16), "phone-number-live-00000000-0000-0000-0000-000000000000",
		"phone-number-test-01234abc-0000-0000-0000-0123456789", "phone-number-live-01234abc-0000-0000-0000-0123456789",
		"' OR 1=1 --", "\xff\xfe",
	} {
		e := wantKind(t, second(b.verify(b.live, odd, code)), fault.WrongCode)
		if e.Retryable {
			t.Errorf("%.40q: an unknown id is retryable", odd)
		}
	}
	if _, err := b.verify(b.live, id, code); err != nil {
		t.Errorf("the odd ids cost the phone something: %v", err)
	}
}

func TestMagicNumbers(t *testing.T) {
	b := newBed(t)
	accepted, retry := fault.Kind(255), time.Minute
	for _, tc := range []struct {
		number string
		kind   fault.Kind
		live   fault.Kind
	}{
		{"+14165551234", accepted, fault.InvalidPhoneCountry},
		{"+15005550001", fault.InvalidPhone, fault.InvalidPhoneType},
		{"+15005550002", fault.InvalidPhoneCountry, fault.InvalidPhoneType},
		{"+15005550003", fault.InvalidPhoneType, fault.InvalidPhoneType},
		{"+15005550004", fault.LimitSMS, fault.InvalidPhoneType},
		{"+15005550005", accepted, fault.InvalidPhoneType},
		{"+15005550006", accepted, fault.InvalidPhoneType},
		{"+15005550007", accepted, fault.InvalidPhoneType},
		{"+15005550008", fault.InvalidPhoneType, fault.InvalidPhoneType},
		{"+1500555000", fault.InvalidPhone, fault.InvalidPhone},
	} {
		before := b.queued.Load()
		res, err := b.trySend(b.test, tc.number)
		if tc.kind == accepted {
			if err != nil || res.PhoneMask != tc.number[8:] || b.queued.Load() != before+1 {
				t.Errorf("%s: %+v, %v", tc.number, res, err)
			}
		} else if e := wantKind(t, err, tc.kind); tc.kind == fault.LimitSMS && (e.RetryAfter != retry || e.Limit != store.LimitPhoneBurst) {
			t.Errorf("%s: %+v", tc.number, e)
		}
		_, err = b.trySend(b.live, tc.number)
		wantKind(t, err, tc.live)
	}
	if n := len(b.messages(b.live)); n != 0 {
		t.Errorf("%d messages of the live client", n)
	}
}

// TestDocumentedSample plays both cURL lines of the documentation.
func TestDocumentedSample(t *testing.T) {
	const id = "phone-number-test-01234abc-0000-0000-0000-0123456789"
	b := newBed(t)
	long := b.client("client-test-long", false, `{"codeLength":8}`)
	other := b.client("client-test-2", false, "")
	for _, tc := range []struct {
		client *tenant.Client
		code   string
	}{{b.test, "123456"}, {long, "12345678"}, {other, "123456"}} {
		wantKind(t, second(b.verify(tc.client, id, tc.code)), fault.WrongCode) // not sent yet
		if res := b.send(tc.client, "+14165551234"); res.PhoneID != id || res.PhoneMask != "1234" {
			t.Errorf("%+v", res)
		}
		if got := b.code(tc.client); got != tc.code {
			t.Errorf("the message says %s", got)
		}
		s, err := b.verify(tc.client, id, tc.code)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.PhoneID(tc.client, s.Phone); got != id {
			t.Errorf("the session is of %s", got)
		}
	}
	// The code is the sample's alone.
	res := b.send(b.test, number)
	if code := b.code(b.test); code != "123456" { // once in a million it is
		wantKind(t, second(b.verify(b.test, res.PhoneID, "123456")), fault.WrongCode)
	}
	wantKind(t, second(b.verify(b.live, id, "123456")), fault.WrongCode)
}

func TestExpiredMagicNumber(t *testing.T) {
	b := newBed(t)
	for range 2 { // a send does not revive it
		res := b.send(b.test, "+15005550007")
		code := b.code(b.test)
		wantKind(t, second(b.verify(b.test, res.PhoneID, code)), fault.WrongCode)
		b.now = b.now.Add(time.Second)
	}
}

func TestCodeLifetime(t *testing.T) {
	b := newBed(t)
	brief := b.client("client-live-brief", true, `{"codeLifetime":"2m","codeLength":4}`)
	for _, tc := range []struct {
		after time.Duration
		ok    bool
	}{{2*time.Minute - time.Second, true}, {2 * time.Minute, false}} {
		res := b.send(brief, number)
		code := b.code(brief)
		if len(code) != 4 {
			t.Errorf("%d digits", len(code))
		}
		b.now = b.now.Add(tc.after)
		if _, err := b.verify(brief, res.PhoneID, code); (err == nil) != tc.ok {
			t.Errorf("after %v: %v", tc.after, err)
		}
	}
}

func TestNumberRules(t *testing.T) {
	b := newBed(t)
	islands := b.client("client-live-islands", true, `{"allowedRegions":["US","PR"]}`)
	for _, tc := range []struct {
		number string
		client *tenant.Client
		kind   fault.Kind
	}{
		{"", b.live, fault.InvalidPhone},
		{"6502530000", b.live, fault.InvalidPhone},
		{"+1 650-253-0000", b.live, fault.InvalidPhone},
		{"+1650253000０", b.live, fault.InvalidPhone},
		{"+16502530000 ", b.live, fault.InvalidPhone},
		{"+16045550123", b.live, fault.InvalidPhoneCountry},
		{"+447700900123", b.live, fault.InvalidPhoneCountry},
		{"+17872530000", b.live, fault.InvalidPhoneCountry},
		{"+18002530000", b.live, fault.InvalidPhoneType},
		{"+16505550123", b.live, fault.InvalidPhoneType},
		{"+16712530000", islands, fault.InvalidPhoneCountry},
		{"+16502530000", b.test, 0},
		{"+18002530000", b.test, fault.InvalidPhoneType},
	} {
		_, err := b.trySend(tc.client, tc.number)
		if tc.kind == 0 {
			if err != nil {
				t.Errorf("%q: %v", tc.number, err)
			}
			continue
		}
		if e := wantKind(t, err, tc.kind); tc.number != "" && strings.Contains(e.Error(), tc.number) {
			t.Errorf("the error shows the number: %v", e)
		}
	}
	if _, err := b.trySend(islands, "+17872530000"); err != nil {
		t.Errorf("an allowed territory: %v", err)
	}
}

func TestLineTypes(t *testing.T) {
	b := newBed(t)
	for line := range phone.LineVoicemail + 1 {
		b.lines = lines{line: line}
		_, err := b.trySend(b.test, number)
		if line == phone.LineMobile || line == phone.LineUnknown {
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			continue
		}
		wantKind(t, err, fault.InvalidPhoneType)
	}
	b.lines = lines{err: errors.New("down")}
	wantKind(t, second(b.trySend(b.test, number)), fault.Unavailable)
	if _, err := b.trySend(b.test, "+14165551234"); err != nil {
		t.Errorf("a magic number was looked up: %v", err)
	}
}

// TestPhoneLimits: a live phone has them, a test client's has none.
func TestPhoneLimits(t *testing.T) {
	b := newBed(t)
	for i := range 20 {
		b.send(b.test, number)
		_, err := b.trySend(b.live, number)
		if i < 3 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if e := wantKind(t, err, fault.LimitSMS); e.RetryAfter != time.Minute || e.Limit != store.LimitPhoneBurst {
			t.Fatalf("%+v", e)
		}
	}
	if b.store.last().Client != b.live.ID || b.store.last().PhoneLimits == nil || b.store.starts[0].PhoneLimits != nil {
		t.Error("phone limits are not where they belong")
	}
}

// TestFailureBudget: wrong codes count against the phone, over challenges, on a
// live client alone.
func TestFailureBudget(t *testing.T) {
	b := newBed(t)
	wide := `{"phoneBurst":{"burst":0,"every":"0s"},"phoneDay":{"max":0,"period":"0s"},"phoneFailures":{"max":7,"period":"24h"}}`
	live, test := b.client("client-live-wide", true, wide), b.client("client-test-wide", false, wide)
	for _, c := range []*tenant.Client{live, test} {
		refused, wrongs := 0, 0
		for range 3 {
			res, err := b.trySend(c, number)
			if err != nil {
				wantKind(t, err, fault.LimitOTP)
				refused++
				continue
			}
			for range 5 {
				err := second(b.verify(c, res.PhoneID, wrong(b.code(c))))
				if fault.Is(err, fault.LimitOTP) {
					refused++
					continue
				}
				wantKind(t, err, fault.WrongCode)
				wrongs++
			}
			b.now = b.now.Add(11 * time.Minute)
		}
		if c.Live && (wrongs != 7 || refused == 0) {
			t.Errorf("live: %d guesses were judged and %d calls refused, want 7 and some", wrongs, refused)
		}
		if !c.Live && (wrongs != 15 || refused != 0) {
			t.Errorf("test: %d guesses were judged and %d calls refused, want 15 and none", wrongs, refused)
		}
	}
}

func TestCharges(t *testing.T) {
	b := newBed(t)
	free := b.client("client-test-free", false, `{"clientRate":{"burst":0,"every":"0s"},"addressRate":{"burst":0,"every":"0s"}}`)
	send := func(c *tenant.Client, addr netip.Addr) []store.Charge {
		t.Helper()
		_, err := b.Send(t.Context(), otp.SendRequest{Client: c, PhoneNumber: number, EndUser: addr})
		if err != nil {
			t.Fatal(err)
		}
		return b.store.last().Charges
	}
	if got := send(free, netip.MustParseAddr("192.0.2.1")); len(got) != 0 {
		t.Errorf("a client without limits is charged %+v", got)
	}
	got := send(b.test, netip.Addr{})
	if len(got) != 1 || got[0].Name != otp.LimitClient || !got[0].OfClient || got[0].Bucket != tenant.Defaults().ClientRate.Bucket() {
		t.Errorf("without an address: %+v", got)
	}
	key := func(c *tenant.Client, addr string) string {
		t.Helper()
		charges := send(c, netip.MustParseAddr(addr))
		last := charges[len(charges)-1]
		if last.Name != otp.LimitAddress || last.OfClient || last.Bucket != tenant.Defaults().AddressRate.Bucket() {
			t.Fatalf("%s: %+v", addr, charges)
		}
		if strings.Contains(last.Key, netip.MustParseAddr(addr).String()) {
			t.Error("the address is readable in the key")
		}
		return last.Key
	}
	other := b.client("client-test-2", false, "")
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"::1", "::2", true},
	} {
		if same := key(b.test, tc.a) == key(b.test, tc.b); same != tc.same {
			t.Errorf("%s and %s: same %v", tc.a, tc.b, same)
		}
	}
	b.now = b.now.Add(time.Hour)
	if key(b.test, "192.0.2.1") == key(other, "192.0.2.1") {
		t.Error("two clients share an address bucket")
	}
}

func TestAddressLimit(t *testing.T) {
	b := newBed(t)
	c := b.client("client-test-narrow", false, `{"addressRate":{"burst":2,"every":"30s"},"clientRate":{"burst":4,"every":"10s"}}`)
	send := func(addr string) error {
		_, err := b.Send(t.Context(), otp.SendRequest{Client: c, PhoneNumber: number, EndUser: netip.MustParseAddr(addr)})
		return err
	}
	if err := errors.Join(send("2001:db8::1"), send("2001:db8::2")); err != nil {
		t.Fatal(err)
	}
	if e := wantKind(t, send("2001:db8::3"), fault.LimitSMS); e.Limit != otp.LimitAddress || e.RetryAfter != 30*time.Second {
		t.Errorf("%+v", e)
	}
	if err := errors.Join(send("192.0.2.1"), send("192.0.2.2")); err != nil {
		t.Fatalf("a refused send was charged: %v", err)
	}
	if e := wantKind(t, send("192.0.2.3"), fault.LimitClient); e.Limit != otp.LimitClient || e.RetryAfter != 10*time.Second {
		t.Errorf("%+v", e)
	}
}
