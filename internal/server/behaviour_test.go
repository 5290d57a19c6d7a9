package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api"
	"codeword/api/apitest"
	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/server"
	"codeword/internal/store"
)

// TestFaults holds what the domain can answer against what the caller sees.
func TestFaults(t *testing.T) {
	limited := func(kind fault.Kind, after time.Duration) error {
		return &fault.Error{Kind: kind, Detail: "secret detail", Limit: "some_limit", RetryAfter: after}
	}
	for _, c := range []struct {
		name       string
		path       string
		err        error
		status     int
		code       api.Code
		retryAfter string
		data       string
	}{
		{"number", api.PathSend, fault.New(fault.InvalidPhone, "secret detail"), 400, api.CodeInvalidPhone, "", ""},
		{"country", api.PathSend, fault.New(fault.InvalidPhoneCountry, "secret detail"), 400, api.CodeInvalidPhoneCountryCode, "", ""},
		{"type", api.PathSend, fault.New(fault.InvalidPhoneType, "secret detail"), 400, api.CodeInvalidPhoneType, "", ""},
		{"opted out", api.PathSend, fault.New(fault.OptedOut, "secret detail"), 400, api.CodePhoneOptedOut, "", ""},
		{"blocked", api.PathSend, fault.New(fault.Blocked, "secret detail"), 403, api.CodeBlockedPhone, "", ""},
		{"no captcha", api.PathSend, fault.New(fault.InvalidCaptcha, "secret detail"), 403, api.CodeInvalidCaptcha, "", ""},
		{"limit of the phone", api.PathSend, limited(fault.LimitSMS, 59*time.Second+time.Nanosecond), 429, api.CodeExceedsLimitSMS, "60", `"data":{"limit":"some_limit"}`},
		{"limit of attempts", api.PathAuthenticate, limited(fault.LimitOTP, time.Hour), 429, api.CodeExceedsLimitOTP, "3600", `"data":{"limit":"some_limit"}`},
		{"limit of the client", api.PathSend, limited(fault.LimitClient, time.Nanosecond), 429, api.CodeExceedsLimitClient, "1", `"data":{"limit":"some_limit"}`},
		{"limit without a wait", api.PathSend, &fault.Error{Kind: fault.LimitClient, Detail: "secret detail"}, 429, api.CodeExceedsLimitClient, "1", `"limit"`},
		{"mismatched idempotency key", api.PathSend, fault.New(fault.IdempotencyMismatch, "secret detail"), 422, api.CodeInvalidIdempotencyKey, "", ""},
		{"wrong code", api.PathAuthenticate, &fault.Error{Kind: fault.WrongCode, Retryable: true, Detail: "secret detail"}, 401, api.CodeInvalidOTP, "", `"data":{"retryable":true}`},
		{"dead challenge", api.PathAuthenticate, fault.New(fault.WrongCode, "secret detail"), 401, api.CodeInvalidOTP, "", `"data":{"retryable":false}`},
		{"another phone", api.PathAuthenticate, fault.New(fault.MismatchPhone, "secret detail"), 400, api.CodeMismatchPhone, "", ""},
		{"phone taken", api.PathAuthenticate, fault.New(fault.PhoneTaken, "secret detail"), 400, api.CodeAlreadyExistsPhone, "", ""},
		{"session gone", api.PathAuthenticate, fault.New(fault.InvalidAuthorization, "secret detail"), 401, api.CodeInvalidAuthorization, "", ""},
		{"store down", api.PathSend, fault.Wrap(fault.Unavailable, "secret detail", errors.New("disk is full")), 503, api.CodeUnavailable, "1", ""},
		{"store down for long", api.PathSend, &fault.Error{Kind: fault.Unavailable, Detail: "secret detail", RetryAfter: 5 * time.Second}, 503, api.CodeUnavailable, "5", ""},
		{"given up", api.PathSend, context.DeadlineExceeded, 503, api.CodeUnavailable, "1", ""},
		{"not found", api.PathSend, fault.New(fault.NotFound, "secret detail"), 500, api.CodeInternal, "", ""},
		{"conflict", api.PathSend, fault.New(fault.Conflict, "secret detail"), 500, api.CodeInternal, "", ""},
		{"internal", api.PathAuthenticate, fault.New(fault.Internal, "secret detail"), 500, api.CodeInternal, "", ""},
		{"of no kind", api.PathAuthenticate, errors.New("secret detail"), 500, api.CodeInternal, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, nil)
			f.otp.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) { return otp.SendResult{}, c.err }
			f.otp.auth = func(context.Context, otp.AuthenticateRequest) (store.Session, error) { return store.Session{}, c.err }
			body := goodSend
			if c.path == api.PathAuthenticate {
				body = goodAuth
			}
			got := f.do("POST", c.path, body)
			if got.status != c.status || got.err.Code != c.code || got.header.Get("Retry-After") != c.retryAfter {
				t.Errorf("%d %s Retry-After %q, want %d %s %q", got.status, got.body, got.header.Get("Retry-After"), c.status, c.code, c.retryAfter)
			}
			if c.data == "" == strings.Contains(got.body, `"data"`) || !strings.Contains(got.body, c.data) {
				t.Errorf("%s, want data %s", got.body, c.data)
			}
			if strings.Contains(got.body, "secret") || strings.Contains(got.body, "disk") {
				t.Errorf("internal text leaves: %s", got.body)
			}
			if line := f.log.String(); !strings.Contains(line, got.header.Get("Request-Id")) || !strings.Contains(line, string(c.code)) {
				t.Errorf("log: %s", line)
			}
		})
	}
}

func TestMintFailureIsNoSuccess(t *testing.T) {
	f := newFixture(t, nil)
	f.sessions.mintErr = fault.New(fault.Unavailable, "no key")
	if got := f.do("POST", api.PathAuthenticate, goodAuth); got.status != 503 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestCommonHeaders(t *testing.T) {
	f := newFixture(t, nil)
	uuidV7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for _, path := range []string{api.PathSend, "/nothing", api.PathJWKS, api.PathDocs, api.PathHealth} {
		got := f.do("GET", path, "", "Request-Id: caller-1")
		id := got.header.Get("Request-Id")
		if !uuidV7.MatchString(id) || seen[id] {
			t.Errorf("%s: request-id %q", path, id)
		}
		seen[id] = true
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Content-Length") == "" {
			t.Errorf("%s: %v", path, got.header)
		}
		if got.status >= 400 && got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got.header.Get("Cache-Control"))
		}
	}
	if got := f.do("POST", api.PathSend, goodSend); got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v", got.header)
	}
	if !strings.Contains(f.log.String(), `"client_request_id":"caller-1"`) {
		t.Error("the caller's request-id is not in the log")
	}
	f.do("POST", api.PathSend, goodSend, "Request-Id: a b\" x")
	if strings.Contains(f.log.String(), "a b") {
		t.Error("a hostile request-id is in the log")
	}
}

func TestRefresh(t *testing.T) {
	const bearer = "Authorization: Bearer "
	f := newFixture(t, nil)
	f.otp.auth = func(context.Context, otp.AuthenticateRequest) (store.Session, error) {
		return store.Session{ID: store.SessionID{7}, AMR: []string{"mfa"}}, nil
	}
	for _, c := range []struct {
		name, method, path, body, token string
		want                            string
	}{
		{"not due", "POST", api.PathSend, goodSend, goodToken, ""},
		{"send", "POST", api.PathSend, goodSend, dueToken, freshJWT},
		{"refused call", "POST", api.PathSend, "{}", dueToken, freshJWT},
		{"authenticate", "POST", api.PathAuthenticate, goodAuth, dueToken, freshJWT},
		{"session", "GET", api.PathSession, "", dueToken, freshJWT},
		{"revoke", "POST", api.PathSessionRevoke, "", dueToken, ""},
		{"trusted issuer", "POST", api.PathSend, goodSend, alienToken, ""},
	} {
		f.sessions.renewed = nil
		got := f.do(c.method, c.path, c.body, bearer+c.token)
		if got.header.Get("Ratio-Authentication-Refresh") != c.want {
			t.Errorf("%s: %q", c.name, got.header.Get("Ratio-Authentication-Refresh"))
		}
		if c.name == "authenticate" && (f.sessions.renewed == nil || len(f.sessions.renewed.Session.AMR) != 1) {
			t.Error("the refresh is older than the step-up")
		}
	}
}

func TestSession(t *testing.T) {
	f := newFixture(t, nil)
	got := f.do("GET", api.PathSession, "", "Authorization: Bearer "+goodToken)
	want := `{"sessionId":"07000000-0000-0000-0000-000000000000","userId":"user-test-08000000-0000-0000-0000-000000000000",` +
		`"phoneId":"` + testPhone + `","amr":["sms","otp"],"authTime":"2026-01-02T03:04:05.678Z",` +
		`"createTime":"2026-01-02T03:04:05.678Z","expireTime":"2026-01-02T03:14:05.678Z"}`
	if got.status != 200 || got.body != want {
		t.Errorf("%d %s\nwant %s", got.status, got.body, want)
	}
	if got = f.do("POST", api.PathSessionRevoke, "", "Authorization: Bearer "+goodToken, "-Content-Type"); got.status != 204 {
		t.Errorf("revoke: %d %s", got.status, got.body)
	}
	if len(f.sessions.revoked) != 1 || f.sessions.revoked[0].Session.ID != (store.SessionID{7}) {
		t.Errorf("revoked %v", f.sessions.revoked)
	}
}

func TestPublishedDocuments(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{api.PathJWKS, api.PathOpenIDConfiguration, api.PathAPIDocs} {
		got := f.do("GET", path, "", "-Ratio-Client-Id")
		tag := got.header.Get("ETag")
		if got.status != 200 || tag == "" || !strings.Contains(got.header.Get("Cache-Control"), "max-age=300") {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		for _, header := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			if again := f.do("GET", path, "", "If-None-Match: "+header); again.status != 304 || again.body != "" {
				t.Errorf("%s If-None-Match %s: %d", path, header, again.status)
			}
		}
		if again := f.do("GET", path, "", `If-None-Match: "x"`); again.status != 200 || again.body != got.body {
			t.Errorf("%s with another tag: %d", path, again.status)
		}
		if head := f.do("HEAD", path, ""); head.status != 200 || head.header.Get("Content-Length") != got.header.Get("Content-Length") {
			t.Errorf("HEAD %s: %d", path, head.status)
		}
	}
	if got := f.do("GET", api.PathAPIDocs, ""); got.body != string(api.OpenAPIJSON()) {
		t.Error("api-docs is not the description")
	}
	if got := f.do("GET", api.PathDocs, ""); got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		t.Errorf("docs: %d %v", got.status, got.header)
	}
}

func TestEveryRouteIsInTheDescriptionAndBack(t *testing.T) {
	f := newFixture(t, nil)
	v, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range v.Routes() {
		path := strings.NewReplacer("{asset}", "page.js", "{route}", "main").Replace(route.Path)
		if got := f.do(route.Method, path, "", signed); got.status == 404 || got.status == 405 {
			t.Errorf("%s: %d", route, got.status)
		}
	}
	// That there is no other route is what the validator says of every answer:
	// it demands 404 or 405 for what the description lacks.
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/auth", "/metrics", "/debug/pprof/", "/admin/v1/inbox", "/inbox", "/docs.html", "/v1/carriers", "/v1/carriers/main", "/v1/carriers//events", "/v1/carriers/main/events/"} {
		f.do("GET", path, "")
	}
}

func TestReadiness(t *testing.T) {
	now := testNow
	var mu sync.Mutex
	f := newFixture(t, func(c *server.Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	check := func(status int) {
		t.Helper()
		if got := f.do("GET", api.PathReady, ""); got.status != status || status == 503 && got.header.Get("Retry-After") == "" {
			t.Errorf("%d %s, want %d", got.status, got.body, status)
		}
		if got := f.do("GET", api.PathHealth, ""); got.status != 200 || got.body != `{"status":"ok"}` {
			t.Errorf("healthz: %d %s", got.status, got.body)
		}
	}
	later := func() { mu.Lock(); now = now.Add(2 * time.Second); mu.Unlock() }
	check(200)
	f.health.err = errors.New("disk is full")
	later()
	check(503)
	f.health.err = nil
	later()
	check(200)
	f.server.Drain()
	check(503)
	if got := f.do("POST", api.PathSend, goodSend); got.status != 200 {
		t.Errorf("send while draining: %d", got.status)
	}
}

func TestOverload(t *testing.T) {
	f := newFixture(t, func(c *server.Config) { c.MaxInFlight = 2 })
	entered, release := make(chan struct{}), make(chan struct{})
	f.otp.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) {
		entered <- struct{}{}
		<-release
		return otp.SendResult{PhoneID: testPhone, PhoneMask: "1234"}, nil
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if got := f.do("POST", api.PathSend, goodSend); got.status != 200 {
				t.Errorf("an accepted request got %d", got.status)
			}
		})
		<-entered
	}
	for range 3 {
		got := f.do("POST", api.PathSend, goodSend, "-Ratio-Client-Id")
		if got.status != 503 || got.err.Code != api.CodeUnavailable || got.header.Get("Retry-After") != "1" {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := f.do("GET", api.PathHealth, ""); got.status != 200 {
		t.Errorf("healthz under overload: %d", got.status)
	}
	if n := strings.Count(f.log.String(), "overload"); n != 1 {
		t.Errorf("%d lines about overload in one second", n)
	}
	close(release)
	wg.Wait()
	go func() { <-entered }()
	if got := f.do("POST", api.PathSend, goodSend); got.status != 200 {
		t.Errorf("after the overload: %d", got.status)
	}
}

// TestSlowBodiesDoNotFillTheGate: whoever dribbles a body must not keep others out.
func TestSlowBodiesDoNotFillTheGate(t *testing.T) {
	f := newFixture(t, func(c *server.Config) { c.MaxInFlight = 1 })
	body, feed := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", f.url+api.PathSend, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Ratio-Client-Id": {testID}, "Ratio-Client-Secret": {testSecret}, "Content-Type": {"application/json"}}
	done := make(chan answer, 1)
	plain := *f
	plain.client = http.DefaultClient // the validator wants the body, which is on its way
	go func() { done <- plain.send(req) }()
	if _, err := feed.Write([]byte(`{"phoneNumber":`)); err != nil {
		t.Fatal(err)
	}
	// The first request holds the gate for an instant, so that the second may
	// meet it once or twice.
	deadline := time.Now().Add(5 * time.Second)
	for f.do("POST", api.PathSend, goodSend).status != 200 {
		if time.Now().After(deadline) {
			t.Fatal("a slow body keeps others out")
		}
	}
	if _, err := feed.Write([]byte(` "+16502530000"}`)); err != nil {
		t.Fatal(err)
	}
	_ = feed.Close()
	if got := <-done; got.status != 200 {
		t.Errorf("the slow one: %d %s", got.status, got.body)
	}
}

func TestPanicsBecomeOneLogged500(t *testing.T) {
	f := newFixture(t, func(c *server.Config) { c.MaxInFlight = 1 })
	f.otp.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) { panic("secret of the code") }
	for range 3 { // more often than there are places at the gate
		got := f.do("POST", api.PathSend, goodSend, "Idempotency-Key: k")
		if got.status != 500 || got.err.Code != api.CodeInternal || strings.Contains(got.body, "secret") {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if n := strings.Count(f.log.String(), "panic: secret of the code"); n != 3 {
		t.Errorf("%d log lines for 3 panics", n)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	f := newFixture(t, nil)
	for header, want := range map[string]string{
		"key-1": "key-1", `"key-1"`: "key-1", `"a\"b\\c"`: `a"b\c`, strings.Repeat("k", 255): strings.Repeat("k", 255),
	} {
		body := `{"phoneNumber": "+16502530000",}`
		if got := f.do("POST", api.PathSend, body, "Idempotency-Key: "+header); got.status != 200 || got.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: %d %s", header, got.status, got.body)
		}
		if in := f.otp.lastSend(t); in.IdempotencyKey != want || string(in.Body) != body {
			t.Errorf("%s: the domain got key %q and body %q", header, in.IdempotencyKey, in.Body)
		}
	}
	f.otp.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) {
		return otp.SendResult{PhoneID: testPhone, PhoneMask: "1234", Replayed: true}, nil
	}
	if got := f.do("POST", api.PathSend, goodSend, "Idempotency-Key: key-1"); got.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("replay: %v", got.header)
	}
}

func TestIdempotencyKeyInFlight(t *testing.T) {
	f := newFixture(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	f.otp.send = func(_ context.Context, in otp.SendRequest) (otp.SendResult, error) {
		if in.PhoneNumber == "+16502530000" {
			entered <- struct{}{}
			<-release
		}
		return otp.SendResult{PhoneID: testPhone, PhoneMask: "1234"}, nil
	}
	first := make(chan answer, 1)
	go func() { first <- f.do("POST", api.PathSend, goodSend, "Idempotency-Key: same") }()
	<-entered
	other := `{"phoneNumber": "+16502530001"}`
	if got := f.do("POST", api.PathSend, other, `Idempotency-Key: "same"`); got.status != 409 ||
		got.err.Code != api.CodeInProgressIdempotencyKey || got.header.Get("Retry-After") != "1" {
		t.Errorf("second: %d %s", got.status, got.body)
	}
	if got := f.do("POST", api.PathSend, other, "Idempotency-Key: another"); got.status != 200 {
		t.Errorf("another key: %d", got.status)
	}
	strict := []string{"-Ratio-Client-Id", "Ratio-Client-Id: " + strictID, "Authorization: Bearer " + goodToken}
	if got := f.do("POST", api.PathSend, other, append(strict, "Idempotency-Key: same")...); got.status != 200 {
		t.Errorf("same key of another client: %d", got.status)
	}
	close(release)
	if got := <-first; got.status != 200 {
		t.Errorf("first: %d", got.status)
	}
	if got := f.do("POST", api.PathSend, other, "Idempotency-Key: same"); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}

func TestMetrics(t *testing.T) {
	f := newFixture(t, nil)
	f.do("POST", api.PathSend, goodSend)
	f.do("POST", api.PathSend, "{}")
	f.do("GET", "/some/path/that/nobody/knows", "")
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			key := family.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for key, want := range map[string]float64{
		"codeword_http_requests_total OK " + api.PathSend + " 200":            1,
		"codeword_http_requests_total MISSING_PHONE " + api.PathSend + " 400": 1,
		"codeword_http_requests_total NOT_FOUND_ENDPOINT none 404":            1,
		"codeword_http_request_duration_seconds " + api.PathSend + " 2xx":     1,
		"codeword_http_request_duration_seconds " + api.PathSend + " 4xx":     1,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
}

// TestSeriesAreBounded has a caller make up paths, methods and hosts: what is counted by
// them does not grow.
func TestSeriesAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	series := func() (n int) {
		families, err := f.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			n += len(family.GetMetric())
		}
		return n
	}
	attack := func(i int) {
		made := fmt.Sprintf("x%d", i)
		for _, method := range []string{"GET", "POST", strings.ToUpper(made)} {
			for _, path := range []string{"/" + made, api.PathSend, api.PathSend + "/" + made, "/v1/carriers/" + made + "/events", api.PathDocs + "/" + made} {
				f.do(method, path, made, "Host: "+made+".example", "User-Agent: "+made)
			}
		}
	}
	attack(0)
	first := series()
	for i := range 50 {
		attack(i + 1)
	}
	if got := series(); got != first {
		t.Errorf("%d series became %d", first, got)
	}
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	if _, err := server.New(server.Config{}); err == nil {
		t.Error("a server without collaborators")
	}
	if _, err := server.New(server.Config{Clients: fakeClients{}, OTP: &fakeOTP{}, Sessions: &fakeSessions{}, Health: &fakeHealth{}, MaxInFlight: -1}); err == nil {
		t.Error("a server without places")
	}
	if _, err := server.New(server.Config{
		Clients: fakeClients{}, OTP: &fakeOTP{}, Sessions: &fakeSessions{}, Health: &fakeHealth{}, Callbacks: &fakeCarriers{},
	}); err == nil {
		t.Error("a server that takes callbacks to nowhere")
	}
	if _, err := server.NewListener(server.ListenConfig{}); err == nil {
		t.Error("a listener without a handler")
	}
}
