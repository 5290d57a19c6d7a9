package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/server"
	"codeword/internal/store"
)

const demoInbox = "http://127.0.0.1:8081/inbox"

// newDemo is a fixture with the page. Its paths are not in the API's description,
// which the usual transport holds answers against.
func newDemo(t *testing.T, change func(*server.Config)) *fixture {
	t.Helper()
	f := newFixture(t, func(c *server.Config) {
		c.Demo = &server.Demo{ClientID: testID, ClientSecret: testSecret, Inbox: demoInbox}
		if change != nil {
			change(c)
		}
	})
	f.client.Transport = nil
	return f
}

func TestTheDemoIsOnlyWhereItIsAskedFor(t *testing.T) {
	f := newFixture(t, nil)
	f.client.Transport = nil
	for _, path := range []string{"/demo", "/demo/", "/demo/demo.js", "/demo/send", "/demo/authenticate"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if a := f.do(method, path, goodSend); a.status != http.StatusNotFound || a.err.Code != "NOT_FOUND_ENDPOINT" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
}

func TestTheDemoPage(t *testing.T) {
	f := newDemo(t, nil)
	for path, contentType := range map[string]string{
		"/demo": "text/html; charset=utf-8", "/demo/demo.css": "text/css; charset=utf-8", "/demo/demo.js": "text/javascript; charset=utf-8",
	} {
		a := f.do(http.MethodGet, path, "", "-Ratio-Client-Id", "-Ratio-Client-Secret")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != contentType {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		csp := a.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.Contains(a.body, testSecret) || strings.Contains(a.body, testID) {
			t.Errorf("%s tells the credentials", path)
		}
		if path == "/demo" && (!strings.Contains(a.body, `href="`+demoInbox+`"`) || !strings.Contains(a.body, `data-address="127.0.0.1"`)) {
			t.Errorf("the page lacks the inbox or the visitor's address:\n%s", a.body)
		}
		if head := f.do(http.MethodHead, path, ""); head.status != http.StatusOK || head.body != "" {
			t.Errorf("HEAD %s: %d", path, head.status)
		}
		if post := f.do(http.MethodPost, path, ""); post.status != http.StatusMethodNotAllowed || post.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, post.status)
		}
	}
	if a := f.do(http.MethodGet, "/demo/", ""); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "../demo" {
		t.Errorf("/demo/: %d %v", a.status, a.header)
	}
	for _, path := range []string{"/demo/demo.go", "/demo/demo.html", "/demo/../demo", "/demo/demo.js/"} {
		if a := f.do(http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

// TestTheDemoIsSmall keeps a promise: whoever copies it can read it first.
func TestTheDemoIsSmall(t *testing.T) {
	lines := 0
	for _, name := range []string{"demo.html", "demo.css", "demo.js"} {
		b, err := os.ReadFile("demo/" + name)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(b, []byte("\n"))
		for n, line := range bytes.Split(b, []byte("\n")) {
			if len(line) > 140 {
				t.Errorf("%s:%d has %d bytes", name, n+1, len(line))
			}
		}
	}
	if lines >= 200 {
		t.Errorf("page, style and script have %d lines, fewer than 200 were promised", lines)
	}
}

// TestTheDemoCallsForTheTestClient: the credentials are the server's, and whatever
// else a visitor sends beside the body is left behind.
func TestTheDemoCallsForTheTestClient(t *testing.T) {
	f := newDemo(t, nil)
	mine := []string{
		"-Ratio-Client-Id", "-Ratio-Client-Secret", "Ratio-Client-Id: " + strictID, "Authorization: Bearer " + goodToken,
		"Captcha-Token: mine", "Idempotency-Key: mine", "Accept-Language: es", `Ratio-Device-Fingerprint: {"ip": "192.0.2.1", "deviceId": "mine"}`,
		"X-Forwarded-For: 192.0.2.2", "Origin: " + f.url, "Sec-Fetch-Site: same-origin",
	}
	a := f.do(http.MethodPost, "/demo/send", goodSend, mine...)
	if a.status != http.StatusOK || a.body != `{"phoneId":"`+testPhone+`","phoneMask":"1234"}` || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	if in := f.otp.lastSend(t); in.Client.ID != testID || in.Principal != nil || in.CaptchaToken != "" || in.IdempotencyKey != "" ||
		in.AcceptLanguage != "" || in.Device != "" || in.EndUser != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%+v", in)
	}
	if a := f.do(http.MethodPost, "/demo/authenticate", goodAuth, mine...); a.status != http.StatusOK || a.body != `{"sessionJwt":"`+testJWT+`"}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	if strings.Contains(f.log.String(), testSecret) {
		t.Error("the log tells the secret")
	}

	proxied := newDemo(t, func(c *server.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	proxied.do(http.MethodPost, "/demo/send", goodSend, mine...)
	if in := proxied.otp.lastSend(t); in.EndUser != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("behind a proxy: %v", in.EndUser)
	}
}

// TestTheDemoPassesErrorsOn compares its answers with those of the API.
func TestTheDemoPassesErrorsOn(t *testing.T) {
	f := newDemo(t, nil)
	for _, err := range []error{
		fault.New(fault.InvalidPhoneType, "toll-free"),
		&fault.Error{Kind: fault.LimitSMS, Limit: "address", RetryAfter: 29_001 * time.Millisecond},
		&fault.Error{Kind: fault.WrongCode, Retryable: true},
		&fault.Error{Kind: fault.WrongCode},
		&fault.Error{Kind: fault.Unavailable, RetryAfter: 3 * time.Second},
		io.ErrUnexpectedEOF,
	} {
		f.otp.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) { return otp.SendResult{}, err }
		f.otp.auth = func(context.Context, otp.AuthenticateRequest) (store.Session, error) { return store.Session{}, err }
		for _, c := range []struct{ demo, api, body string }{
			{"/demo/send", "/v1/auth/otp/sms:send", goodSend},
			{"/demo/authenticate", "/v1/auth/otp/sms:authenticate", goodAuth},
			{"/demo/send", "/v1/auth/otp/sms:send", `{"phoneNumber":`},
			{"/demo/authenticate", "/v1/auth/otp/sms:authenticate", `{}`},
		} {
			want, got := f.do(http.MethodPost, c.api, c.body), f.do(http.MethodPost, c.demo, c.body)
			want.header.Del("Request-Id")
			got.header.Del("Request-Id")
			want.header.Del("Date")
			got.header.Del("Date")
			if got.status != want.status || got.body != want.body || !equalHeaders(got.header, want.header) {
				t.Errorf("%v: %d %s %v, the API answers %d %s %v", err, got.status, got.body, got.header, want.status, want.body, want.header)
			}
		}
	}
}

func equalHeaders(a, b http.Header) bool {
	var left, right bytes.Buffer
	_, _ = a.Write(&left), b.Write(&right)
	return left.String() == right.String()
}

func TestTheDemoRefusesOtherSites(t *testing.T) {
	f := newDemo(t, nil)
	for _, tc := range []struct {
		header string
		want   int
	}{
		{"Sec-Fetch-Site: cross-site", http.StatusForbidden},
		{"Sec-Fetch-Site: same-site", http.StatusForbidden},
		{"Origin: https://evil.example", http.StatusForbidden},
		{"Origin: null", http.StatusForbidden},
		{"Origin: " + f.url, http.StatusOK},
		{"Sec-Fetch-Site: same-origin", http.StatusOK},
	} {
		for path, body := range map[string]string{"/demo/send": goodSend, "/demo/authenticate": goodAuth} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			name, value, _ := strings.Cut(tc.header, ": ")
			req.Header.Set(name, value)
			req.Header.Set("Content-Type", "application/json")
			resp, err := f.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != tc.want || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s with %q: %d, want %d", path, tc.header, resp.StatusCode, tc.want)
			}
		}
	}
}

func TestTheDemoRefusesWhatThePageNeverSends(t *testing.T) {
	f := newDemo(t, nil)
	for _, tc := range []struct {
		name, method, body string
		header             []string
		want               int
	}{
		{"a large body", http.MethodPost, goodSend + strings.Repeat(" ", 1024), nil, http.StatusRequestEntityTooLarge},
		{"a form", http.MethodPost, "phoneNumber=1", []string{"-Content-Type", "Content-Type: application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType},
		{"compression", http.MethodPost, goodSend, []string{"Content-Encoding: gzip"}, http.StatusUnsupportedMediaType},
		{"GET", http.MethodGet, "", nil, http.StatusMethodNotAllowed},
		{"PUT", http.MethodPut, goodSend, nil, http.StatusMethodNotAllowed},
		{"a preflight", http.MethodOptions, "", nil, http.StatusMethodNotAllowed},
	} {
		for _, path := range []string{"/demo/send", "/demo/authenticate"} {
			if a := f.do(tc.method, path, tc.body, tc.header...); a.status != tc.want {
				t.Errorf("%s to %s: %d %s, want %d", tc.name, path, a.status, a.body, tc.want)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+"/demo/send", io.MultiReader(strings.NewReader(goodSend)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if a := f.send(req); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of unknown length: %d", a.status)
	}
	if len(f.otp.sent)+len(f.otp.tried) != 0 {
		t.Error("a refused request reached the domain")
	}
}

// TestTheDemoNeverSpeaksForALiveClient: their messages reach phones and cost money.
func TestTheDemoNeverSpeaksForALiveClient(t *testing.T) {
	f := newDemo(t, func(c *server.Config) { c.Demo.ClientID = liveID })
	if a := f.do(http.MethodPost, "/demo/send", goodSend); a.status != http.StatusInternalServerError {
		t.Errorf("%d %s", a.status, a.body)
	}
	if len(f.otp.sent) != 0 {
		t.Error("it was sent")
	}
	off := newDemo(t, func(c *server.Config) { c.Demo.ClientSecret = "of yesterday" })
	if a := off.do(http.MethodPost, "/demo/send", goodSend); a.err.Code != "INVALID_CLIENT_SECRET" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
