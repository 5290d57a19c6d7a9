package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/api"
	"codeword/api/apitest"
	"codeword/internal/fault"
	"codeword/internal/leaktest"
	"codeword/internal/otp"
	"codeword/internal/server"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const (
	testID     = "client-test"
	testSecret = "a-secret-that-must-not-leak"
	strictID   = "client-strict" // requires a bearer
	liveID     = "client-live"
	goodToken  = "good.session.token"
	dueToken   = "due.session.token"
	alienToken = "alien.issuer.token"
	testJWT    = "aGVhZGVy.cGF5bG9hZA.c2lnbmF0dXJl"
	freshJWT   = "aGVhZGVy.ZnJlc2g.c2lnbmF0dXJl"
	testPhone  = "phone-number-test-01234abc-0000-0000-0000-0123456789"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)

// fakeOTP answers as told and keeps what it was asked.
type fakeOTP struct {
	mu    sync.Mutex
	sent  []otp.SendRequest
	tried []otp.AuthenticateRequest
	send  func(context.Context, otp.SendRequest) (otp.SendResult, error)
	auth  func(context.Context, otp.AuthenticateRequest) (store.Session, error)
}

func (f *fakeOTP) Send(ctx context.Context, in otp.SendRequest) (otp.SendResult, error) {
	kept := in
	kept.Body = bytes.Clone(in.Body) // the original is only lent
	f.mu.Lock()
	f.sent = append(f.sent, kept)
	f.mu.Unlock()
	if f.send != nil {
		return f.send(ctx, in)
	}
	return otp.SendResult{PhoneID: testPhone, PhoneMask: "1234"}, nil
}

func (f *fakeOTP) Authenticate(ctx context.Context, in otp.AuthenticateRequest) (store.Session, error) {
	f.mu.Lock()
	f.tried = append(f.tried, in)
	f.mu.Unlock()
	if f.auth != nil {
		return f.auth(ctx, in)
	}
	return store.Session{ID: store.SessionID{1}, AuthTime: testNow}, nil
}

func (f *fakeOTP) PhoneID(*tenant.Client, store.PhoneID) string { return testPhone }

func (f *fakeOTP) lastSend(t *testing.T) otp.SendRequest {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sent) == 0 {
		t.Fatal("Send was not called")
	}
	return f.sent[len(f.sent)-1]
}

type fakeSessions struct {
	revoked []*session.Principal
	mintErr error
	renewed *session.Principal
}

func (f *fakeSessions) Verify(_ context.Context, _ *tenant.Client, bearer string) (*session.Principal, error) {
	s := store.Session{
		ID: store.SessionID{7}, User: store.UserID{8}, Phone: store.PhoneID{9}, AMR: []string{"sms", "otp"},
		AuthTime: testNow, CreatedAt: testNow, ExpiresAt: testNow.Add(10 * time.Minute),
	}
	switch bearer {
	case goodToken, dueToken:
		p := &session.Principal{Session: s, IssuedAt: testNow, ExpiresAt: testNow.Add(5 * time.Minute)}
		if bearer == dueToken {
			p.IssuedAt, p.ExpiresAt = testNow.Add(-4*time.Minute), testNow.Add(time.Minute)
		}
		return p, nil
	case alienToken:
		return &session.Principal{Subject: &session.Subject{Issuer: "https://idp.example", Subject: "someone"}}, nil
	case "expired":
		return nil, fault.New(fault.ExpiredAuthorization, "expired")
	case "down":
		return nil, fault.New(fault.Unavailable, "store is down")
	}
	return nil, fault.New(fault.InvalidAuthorization, "forged")
}

func (f *fakeSessions) Mint(context.Context, *tenant.Client, store.Session, time.Time) (string, error) {
	return testJWT, f.mintErr
}

func (f *fakeSessions) Refresh(_ context.Context, _ *tenant.Client, p *session.Principal, now time.Time) (string, bool, error) {
	if p.Subject != nil || p.ExpiresAt.Sub(now) >= p.ExpiresAt.Sub(p.IssuedAt)/2 {
		return "", false, nil
	}
	f.renewed = p
	return freshJWT, true, nil
}

func (f *fakeSessions) Revoke(_ context.Context, p *session.Principal) error {
	if p.Subject != nil {
		return fault.New(fault.InvalidAuthorization, "not ours")
	}
	f.revoked = append(f.revoked, p)
	return nil
}

func (f *fakeSessions) JWKS() ([]byte, time.Duration) {
	return []byte(`{"keys":[{"kty":"EC","use":"sig","alg":"ES256","kid":"k","crv":"P-256","x":"eA","y":"eQ"}]}`), 5 * time.Minute
}

func (f *fakeSessions) OpenIDConfiguration() []byte {
	return []byte(`{"issuer":"https://otp.example.com","jwks_uri":"https://otp.example.com/.well-known/jwks.json",` +
		`"id_token_signing_alg_values_supported":["ES256"]}`)
}

type fakeClients struct{}

func (fakeClients) Authenticate(id, secret string) (*tenant.Client, error) {
	if (id != testID && id != strictID && id != liveID) || secret != testSecret {
		return nil, fault.New(fault.InvalidCredentials, "unknown client or wrong secret")
	}
	c := &tenant.Client{ID: id, Live: id == liveID, Settings: tenant.Defaults()}
	c.Settings.RequireAuthorization = id == strictID
	return c, nil
}

type fakeHealth struct{ err error }

func (f *fakeHealth) Ready(context.Context) error { return f.err }

// fixture is a running server with its collaborators.
type fixture struct {
	t        *testing.T
	url      string
	server   *server.Server
	client   *http.Client
	otp      *fakeOTP
	sessions *fakeSessions
	health   *fakeHealth
	carriers *fakeCarriers
	registry *prometheus.Registry
	log      *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newFixture(t *testing.T, change func(*server.Config)) *fixture {
	t.Helper()
	f := &fixture{
		t: t, otp: &fakeOTP{}, sessions: &fakeSessions{}, health: &fakeHealth{},
		carriers: &fakeCarriers{}, registry: prometheus.NewRegistry(), log: &syncBuffer{},
	}
	cfg := server.Config{
		Clients: fakeClients{}, OTP: f.otp, Sessions: f.sessions, Health: f.health,
		Callbacks: f.carriers, Intake: f.carriers, Registry: f.registry, Now: func() time.Time { return testNow },
		Log: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if f.server, err = server.New(cfg); err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(f.server.Handler())
	t.Cleanup(ts.Close)
	ts.Config.DisableGeneralOptionsHandler = true
	validator, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	f.url = ts.URL
	f.client = &http.Client{
		Transport:     &apitest.Transport{Validator: validator, Report: func(err error) { t.Error(err) }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
	err    api.Error
}

// do makes a request. Headers are "Name: value" and come on top of good
// credentials; "-Name" leaves one of those out.
func (f *fixture) do(method, path, body string, headers ...string) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header = http.Header{
		"Ratio-Client-Id": {testID}, "Ratio-Client-Secret": {testSecret}, "Content-Type": {"application/json"},
	}
	for _, h := range headers {
		if name, ok := strings.CutPrefix(h, "-"); ok {
			req.Header.Del(name)
			continue
		}
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return f.send(req)
}

func (f *fixture) send(req *http.Request) answer {
	f.t.Helper()
	resp, err := f.client.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
	if resp.StatusCode >= 400 && len(b) > 0 {
		if err := json.Unmarshal(b, &a.err); err != nil {
			f.t.Errorf("error document %q: %v", b, err)
		}
	}
	return a
}

const (
	goodSend = `{"phoneNumber": "+16502530000"}`
	goodAuth = `{"phoneId": "` + testPhone + `", "otp": "123456"}`
)

func TestTheDocumentationSamplesWorkVerbatim(t *testing.T) {
	f := newFixture(t, nil)
	got := f.do("POST", api.PathSend, "{\n  \"phoneNumber\": \"+14165551234\",\n}")
	if want := `{"phoneId":"` + testPhone + `","phoneMask":"1234"}`; got.status != 200 || got.body != want {
		t.Errorf("send: %d %s, want %s", got.status, got.body, want)
	}
	if n := f.otp.lastSend(t).PhoneNumber; n != "+14165551234" {
		t.Errorf("the domain was asked for %q", n)
	}
	got = f.do("POST", api.PathAuthenticate, "{\n  \"phoneId\": \""+testPhone+"\",\n  \"otp\": \"123456\",\n}")
	if want := `{"sessionJwt":"` + testJWT + `"}`; got.status != 200 || got.body != want {
		t.Errorf("authenticate: %d %s, want %s", got.status, got.body, want)
	}
	if in := f.otp.tried[0]; in.PhoneID != testPhone || in.OTP != "123456" || in.Client.ID != testID || in.Principal != nil {
		t.Errorf("the domain was asked %+v", in)
	}
}

// TestRefusals holds every status and code that the edge produces by itself.
func TestRefusals(t *testing.T) {
	f := newFixture(t, nil)
	const send, auth = api.PathSend, api.PathAuthenticate
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     api.Code
	}{
		{"no client id", "POST", send, goodSend, []string{"-Ratio-Client-Id"}, 401, api.CodeMissingClientID},
		{"no secret", "POST", send, goodSend, []string{"-Ratio-Client-Secret"}, 401, api.CodeMissingClientSecret},
		{"empty client id", "POST", send, goodSend, []string{"-Ratio-Client-Id", "Ratio-Client-Id: "}, 401, api.CodeMissingClientID},
		{"unknown client", "POST", send, goodSend, []string{"-Ratio-Client-Id", "Ratio-Client-Id: x"}, 401, api.CodeInvalidClientSecret},
		{"wrong secret", "POST", auth, goodAuth, []string{"-Ratio-Client-Secret", "Ratio-Client-Secret: x"}, 401, api.CodeInvalidClientSecret},
		{"client id twice", "POST", send, goodSend, []string{"Ratio-Client-Id: " + testID}, 401, api.CodeInvalidClientSecret},
		{"secret twice", "POST", send, goodSend, []string{"Ratio-Client-Secret: " + testSecret}, 401, api.CodeInvalidClientSecret},
		{"credentials come before the body", "POST", send, "nonsense", []string{"-Ratio-Client-Secret"}, 401, api.CodeMissingClientSecret},
		{"credentials come before the media type", "POST", send, goodSend, []string{"-Content-Type", "-Ratio-Client-Secret"}, 401, api.CodeMissingClientSecret},
		{"bearer comes before the body", "POST", send, "nonsense", []string{"Authorization: Bearer forged"}, 401, api.CodeInvalidAuthorization},

		{"bearer required", "POST", send, goodSend, []string{"-Ratio-Client-Id", "Ratio-Client-Id: " + strictID}, 401, api.CodeMissingAuthorization},
		{"forged bearer", "POST", auth, goodAuth, []string{"Authorization: Bearer forged"}, 401, api.CodeInvalidAuthorization},
		{"expired bearer", "POST", send, goodSend, []string{"Authorization: Bearer expired"}, 401, api.CodeExpiredAuthorization},
		{"basic", "POST", send, goodSend, []string{"Authorization: Basic Zm9vOmJhcg=="}, 401, api.CodeInvalidAuthorization},
		{"empty bearer", "POST", send, goodSend, []string{"Authorization: "}, 401, api.CodeInvalidAuthorization},
		{"two bearers", "POST", send, goodSend, []string{"Authorization: Bearer " + goodToken, "Authorization: Bearer " + goodToken}, 401, api.CodeInvalidAuthorization},
		{"session without bearer", "GET", api.PathSession, "", nil, 401, api.CodeMissingAuthorization},
		{"session of a trusted issuer", "GET", api.PathSession, "", []string{"Authorization: Bearer " + alienToken}, 401, api.CodeInvalidAuthorization},
		{"revoke without bearer", "POST", api.PathSessionRevoke, "", nil, 401, api.CodeMissingAuthorization},
		{"revoke of a trusted issuer's", "POST", api.PathSessionRevoke, "", []string{"Authorization: Bearer " + alienToken}, 401, api.CodeInvalidAuthorization},
		{"session store down", "POST", send, goodSend, []string{"Authorization: Bearer down"}, 503, api.CodeUnavailable},

		{"no media type", "POST", send, goodSend, []string{"-Content-Type"}, 415, api.CodeInvalidBody},
		{"form", "POST", send, goodSend, []string{"-Content-Type", "Content-Type: application/x-www-form-urlencoded"}, 415, api.CodeInvalidBody},
		{"other charset", "POST", send, goodSend, []string{"-Content-Type", "Content-Type: application/json; charset=utf-16"}, 415, api.CodeInvalidBody},
		{"two media types", "POST", send, goodSend, []string{"Content-Type: text/plain"}, 415, api.CodeInvalidBody},
		{"compressed", "POST", send, goodSend, []string{"Content-Encoding: gzip"}, 415, api.CodeInvalidBody},
		{"too large", "POST", send, `{"phoneNumber":"` + strings.Repeat("1", api.MaxBodyBytes) + `"}`, nil, 413, api.CodeInvalidBody},

		{"no body", "POST", send, "", nil, 400, api.CodeInvalidBody},
		{"array", "POST", send, `["+16502530000"]`, nil, 400, api.CodeInvalidBody},
		{"null", "POST", send, `null`, nil, 400, api.CodeInvalidBody},
		{"truncated", "POST", send, `{"phoneNumber": "+1650`, nil, 400, api.CodeInvalidBody},
		{"line comment", "POST", send, "{\"phoneNumber\": \"+16502530000\" // mine\n}", nil, 400, api.CodeInvalidBody},
		{"comment and trailing comma", "POST", send, `{"phoneNumber": "+16502530000", /* mine */ }`, nil, 400, api.CodeInvalidBody},
		{"duplicate key", "POST", send, `{"phoneNumber": "+16502530000", "phoneNumber": "+16502530001"}`, nil, 400, api.CodeInvalidBody},
		{"escaped duplicate key and comma", "POST", send, `{"phoneNumber": "+16502530000", "\u0070honeNumber": "+16502530001",}`, nil, 400, api.CodeInvalidBody},
		{"bytes after the value", "POST", send, goodSend + "x", nil, 400, api.CodeInvalidBody},
		{"two values", "POST", send, goodSend + goodSend, nil, 400, api.CodeInvalidBody},
		{"two commas", "POST", send, `{"phoneNumber": "+16502530000",,}`, nil, 400, api.CodeInvalidBody},
		{"lone comma", "POST", send, `{,}`, nil, 400, api.CodeInvalidBody},
		{"comma after the value", "POST", send, goodSend + ",", nil, 400, api.CodeInvalidBody},
		{"byte order mark", "POST", send, "\ufeff" + goodSend, nil, 400, api.CodeInvalidBody},
		{"invalid UTF-8", "POST", send, "{\"phoneNumber\": \"+16502530000\", \"x\": \"\xff\"}", nil, 400, api.CodeInvalidBody},
		{"single quotes", "POST", send, `{'phoneNumber': '+16502530000'}`, nil, 400, api.CodeInvalidBody},
		{"deep", "POST", send, `{"phoneNumber": "+16502530000", "x": ` + deep + `}`, nil, 400, api.CodeInvalidBody},
		{"deep with trailing comma", "POST", send, `{"x": ` + deep + `,}`, nil, 400, api.CodeInvalidBody},

		{"phone absent", "POST", send, `{}`, nil, 400, api.CodeMissingPhone},
		{"phone in another case", "POST", send, `{"phonenumber": "+16502530000"}`, nil, 400, api.CodeMissingPhone},
		{"phone null", "POST", send, `{"phoneNumber": null}`, nil, 400, api.CodeMissingPhone},
		{"phone empty", "POST", send, `{"phoneNumber": ""}`, nil, 400, api.CodeMissingPhone},
		{"phone a number", "POST", send, `{"phoneNumber": 16502530000}`, nil, 400, api.CodeInvalidPhone},
		{"phone an object", "POST", send, `{"phoneNumber": {"a": [1, 2]}}`, nil, 400, api.CodeInvalidPhone},
		{"phone true", "POST", send, `{"phoneNumber": true}`, nil, 400, api.CodeInvalidPhone},

		{"phone id absent", "POST", auth, `{"otp": "123456"}`, nil, 400, api.CodeMissingPhoneID},
		{"phone id null", "POST", auth, `{"phoneId": null, "otp": "123456"}`, nil, 400, api.CodeMissingPhoneID},
		{"phone id empty", "POST", auth, `{"phoneId": "", "otp": "123456"}`, nil, 400, api.CodeInvalidPhoneID},
		{"phone id a number", "POST", auth, `{"phoneId": 1, "otp": "123456"}`, nil, 400, api.CodeInvalidPhoneID},
		{"phone id too long", "POST", auth, `{"phoneId": "` + strings.Repeat("x", 129) + `", "otp": "123456"}`, nil, 400, api.CodeInvalidPhoneID},
		{"otp absent", "POST", auth, `{"phoneId": "x"}`, nil, 400, api.CodeMissingOTP},
		{"otp null", "POST", auth, `{"phoneId": "x", "otp": null}`, nil, 400, api.CodeMissingOTP},
		{"otp empty", "POST", auth, `{"phoneId": "x", "otp": ""}`, nil, 400, api.CodeInvalidOTP},
		{"otp a number", "POST", auth, `{"phoneId": "x", "otp": 123456}`, nil, 400, api.CodeInvalidOTP},
		{"otp too short", "POST", auth, `{"phoneId": "x", "otp": "12345"}`, nil, 400, api.CodeInvalidOTP},
		{"otp too long", "POST", auth, `{"phoneId": "x", "otp": "1234567"}`, nil, 400, api.CodeInvalidOTP},
		{"otp with a space", "POST", auth, `{"phoneId": "x", "otp": "12345 "}`, nil, 400, api.CodeInvalidOTP},
		{"otp in other digits", "POST", auth, `{"phoneId": "x", "otp": "１２"}`, nil, 400, api.CodeInvalidOTP},

		{"key empty", "POST", send, goodSend, []string{"Idempotency-Key: "}, 400, api.CodeInvalidIdempotencyKey},
		{"key with a space", "POST", send, goodSend, []string{"Idempotency-Key: a b"}, 400, api.CodeInvalidIdempotencyKey},
		{"key not ASCII", "POST", send, goodSend, []string{"Idempotency-Key: schlüssel"}, 400, api.CodeInvalidIdempotencyKey},
		{"key too long", "POST", send, goodSend, []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, 400, api.CodeInvalidIdempotencyKey},
		{"key twice", "POST", send, goodSend, []string{"Idempotency-Key: a", "Idempotency-Key: b"}, 400, api.CodeInvalidIdempotencyKey},
		{"key half quoted", "POST", send, goodSend, []string{`Idempotency-Key: "a`}, 400, api.CodeInvalidIdempotencyKey},
		{"key quoted empty", "POST", send, goodSend, []string{`Idempotency-Key: ""`}, 400, api.CodeInvalidIdempotencyKey},

		{"unknown path", "GET", "/nothing", "", nil, 404, api.CodeNotFoundEndpoint},
		{"root", "GET", "/", "", nil, 404, api.CodeNotFoundEndpoint},
		{"unknown file of the page", "GET", "/docs/nothing.js", "", nil, 404, api.CodeNotFoundEndpoint},
		{"unclean path", "POST", "//v1/auth/otp/sms:send", goodSend, nil, 404, api.CodeNotFoundEndpoint},
		{"dotted path", "POST", "/v1/../v1/auth/otp/sms:send", goodSend, nil, 404, api.CodeNotFoundEndpoint},
		{"slash at the end", "POST", send + "/", goodSend, nil, 404, api.CodeNotFoundEndpoint},
		{"other verb", "POST", "/v1/auth/otp/sms:resend", goodSend, nil, 404, api.CodeNotFoundEndpoint},
		{"GET on send", "GET", send, "", nil, 405, api.CodeMethodNotAllowed},
		{"GET on authenticate", "GET", auth + "?phoneId=x&otp=123456", "", nil, 405, api.CodeMethodNotAllowed},
		{"PUT on authenticate", "PUT", auth, goodAuth, nil, 405, api.CodeMethodNotAllowed},
		{"405 comes before credentials", "DELETE", send, "", []string{"-Ratio-Client-Id"}, 405, api.CodeMethodNotAllowed},
		{"OPTIONS", "OPTIONS", send, "", nil, 405, api.CodeMethodNotAllowed},
		{"a method of its own", "PROPFIND", api.PathJWKS, "", nil, 405, api.CodeMethodNotAllowed},
		{"POST on the key set", "POST", api.PathJWKS, "", nil, 405, api.CodeMethodNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			got := f.do(c.method, c.path, c.body, c.headers...)
			if got.status != c.status || got.err.Code != c.code {
				t.Fatalf("%d %s, want %d %s", got.status, got.body, c.status, c.code)
			}
			if got.err.Message == "" || got.err.CreateTime.String() != "2026-01-02T03:04:05.678Z" {
				t.Errorf("document %s", got.body)
			}
			if c.status == 401 && got.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
			if c.status == 405 && got.header.Get("Allow") == "" {
				t.Error("no Allow")
			}
		})
	}
	if len(f.otp.sent) != 0 || len(f.otp.tried) != 0 {
		t.Errorf("the domain was asked: %d sends, %d attempts", len(f.otp.sent), len(f.otp.tried))
	}
	for _, secret := range []string{testSecret, "6502530000", "123456", goodToken} {
		if leaktest.Tells(f.log.String(), secret) {
			t.Errorf("the log contains %q", secret)
		}
	}
}

func TestHeadOnACallHasNoBodyAndNoEffect(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{api.PathSend, api.PathAuthenticate} {
		if got := f.do("HEAD", path, ""); got.status != 405 || got.header.Get("Allow") != "POST" || got.body != "" {
			t.Errorf("HEAD %s: %d, Allow %q", path, got.status, got.header.Get("Allow"))
		}
	}
}

func TestAcceptedSpellings(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []struct {
		name, body string
		headers    []string
	}{
		{"charset", goodSend, []string{"-Content-Type", "Content-Type: application/json; charset=UTF-8"}},
		{"media type in capitals", goodSend, []string{"-Content-Type", "Content-Type: Application/JSON"}},
		{"identity", goodSend, []string{"Content-Encoding: identity"}},
		{"unknown members", `{"a": [1, {"b": null}], "phoneNumber": "+16502530000", "c": "// no comment, }"}`, nil},
		{"slash in a string and trailing comma", `{"a": "http://x/*,}", "phoneNumber": "+16502530000" , }`, nil},
		{"trailing comma in an array", `{"a": [1, 2, ], "phoneNumber": "+16502530000"}`, nil},
		{"escaped", `{"\u0070honeNumber": "\u002b16502530000"}`, nil},
		{"white space", "\r\n\t " + goodSend + "\n\n", nil},
		{"bearer", goodSend, []string{"Authorization: bearer " + goodToken}},
		{"unknown fingerprint", goodSend, []string{"Ratio-Device-Fingerprint: \x80\xff{"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t = t
			if got := f.do("POST", api.PathSend, c.body, c.headers...); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if n := f.otp.lastSend(t).PhoneNumber; n != "+16502530000" {
				t.Errorf("the domain was asked for %q", n)
			}
		})
	}
}
