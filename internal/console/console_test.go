package console_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/api"
	"codeword/internal/console"
	"codeword/internal/fault"
)

const token = "a-token-of-32-bytes-for-the-tests"

type fakeInbox struct {
	entries []console.Entry
	err     error
	asked   []console.Query
}

func (f *fakeInbox) List(_ context.Context, q console.Query) (console.InboxPage, error) {
	f.asked = append(f.asked, q)
	if q.To == "panic" {
		panic("secret of the inbox")
	}
	page := console.InboxPage{Messages: f.entries}
	if q.Limit > 0 && len(f.entries) > q.Limit {
		page.Messages, page.Next = f.entries[:q.Limit], messageID
	}
	return page, f.err
}

type fixture struct {
	t     *testing.T
	url   string
	inbox *fakeInbox
	log   *lockedBuffer
	cfg   console.Config
	mu    sync.Mutex
	now   time.Time
	// described: the console has everything, so that the description has to be true.
	described bool
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "codeword_test_total", Help: "A counter."})
	registry.MustRegister(counter)
	f := &fixture{t: t, inbox: &fakeInbox{}, log: &lockedBuffer{}, now: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)}
	f.cfg = console.Config{
		Token: token, Inbox: f.inbox, Metrics: registry, Log: slog.New(slog.NewJSONHandler(f.log, nil)),
		Now: func() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now },
	}
	c, err := console.New(f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	f.url = ts.URL
	return f
}

// browser keeps cookies and does not follow redirects.
func (f *fixture) browser() *http.Client {
	f.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

type answer struct {
	status int
	header http.Header
	body   string
	code   api.Code
}

func (f *fixture) do(c *http.Client, method, path string, form url.Values, headers ...string) answer {
	f.t.Helper()
	if form != nil {
		headers = append(headers, "Content-Type: application/x-www-form-urlencoded")
	}
	return f.request(c, method, path, form.Encode(), headers...)
}

// doBody sends any body, without cookies.
func (f *fixture) doBody(method, path, body string, headers ...string) answer {
	f.t.Helper()
	return f.request(f.browser(), method, path, body, headers...)
}

func (f *fixture) request(c *http.Client, method, path, body string, headers ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := c.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.described && strings.HasPrefix(path, "/admin/v1/") {
		f.hold(req, resp, b)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if resp.Header.Get("Request-Id") == "" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		f.t.Errorf("%s %s: headers %v", method, path, resp.Header)
	}
	if a.status >= 400 && resp.Header.Get("Content-Type") == api.ContentTypeJSON && len(b) > 0 {
		var doc api.Error
		if err := json.Unmarshal(b, &doc); err != nil || doc.Message == "" {
			f.t.Errorf("error document %s: %v", b, err)
		}
		a.code = doc.Code
	}
	return a
}

const bearer = "Authorization: Bearer " + token

func TestEverythingNeedsTheToken(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{
		"/admin/v1/inbox", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/pprof/symbol",
	} {
		for _, c := range []struct {
			headers []string
			code    api.Code
		}{
			{nil, api.CodeMissingAuthorization},
			{[]string{"Authorization: Bearer wrong"}, api.CodeInvalidAuthorization},
			{[]string{"Authorization: Bearer "}, api.CodeInvalidAuthorization},
			{[]string{"Authorization: Bearer " + token + "x"}, api.CodeInvalidAuthorization},
			{[]string{"Authorization: Bearer " + token[:len(token)-1]}, api.CodeInvalidAuthorization},
			{[]string{"Authorization: Basic " + token}, api.CodeInvalidAuthorization},
			{[]string{"Authorization: " + token}, api.CodeInvalidAuthorization},
			{[]string{bearer, bearer}, api.CodeInvalidAuthorization},
			{[]string{"Cookie: codeword_console=" + token}, api.CodeExpiredAuthorization},
			{[]string{"Cookie: codeword_console="}, api.CodeExpiredAuthorization},
		} {
			got := f.do(f.browser(), "GET", path, nil, c.headers...)
			if got.status != 401 || got.code != c.code || got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %v: %d %s", path, c.headers, got.status, got.body)
			}
		}
		if got := f.do(f.browser(), "GET", path, nil, bearer); got.status != 200 {
			t.Errorf("%s with the token: %d %s", path, got.status, got.body)
		}
		if got := f.do(f.browser(), "GET", path+"?token="+token, nil); got.status != 401 {
			t.Errorf("%s with the token in the URL: %d", path, got.status)
		}
	}
	if strings.Contains(f.log.String(), token) {
		t.Error("the token is in the log")
	}
}

func TestLoginAndLogout(t *testing.T) {
	f := newFixture(t)
	b := f.browser()
	if got := f.do(b, "GET", "/inbox", nil); got.status != 303 || got.header.Get("Location") != "/login?next=%2Finbox" {
		t.Fatalf("inbox: %d %v", got.status, got.header)
	}
	if got := f.do(b, "GET", "/login", nil); got.status != 200 || !strings.Contains(got.body, `type="password"`) {
		t.Fatalf("login page: %d %s", got.status, got.body)
	}
	for _, wrong := range []url.Values{{"token": {"wrong"}}, {"token": {""}}, {}} {
		if got := f.do(b, "POST", "/login", wrong); got.status != 401 || !strings.Contains(got.body, "not the admin token") || got.header.Get("Set-Cookie") != "" {
			t.Errorf("wrong token: %d %v", got.status, got.header)
		}
	}
	if got := f.do(b, "POST", "/login?token="+token, url.Values{}); got.status != 401 {
		t.Errorf("token in the URL: %d", got.status)
	}
	good := url.Values{"token": {token}}
	for _, foreign := range []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"} {
		if got := f.do(b, "POST", "/login", good, foreign); got.status != 403 || got.code != "CROSS_ORIGIN_REQUEST" {
			t.Errorf("%s: %d %s", foreign, got.status, got.body)
		}
	}
	got := f.do(b, "POST", "/login", good)
	cookie := got.header.Get("Set-Cookie")
	if got.status != 303 || got.header.Get("Location") != "/" {
		t.Fatalf("login: %d %s", got.status, got.body)
	}
	for _, attribute := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=3600"} {
		if !strings.Contains(cookie, attribute) {
			t.Errorf("the cookie lacks %s", attribute)
		}
	}
	if strings.Contains(cookie, token) {
		t.Error("the cookie is the token")
	}
	for path, status := range map[string]int{"/inbox": 200, "/admin/v1/inbox": 200, "/metrics": 200, "/login": 303} {
		if got := f.do(b, "GET", path, nil); got.status != status {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	kept, _, _ := strings.Cut(cookie, ";")
	if got := f.do(b, "POST", "/logout", url.Values{}); got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %v", got.status, got.header)
	}
	if got := f.do(f.browser(), "GET", "/metrics", nil, "Cookie: "+kept); got.status != 401 {
		t.Errorf("the cookie works after the logout: %d", got.status)
	}
}

// TestLoginsEnd: by being idle, and after half a day however busy they were.
func TestLoginsEnd(t *testing.T) {
	f := newFixture(t)
	idle, busy := f.browser(), f.browser()
	for _, b := range []*http.Client{idle, busy} {
		f.do(b, "POST", "/login", url.Values{"token": {token}})
	}
	for passed := 30 * time.Minute; passed < 12*time.Hour; passed += 30 * time.Minute {
		f.mu.Lock()
		f.now = f.now.Add(30 * time.Minute)
		f.mu.Unlock()
		if got := f.do(busy, "GET", "/", nil); got.status != 200 {
			t.Fatalf("busy after %s: %d", passed, got.status)
		}
	}
	if got := f.do(idle, "GET", "/admin/v1/inbox", nil); got.status != 401 {
		t.Errorf("idle: %d", got.status)
	}
	f.mu.Lock()
	f.now = f.now.Add(30 * time.Minute)
	f.mu.Unlock()
	if got := f.do(busy, "GET", "/admin/v1/inbox", nil); got.status != 401 {
		t.Errorf("after twelve hours: %d", got.status)
	}
}

func entry(id, text string) console.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	return console.Entry{ID: id, To: "+14165551234", From: "Codeword", Text: text, CreateTime: api.NewTime(at)}
}

func TestInboxJSON(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		name, query string
		entries     []console.Entry
		err         error
		status      int
		code        api.Code
		body        string
		asked       *console.Query
	}{
		{"empty", "", nil, nil, 200, "", `{"messages":[]}`, &console.Query{}},
		{
			"one", "?to=%2B14165551234&limit=1",
			[]console.Entry{entry("m1", "123456 is your code")},
			nil, 200, "",
			`{"messages":[{"id":"m1","to":"+14165551234","from":"Codeword","text":"123456 is your code","createTime":"2026-01-02T03:04:05.678Z"}]}`,
			&console.Query{To: "+14165551234", Limit: 1},
		},
		{"plus not escaped", "?to=+14165551234", nil, nil, 200, "", `{"messages":[]}`, &console.Query{To: "+14165551234"}},
		{"limit zero", "?limit=0", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"limit too large", "?limit=501", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"limit nonsense", "?limit=x", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"misspelled", "?too=%2B14165551234", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"number twice", "?to=%2B14165551234&to=%2B14165551235", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"not escaped", "?to=%zz", nil, nil, 400, "INVALID_PARAMETER", "", nil},
		{"empty", "?to=&limit=&cursor=", nil, nil, 200, "", `{"messages":[]}`, &console.Query{}},
		{"no number", "?to=x", nil, fault.New(fault.InvalidPhone, "secret"), 400, api.CodeInvalidPhone, "", &console.Query{To: "x"}},
		{"foreign number", "?to=x", nil, fault.New(fault.InvalidPhoneCountry, "secret"), 400, api.CodeInvalidPhone, "", nil},
		{"store down", "", nil, fault.New(fault.Unavailable, "secret"), 503, api.CodeUnavailable, "", nil},
		{"broken", "", nil, errors.New("secret"), 500, api.CodeInternal, "", nil},
		{"panic", "?to=panic", nil, nil, 500, api.CodeInternal, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, f.inbox.entries, f.inbox.err, f.inbox.asked = t, c.entries, c.err, nil
			got := f.do(f.browser(), "GET", "/admin/v1/inbox"+c.query, nil, bearer)
			if got.status != c.status || got.code != c.code || c.body != "" && got.body != c.body {
				t.Errorf("%d %s, want %d %s %s", got.status, got.body, c.status, c.code, c.body)
			}
			if c.status == 400 && c.err == nil && len(f.inbox.asked) != 0 {
				t.Errorf("the inbox was asked %v", f.inbox.asked)
			}
			if c.asked != nil && (len(f.inbox.asked) != 1 || f.inbox.asked[0] != *c.asked) {
				t.Errorf("the inbox was asked %v, want %v", f.inbox.asked, *c.asked)
			}
			if strings.Contains(got.body, "secret") {
				t.Errorf("internal text leaves: %s", got.body)
			}
		})
	}
	if !strings.Contains(f.log.String(), "secret of the inbox") {
		t.Error("the panic is not in the log")
	}
	if strings.Contains(f.log.String(), "4165551234") {
		t.Error("a phone number is in the log")
	}
}

func TestInboxPage(t *testing.T) {
	f := newFixture(t)
	many := make([]console.Entry, 50)
	for i := range many {
		many[i] = entry(fmt.Sprintf("m%d", i), "text")
	}
	hostile := entry(`"><script>alert(1)</script>`, "</p><script>alert(2)</script>\u202e&amp;\x00")
	hostile.From, hostile.To = `<img src=x onerror=alert(3)>`, `" onmouseover="x`
	for _, c := range []struct {
		name, query string
		entries     []console.Entry
		err         error
		status      int
		want        []string
		messages    int
	}{
		{"empty", "", nil, nil, 200, []string{"No messages yet"}, 0},
		{"empty for a number", "?to=%2B16502180000", nil, nil, 200, []string{"No messages to this number", `value="&#43;16502180000"`, "Show all"}, 0},
		{"one", "", []console.Entry{entry("m1", "123456 is your code\n@x #1")}, nil, 200, []string{
			"123456 is your code\n@x #1", "&#43;14165551234", "from <bdi>Codeword", `datetime="2026-01-02T03:04:05.678Z"`, "2026-01-02 03:04:05 UTC",
		}, 1},
		{"of a client", "", []console.Entry{{ID: "m1", ClientID: "client-test-1"}}, nil, 200, []string{`client <a href="/clients/client-test-1"`}, 1},
		{"many", "", many, nil, 200, []string{`id="m0"`, `id="m49"`}, 50},
		{"hostile", "?to=%22%3E%3Cscript%3E", []console.Entry{hostile}, nil, 200, []string{"&lt;script&gt;alert(2)", "&lt;img src=x"}, 1},
		{"no number", "?to=x", nil, fault.New(fault.InvalidPhone, "secret"), 400, []string{"not a phone number"}, 0},
		{"limit", "?limit=-1", nil, nil, 400, []string{"limit is not a number"}, 0},
		{"misspelled", "?too=1", nil, nil, 400, []string{"other than to, limit, cursor"}, 0},
		{"store down", "", nil, fault.New(fault.Unavailable, "secret"), 503, []string{"not available"}, 0},
		{"broken", "", nil, errors.New("secret"), 500, []string{"went wrong"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, f.inbox.entries, f.inbox.err = t, c.entries, c.err
			got := f.do(f.browser(), "GET", "/inbox"+c.query, nil, bearer)
			if got.status != c.status || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Fatalf("%d %v", got.status, got.header)
			}
			for _, want := range c.want {
				if !strings.Contains(got.body, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if n := strings.Count(got.body, "<li "); n != c.messages {
				t.Errorf("%d messages, want %d", n, c.messages)
			}
			// The page's own script, and not one more.
			if n := strings.Count(got.body, "<script"); n != 1 || strings.Contains(got.body, "<img") || strings.Contains(got.body, "secret") {
				t.Errorf("the page holds what it must not:\n%s", got.body)
			}
			csp := got.header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
				t.Errorf("Content-Security-Policy: %s", csp)
			}
		})
	}
}

func TestOtherPaths(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/", 200, "Overview"},
		{"GET", "/healthz", 200, `{"status":"ok"}`},
		{"POST", "/healthz", 405, "METHOD_NOT_ALLOWED"},
		{"DELETE", "/login", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/logout", 405, "METHOD_NOT_ALLOWED"},
		{"POST", "/inbox", 405, "METHOD_NOT_ALLOWED"},
		{"GET", "/nothing", 404, "NOT_FOUND_ENDPOINT"},
		{"GET", "/admin/v1/nothing", 404, "NOT_FOUND_ENDPOINT"},
		{"GET", "/assets/inbox.html", 404, "NOT_FOUND_ENDPOINT"},
		{"GET", "/assets/console.css", 200, "--ground"},
		{"GET", "/assets/inbox.js", 200, "setInterval"},
		{"GET", "/metrics", 200, "codeword_test_total 0"},
	} {
		got := f.do(f.browser(), c.method, c.path, nil, bearer)
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
		if c.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
	tag := f.do(f.browser(), "GET", "/assets/inbox.js", nil).header.Get("ETag")
	if got := f.do(f.browser(), "GET", "/assets/inbox.js", nil, "If-None-Match: "+tag); got.status != 304 {
		t.Errorf("asset again: %d", got.status)
	}
}

func TestTheScriptStaysSmall(t *testing.T) {
	b, err := os.ReadFile("assets/inbox.js")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n > 40 {
		t.Errorf("inbox.js has %d lines", n)
	}
}

func TestSecretsPrintRedacted(t *testing.T) {
	e := entry("m1", "123456")
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", console.Token(token), console.Token(token), console.Token(token), console.Token(token), console.Token(token)),
		fmt.Sprintf("%v %+v %#v %s", e, e, e, e), console.Token(token).LogValue().String(), e.LogValue().String(),
	} {
		if strings.Contains(text, token) || strings.Contains(text, "123456") || strings.Contains(text, "4165551234") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	for name, cfg := range map[string]console.Config{
		"no token":    {Inbox: &fakeInbox{}},
		"short token": {Inbox: &fakeInbox{}, Token: "short"},
		"no inbox":    {Token: token},
	} {
		if _, err := console.New(cfg); err == nil || strings.Contains(err.Error(), "short\"") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
