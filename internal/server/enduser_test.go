package server_test

import (
	"net/netip"
	"strings"
	"testing"

	"codeword/api"
	"codeword/internal/server"
)

func TestEndUserAddress(t *testing.T) {
	const fingerprint, forwarded = "Ratio-Device-Fingerprint: ", "X-Forwarded-For: "
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		headers []string
		want    string
		noted   bool
	}{
		{"nothing known", nil, nil, "", false},
		{"fingerprint", nil, []string{fingerprint + `{"ip":"203.0.113.9","ua":"x"}`}, "203.0.113.9", false},
		{"fingerprint with trailing comma", nil, []string{fingerprint + `{"ip":"203.0.113.9",}`}, "203.0.113.9", false},
		{"base64url", nil, []string{fingerprint + `eyJpcCI6IjIwMDE6ZGI4OjoxIn0`}, "2001:db8::1", false},
		{"base64 with padding", nil, []string{fingerprint + `eyJpcCI6IjIwMDE6ZGI4OjoxIn0=`}, "2001:db8::1", false},
		{"mapped", nil, []string{fingerprint + `{"ip":"::ffff:203.0.113.9"}`}, "203.0.113.9", false},
		{"zone", nil, []string{fingerprint + `{"ip":"fe80::1%eth0"}`}, "fe80::1", false},
		{"not JSON", nil, []string{fingerprint + "hello"}, "", true},
		{"no ip", nil, []string{fingerprint + `{"ua":"x"}`}, "", true},
		{"ip a number", nil, []string{fingerprint + `{"ip":1}`}, "", true},
		{"ip nonsense", nil, []string{fingerprint + `{"ip":"300.1.1.1"}`}, "", true},
		{"ip unspecified", nil, []string{fingerprint + `{"ip":"0.0.0.0"}`}, "", true},
		{"ip twice", nil, []string{fingerprint + `{"ip":"203.0.113.9","ip":"203.0.113.8"}`}, "", true},
		{"header twice", nil, []string{fingerprint + `{"ip":"203.0.113.9"}`, fingerprint + `{"ip":"203.0.113.8"}`}, "", true},
		{"too long", nil, []string{fingerprint + `{"ip":"203.0.113.9","x":"` + strings.Repeat("x", 5000) + `"}`}, "", true},

		{"forwarded but no proxy trusted", nil, []string{forwarded + "203.0.113.9"}, "", false},
		{"forwarded by another peer", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []string{forwarded + "203.0.113.9"}, "", false},
		{"forwarded", loopback, []string{forwarded + "203.0.113.9"}, "203.0.113.9", false},
		{"forged before it", loopback, []string{forwarded + "198.51.100.1, 203.0.113.9"}, "203.0.113.9", false},
		{"two proxies", loopback, []string{forwarded + "198.51.100.1, 203.0.113.9, 10.1.2.3"}, "203.0.113.9", false},
		{"two lines", loopback, []string{forwarded + "198.51.100.1", forwarded + "203.0.113.9,10.1.2.3"}, "203.0.113.9", false},
		{"port", loopback, []string{forwarded + "203.0.113.9:1234"}, "203.0.113.9", false},
		{"IPv6 with port", loopback, []string{forwarded + "[2001:db8::1]:1234"}, "2001:db8::1", false},
		{"IPv6 in brackets", loopback, []string{forwarded + "[2001:db8::1]"}, "2001:db8::1", false},
		{"garbage hides what stands before", loopback, []string{forwarded + "203.0.113.9, unknown"}, "", false},
		{"only proxies", loopback, []string{forwarded + "10.0.0.1"}, "", false},
		{"empty", loopback, []string{forwarded}, "", false},
		{"no header", loopback, nil, "", false},
		{"endless", loopback, []string{forwarded + "203.0.113.9" + strings.Repeat(",10.0.0.1", 100)}, "", false},
		{"fingerprint wins", loopback, []string{forwarded + "198.51.100.1", fingerprint + `{"ip":"203.0.113.9"}`}, "203.0.113.9", false},
		{"bad fingerprint, proxy", loopback, []string{forwarded + "198.51.100.1", fingerprint + `{`}, "198.51.100.1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, func(cfg *server.Config) { cfg.TrustedProxies = c.trusted })
			if got := f.do("POST", api.PathSend, goodSend, c.headers...); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			got := f.otp.lastSend(t).EndUser
			if c.want == "" && got.IsValid() || c.want != "" && got.String() != c.want {
				t.Errorf("end user %v, want %q", got, c.want)
			}
			if noted := strings.Contains(f.log.String(), "ratio-device-fingerprint ignored"); noted != c.noted {
				t.Errorf("noted in the log: %v", noted)
			}
			if strings.Contains(f.log.String(), "203.0.113") {
				t.Error("the log contains the address")
			}
		})
	}
}

// TestDevice: both calls tell the domain of the device, and of what cannot be read
// nothing but a remark remains.
func TestDevice(t *testing.T) {
	const header = "Ratio-Device-Fingerprint: "
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name    string
		headers []string
		want    string
		noted   bool
	}{
		{"none", nil, "", false},
		{"deviceId", []string{header + `{"deviceId":"dv_1","ua":"x"}`}, "dv_1", false},
		{"visitorId", []string{header + `{"visitorId":"vs_1"}`}, "vs_1", false},
		{"deviceId goes first", []string{header + `{"visitorId":"vs_1","deviceId":"dv_1"}`}, "dv_1", false},
		{"deviceId is null", []string{header + `{"visitorId":"vs_1","deviceId":null}`}, "vs_1", false},
		{"with ip", []string{header + `{"ip":"203.0.113.9","deviceId":"dv_1"}`}, "dv_1", false},
		{"only ip", []string{header + `{"ip":"203.0.113.9"}`}, "", false},
		{"with an ip that is none", []string{header + `{"ip":"300.1.1.1","deviceId":"dv_1"}`}, "dv_1", true},
		{"base64", []string{header + `eyJkZXZpY2VJZCI6ImR2XzEifQ`}, "dv_1", false},
		{"escaped", []string{header + `{"deviceId":"\u0000\ud83d\ude00"}`}, "\x00\U0001f600", false},
		{"longest", []string{header + `{"deviceId":"` + long + `"}`}, long, false},
		{"too long", []string{header + `{"deviceId":"` + long + `x"}`}, "", true},
		{"empty", []string{header + `{"deviceId":""}`}, "", true},
		{"a number", []string{header + `{"deviceId":1}`}, "", true},
		{"a number beside a visitorId", []string{header + `{"deviceId":1,"visitorId":"vs_1"}`}, "", true},
		{"twice in it", []string{header + `{"deviceId":"a","deviceId":"b"}`}, "", true},
		{"header twice", []string{header + `{"deviceId":"a"}`, header + `{"deviceId":"a"}`}, "", true},
		{"neither", []string{header + `{"ua":"x"}`}, "", true},
		{"garbage", []string{header + "\x80\xff{"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, nil)
			for path, body := range map[string]string{api.PathSend: goodSend, api.PathAuthenticate: goodAuth} {
				if got := f.do("POST", path, body, c.headers...); got.status != 200 {
					t.Fatalf("%s: %d %s", path, got.status, got.body)
				}
			}
			want := 0
			if c.noted {
				want = 2
			}
			if sent, tried := f.otp.lastSend(t).Device, f.otp.tried[0].Device; sent != c.want || tried != c.want {
				t.Errorf("the domain was told of %q and %q, want %q", sent, tried, c.want)
			}
			if n := strings.Count(f.log.String(), "ratio-device-fingerprint ignored"); n != want {
				t.Errorf("noted %d times, want %d", n, want)
			}
			if c.want != "" && strings.Contains(f.log.String(), c.want) {
				t.Error("the log contains the device")
			}
		})
	}
}
