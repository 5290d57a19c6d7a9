package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/api/apitest"
	"codeword/client"
)

const (
	id     = "client-1"
	secret = "s3cr3t-value"
	phone  = "+16502180000"
	jwt    = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
)

// newClient returns a client of h with short waits.
func newClient(t *testing.T, h http.HandlerFunc, change ...func(*client.Config)) *client.Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := client.Config{BaseURL: srv.URL, ClientID: id, ClientSecret: secret, InitialWait: time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	return build(t, cfg)
}

func build(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func reply(w http.ResponseWriter, status int, body string, header ...string) {
	w.Header().Set("Content-Type", api.ContentTypeJSON)
	w.Header().Set(api.HeaderRequestID, "req-7")
	for i := 0; i < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func problem(code api.Code, data string) string {
	return fmt.Sprintf(`{"message":"told","createTime":"2026-01-02T03:04:05.678Z","code":%q%s}`, code, data)
}

// validated makes each exchange of the client be held against the description.
func validated(t *testing.T) func(*client.Config) {
	t.Helper()
	v, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *client.Config) {
		cfg.HTTPClient = &http.Client{Transport: &apitest.Transport{Validator: v, Report: func(err error) { t.Error(err) }}}
	}
}

func TestSend(t *testing.T) {
	var keys []string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in) != 1 || in["phoneNumber"] != phone {
			t.Errorf("body %v, %v", in, err)
		}
		if r.Method != "POST" || r.URL.Path != api.PathSend || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if r.Header.Get(api.HeaderClientID) != id || r.Header.Get(api.HeaderClientSecret) != secret {
			t.Errorf("credentials %v", r.Header)
		}
		keys = append(keys, r.Header.Get(api.HeaderIdempotencyKey))
		header := []string{}
		if len(keys) == 3 {
			if got := r.Header.Get("Authorization"); got != "Bearer "+jwt {
				t.Errorf("Authorization %q", got)
			}
			if got := r.Header.Get(api.HeaderDeviceFingerprint); got != `{"ip":"192.0.2.1"}` {
				t.Errorf("fingerprint %q", got)
			}
			if got := r.Header.Get(api.HeaderCaptchaToken); got != "captcha.token" {
				t.Errorf("captcha token %q", got)
			}
			header = append(header, api.HeaderAuthenticationRefresh, jwt, api.HeaderIdempotentReplayed, "true")
		} else if r.Header["Authorization"] != nil {
			t.Error("a bearer nobody gave")
		}
		reply(w, 200, `{"phoneId":"p-1","phoneMask":"0000"}`, header...)
	}, validated(t))

	for range 2 {
		got, err := c.Send(t.Context(), phone)
		if err != nil || got.PhoneID != "p-1" || got.PhoneMask != "0000" || got.RequestID != "req-7" || got.Replayed || got.RefreshedSession != "" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	got, err := c.Send(t.Context(), phone, client.WithIdempotencyKey("mine"), client.WithSession(jwt), client.WithDeviceFingerprint(`{"ip":"192.0.2.1"}`),
		client.WithCaptchaToken("captcha.token"))
	if err != nil || !got.Replayed || got.RefreshedSession != jwt || got.IdempotencyKey != "mine" {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(keys) != 3 || keys[0] == keys[1] || len(keys[0]) < 20 || keys[2] != "mine" {
		t.Errorf("keys %q", keys)
	}
}

func TestAuthenticateSessionRevoke(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header[http.CanonicalHeaderKey(api.HeaderIdempotencyKey)] != nil {
			t.Error("an idempotency key where the contract has none")
		}
		switch r.Method + " " + r.URL.Path {
		case "POST " + api.PathAuthenticate:
			var in api.AuthenticateSmsOtpRequest
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.PhoneID != "p-1" || in.OTP != "012345" {
				t.Errorf("body %+v, %v", in, err)
			}
			reply(w, 200, `{"sessionJwt":"`+jwt+`"}`)
		case "GET " + api.PathSession:
			reply(w, 200, `{"sessionId":"s","userId":"u","phoneId":"p","amr":["sms","otp"],"authTime":"2026-01-02T03:04:05.678Z",
				"createTime":"2026-01-02T03:04:05.678Z","expireTime":"2026-01-02T03:14:05.678Z"}`)
		case "POST " + api.PathSessionRevoke:
			if r.Header.Get("Authorization") != "Bearer of.an.other" || r.ContentLength != 0 {
				t.Errorf("%v, %d bytes", r.Header, r.ContentLength)
			}
			w.Header().Set(api.HeaderRequestID, "req-7")
			w.WriteHeader(204)
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}, validated(t), func(cfg *client.Config) { cfg.Session = jwt })

	auth, err := c.Authenticate(t.Context(), "p-1", "012345")
	if err != nil || auth.SessionJWT.Reveal() != jwt || auth.RequestID != "req-7" {
		t.Errorf("got %v, %v", auth, err)
	}
	s, err := c.Session(t.Context())
	if err != nil || s.SessionID != "s" || s.ExpireTime.Sub(s.CreateTime.Time) != 10*time.Minute || len(s.AMR) != 2 {
		t.Errorf("got %+v, %v", s, err)
	}
	if err := c.RevokeSession(t.Context(), client.WithSession("of.an.other")); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for _, tc := range []struct {
		name   string
		status int
		body   string
		header []string
		want   client.Error
	}{
		{
			"wrong code", 401, problem(api.CodeInvalidOTP, `,"data":{"retryable":true}`), nil,
			client.Error{Status: 401, Code: api.CodeInvalidOTP, Message: "told", RequestID: "req-7", Retryable: true},
		},
		{
			"limit", 429, problem(api.CodeExceedsLimitOTP, `,"data":{"limit":"x"}`),
			[]string{"Retry-After", "86400"},
			client.Error{Status: 429, Code: api.CodeExceedsLimitOTP, Message: "told", RequestID: "req-7", Limit: "x", RetryAfter: 24 * time.Hour},
		},
		{
			"a code of the future", 418, problem("NEW", `,"data":[1]`), nil,
			client.Error{Status: 418, Code: "NEW", Message: "told", RequestID: "req-7"},
		},
		{
			"proxy page", 502, "<html><script>alert(1)</script>",
			[]string{"Content-Type", "text/html", api.HeaderRequestID, ""},
			client.Error{Status: 502, Message: "Bad Gateway"},
		},
		{
			"JSON of someone else", 500, `{"error":"sql: no rows"}`, nil,
			client.Error{Status: 500, Message: "Internal Server Error", RequestID: "req-7"},
		},
		{"JSON array", 400, `[]`, nil, client.Error{Status: 400, Message: "Bad Request", RequestID: "req-7"}},
		{"empty", 403, ``, nil, client.Error{Status: 403, Message: "Forbidden", RequestID: "req-7"}},
		{
			"huge", 500, strings.Repeat(" ", 65<<10) + problem(api.CodeInternal, ""), nil,
			client.Error{Status: 500, Message: "Internal Server Error", RequestID: "req-7"},
		},
		{
			"hostile text", 400, `{"message":"a\nb\u001b[31m` + long + `","code":"C\nD"}`,
			[]string{"Retry-After", "-5"},
			client.Error{Status: 400, Code: "CD", Message: "ab[31m" + long[:248], RequestID: "req-7"},
		},
		{
			"odd wait", 503, problem(api.CodeUnavailable, ""),
			[]string{"Retry-After", "99999999999999999999"},
			client.Error{Status: 503, Code: api.CodeUnavailable, Message: "told", RequestID: "req-7"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tries := 0
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				tries++
				reply(w, tc.status, tc.body, tc.header...)
			})
			_, err := c.Authenticate(t.Context(), "p", "123456")
			got, ok := errors.AsType[*client.Error](err)
			if !ok || *got != tc.want {
				t.Fatalf("got  %#v\nwant %#v", err, &tc.want)
			}
			if tc.want.Code != "" && !errors.Is(err, tc.want.Code) {
				t.Error("errors.Is does not find the code")
			}
			if errors.Is(err, api.CodeBlockedPhone) || errors.Is(err, api.Code("")) {
				t.Error("errors.Is finds a code that is not there")
			}
			if tries != 1 {
				t.Errorf("%d tries of an attempt", tries)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b<") {
				t.Errorf("unclean text %q", err)
			}
		})
	}
}

func TestBadAnswers(t *testing.T) {
	send := func(t *testing.T, c *client.Client) error { _, err := c.Send(t.Context(), phone); return err }
	auth := func(t *testing.T, c *client.Client) error {
		_, err := c.Authenticate(t.Context(), "p", "1")
		return err
	}
	session := func(t *testing.T, c *client.Client) error { _, err := c.Session(t.Context()); return err }
	revoke := func(t *testing.T, c *client.Client) error { return c.RevokeSession(t.Context()) }
	for _, tc := range []struct {
		name   string
		do     func(*testing.T, *client.Client) error
		status int
		body   string
	}{
		{"page", send, 200, "<html>Welcome to the hotel network"},
		{"empty", send, 200, ""},
		{"no id", send, 200, "{}"},
		{"null", send, 200, "null"},
		{"bytes after", send, 200, `{"phoneId":"p"}{}`},
		{"huge", send, 200, `{"phoneId":"p","x":"` + strings.Repeat("x", 64<<10) + `"}`},
		{"accepted", send, 202, `{"phoneId":"p"}`},
		{"no token", auth, 200, `{"sessionJwt":""}`},
		{"no session", session, 200, `{}`},
		{"time", session, 200, `{"sessionId":"s","createTime":"now"}`},
		{"200 for 204", revoke, 200, `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tries := 0
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { tries++; reply(w, tc.status, tc.body) })
			if err := tc.do(t, c); !errors.Is(err, client.ErrBadAnswer) || tries != 1 {
				t.Errorf("got %v after %d tries, want ErrBadAnswer at once", err, tries)
			}
		})
	}
}

func TestNew(t *testing.T) {
	for _, tc := range []struct {
		url      string
		insecure bool
		ok       bool
	}{
		{"https://otp.example.com", false, true},
		{"https://otp.example.com:8443/codeword/", false, true},
		{"http://127.0.0.1:8080", false, true},
		{"http://127.9.9.9", false, true},
		{"http://[::1]:8080", false, true},
		{"http://[::ffff:127.0.0.1]", false, true},
		{"http://LOCALHOST", false, true},
		{"http://otp.example.com", false, false},
		{"http://otp.example.com", true, true},
		{"http://localhost.example.com", false, false},
		{"http://127.0.0.1.example.com", false, false},
		{"http://0.0.0.0", false, false},
		{"", false, false},
		{"otp.example.com", false, false},
		{"//otp.example.com", false, false},
		{"https://", false, false},
		{"https://:443", false, false},
		{"ftp://127.0.0.1", false, false},
		{"https:otp", false, false},
		{"https://user:pass@otp.example.com", false, false},
		{"https://otp.example.com?x=1", false, false},
		{"https://otp.example.com?", false, false},
		{"https://otp.example.com#x", false, false},
		{"https://otp.example.com/\x7f" + secret, false, false},
	} {
		_, err := client.New(client.Config{BaseURL: tc.url, ClientID: id, ClientSecret: secret, AllowInsecure: tc.insecure})
		if (err == nil) != tc.ok {
			t.Errorf("%q: %v", tc.url, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "pass")) {
			t.Errorf("%q: the error tells what the address holds: %v", tc.url, err)
		}
	}
	_, err := client.New(client.Config{Session: "a\r\nX: y", MaxTries: -1})
	for _, part := range []string{"BaseURL", "ClientID", "ClientSecret", "session", "negative"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for _, opt := range []client.SendOption{
		client.WithIdempotencyKey(""), client.WithIdempotencyKey(strings.Repeat("k", 256)), client.WithIdempotencyKey("a b"),
		client.WithIdempotencyKey("a\r\nb"), client.WithSession("a b"), client.WithSession("a\r\nb"), client.WithDeviceFingerprint("a\nb"),
		client.WithCaptchaToken("a b"), client.WithCaptchaToken("a\r\nb"),
	} {
		if _, err := c.Send(t.Context(), phone, opt); err == nil {
			t.Errorf("%#v was taken", opt)
		}
	}
}

func TestNothingShowsSecrets(t *testing.T) {
	cfg := client.Config{BaseURL: "https://otp.example.com", ClientID: id, ClientSecret: secret, Session: jwt}
	c := build(t, cfg)
	results := []any{
		c, *c, &cfg, cfg, cfg.ClientSecret,
		struct{ c *client.Client }{c},
		struct{ C *client.Client }{c},
		client.AuthResult{SessionJWT: jwt, Meta: client.Meta{RefreshedSession: jwt}},
	}
	var out bytes.Buffer
	text, js := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range results {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text.Info("x", "v", v)
		js.Info("x", "v", v)
	}
	for _, s := range []string{secret, jwt, fmt.Sprintf("%x", secret), fmt.Sprintf("%x", jwt)} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q is shown in\n%s", s, out.String())
		}
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Error("nothing was redacted")
	}
}

// TestNoCookies: what one answer sets must not tie the calls of many people together.
func TestNoCookies(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) != 0 {
			t.Errorf("cookies %v", r.Cookies())
		}
		reply(w, 200, `{"phoneId":"p","phoneMask":"0000"}`, "Set-Cookie", "a=b")
	}, func(cfg *client.Config) { cfg.HTTPClient = &http.Client{Jar: jar} })
	for range 2 {
		if _, err := c.Send(t.Context(), phone); err != nil {
			t.Fatal(err)
		}
	}
}
