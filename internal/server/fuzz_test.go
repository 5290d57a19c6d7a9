package server

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"codeword/internal/fault"
)

// FuzzObject holds the decoder against encoding/json: what it accepts is, but
// for trailing commas, an object to that one too, with the same members.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{"phoneNumber": "+14165551234"}`, "{\n\"phoneNumber\": \"+14165551234\",\n}", `{"phoneId":"x","otp":"123456",}`,
		`{"a":[1,2,],"otp":null}`, `{/**/}`, `{"a":"//,}"}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"\u0061":"\ud800"}`, `[[[[`, `{,}`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := string(body)
		var d document
		members := []member{{name: "phoneNumber"}, {name: "otp"}}
		err := d.object(body, members)
		if string(body) != original {
			t.Fatal("the body was changed")
		}
		var want map[string]any
		strict := json.Unmarshal(body, &want)
		if err != nil {
			return
		}
		if !utf8.Valid(body) {
			t.Fatalf("accepted invalid UTF-8: %q", body)
		}
		if strict != nil {
			if !strings.Contains(original, ",") {
				t.Fatalf("accepted %q, which has no comma to forgive: %v", body, strict)
			}
			return
		}
		for _, m := range members {
			text, isString := want[m.name].(string)
			if (m.kind == kindString) != isString || m.text != text {
				t.Fatalf("%q: %s is %q, want %q", body, m.name, m.text, text)
			}
		}
	})
}

func FuzzFingerprint(f *testing.F) {
	for _, seed := range []string{
		`{"ip":"203.0.113.9"}`, `eyJpcCI6IjIwMDE6ZGI4OjoxIn0`, `{"ip":"::ffff:1.2.3.4%eth0"}`, `{`, "", "=", "{\"ip\":\"\x00\"}",
		`{"deviceId":"d","visitorId":"v"}`, `{"deviceId":null,"visitorId":"v","ip":1}`, `{"deviceId":""}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var d document
		var got fingerprint
		ok := d.fingerprint(value, &got)
		a := got.addr
		if ok && !a.IsValid() && got.id == "" || len(got.id) > maxDevice {
			t.Fatalf("%q: %+v, %v", value, got, ok)
		}
		if a.IsValid() && (a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "") {
			t.Fatalf("%q: %+v, %v", value, got, ok)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"203.0.113.9", "1.1.1.1, 10.0.0.1", "[2001:db8::1]:80", "unknown", ",,,", "::ffff:10.0.0.1", strings.Repeat("10.0.0.1,", 50)} {
		f.Add("127.0.0.1:1", seed, "10.0.0.2")
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, first, second string) {
		a := forwardedFor(trusted, remote, []string{first, second})
		if !a.IsValid() {
			return
		}
		if contains(trusted, a) {
			t.Fatalf("%v is a proxy", a)
		}
		if peer, err := netip.ParseAddrPort(remote); err != nil || !contains(trusted, peer.Addr().Unmap()) {
			t.Fatalf("believed %q", remote)
		}
	})
}

func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"a", `"a"`, `"a\"b"`, `"`, `""`, `"\`, "ä", strings.Repeat("x", 256)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := idempotencyKey([]string{value})
		if err != nil {
			return
		}
		if len(key) < 1 || len(key) > 255 {
			t.Fatalf("%q: %d bytes", value, len(key))
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := idempotencyKey([]string{quoted}); err != nil || again != key {
			t.Fatalf("%q quoted is %q, %v", key, again, err)
		}
	})
}

func TestEveryKindHasACode(t *testing.T) {
	for kind := range 64 { // beyond the last kind as well
		if c := CodeOf(fault.Kind(kind)); !c.Known() || c.Message() == "" {
			t.Errorf("kind %d has code %q", kind, c)
		}
	}
}

func BenchmarkObject(b *testing.B) {
	for name, body := range map[string]string{
		"send":          `{"phoneNumber": "+16502530000"}`,
		"authenticate":  `{"phoneId": "phone-number-test-01234abc-0000-0000-0000-0123456789", "otp": "123456"}`,
		"trailingComma": "{\n  \"phoneNumber\": \"+16502530000\",\n}",
	} {
		b.Run(name, func(b *testing.B) {
			var d document
			raw := []byte(body)
			b.ReportAllocs()
			for b.Loop() {
				members := [...]member{{name: "phoneNumber"}, {name: "otp"}}
				if err := d.object(raw, members[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
