package apitest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"codeword/api"
	"codeword/api/apitest"
)

type exchange struct {
	name, method, path string
	credentials        bool
	status             int
	header             map[string]string
	body               string
	want               string // part of the complaint, empty for none
}

const (
	jsonType = "application/json"
	jwt      = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
)

func problem(code, data string) string {
	return fmt.Sprintf(`{"message":"m","createTime":"2026-01-02T03:04:05.678Z","code":%q%s}`, code, data)
}

var exchanges = []exchange{
	{"send", "POST", api.PathSend, true, 200, nil, `{"phoneId":"p","phoneMask":"1234"}`, ""},
	{"unknown member", "POST", api.PathSend, true, 200, nil, `{"phoneId":"p","phoneMask":"1234","new":1}`, ""},
	{"send without credentials", "POST", api.PathSend, false, 200, nil, `{"phoneId":"p","phoneMask":"1234"}`, "ratio-client-id"},
	{"mask of five", "POST", api.PathSend, true, 200, nil, `{"phoneId":"p","phoneMask":"12345"}`, "phoneMask"},
	{"no phoneId", "POST", api.PathSend, true, 200, nil, `{"phoneMask":"1234"}`, "phoneId"},
	{"odd status", "POST", api.PathSend, true, 201, nil, `{}`, "not documented"},
	{"no request-id", "POST", api.PathSend, true, 200, map[string]string{"Request-Id": ""}, `{"phoneId":"p","phoneMask":"1234"}`, "request-id"},
	{"not JSON", "POST", api.PathSend, true, 200, map[string]string{"Content-Type": "text/plain"}, `ok`, "text/plain"},
	{"bad request", "POST", api.PathSend, true, 400, nil, problem("INVALID_PHONE", ""), ""},
	{"code of the other call", "POST", api.PathSend, true, 400, nil, problem("MISSING_OTP", ""), "not documented here"},
	{"code of another status", "POST", api.PathSend, true, 400, nil, problem("INTERNAL", ""), "not documented here"},
	{"code nobody knows", "POST", api.PathSend, true, 400, nil, problem("WHAT", ""), "/code"},
	{"401 without challenge", "POST", api.PathSend, true, 401, nil, problem("INVALID_CLIENT_SECRET", ""), "WWW-Authenticate"},
	{"401", "POST", api.PathSend, true, 401, map[string]string{"WWW-Authenticate": "Bearer"}, problem("INVALID_CLIENT_SECRET", ""), ""},
	{"429", "POST", api.PathSend, true, 429, map[string]string{"Retry-After": "3"}, problem("EXCEEDS_LIMIT_SMS", `,"data":{"limit":"x"}`), ""},
	{"429 without wait", "POST", api.PathSend, true, 429, nil, problem("EXCEEDS_LIMIT_SMS", `,"data":{"limit":"x"}`), "Retry-After"},
	{"429 with a date", "POST", api.PathSend, true, 429, map[string]string{"Retry-After": "soon"}, problem("EXCEEDS_LIMIT_SMS", `,"data":{"limit":"x"}`), "Retry-After"},
	{"429 without limit", "POST", api.PathSend, true, 429, map[string]string{"Retry-After": "3"}, problem("EXCEEDS_LIMIT_SMS", ""), "data.limit"},
	{"503 without wait", "GET", api.PathReady, false, 503, nil, problem("UNAVAILABLE", ""), "Retry-After"},
	{"503", "GET", api.PathReady, false, 503, map[string]string{"Retry-After": "1"}, problem("UNAVAILABLE", ""), ""},
	{"wrong code", "POST", api.PathAuthenticate, true, 401, map[string]string{"WWW-Authenticate": "Bearer"}, problem("INVALID_OTP", `,"data":{"retryable":true}`), ""},
	{"wrong code without hint", "POST", api.PathAuthenticate, true, 401, map[string]string{"WWW-Authenticate": "Bearer"}, problem("INVALID_OTP", ""), "retryable"},
	{"bad secret with hint", "POST", api.PathAuthenticate, true, 401, map[string]string{"WWW-Authenticate": "Bearer"}, problem("INVALID_CLIENT_SECRET", `,"data":{"retryable":true}`), "retryable"},
	{"authenticated", "POST", api.PathAuthenticate, true, 200, nil, `{"sessionJwt":"` + jwt + `"}`, ""},
	{"not a JWT", "POST", api.PathAuthenticate, true, 200, nil, `{"sessionJwt":"x"}`, "sessionJwt"},
	{"bad refresh", "POST", api.PathSend, true, 200, map[string]string{"ratio-authentication-refresh": "x"}, `{"phoneId":"p","phoneMask":"1234"}`, "refresh"},
	{"revoked without bearer", "POST", api.PathSessionRevoke, true, 204, map[string]string{"Content-Type": ""}, "", "ecurity"},
	{"nowhere", "GET", "/nowhere", false, 404, nil, problem("NOT_FOUND_ENDPOINT", ""), ""},
	{"nowhere answered", "GET", "/nowhere", false, 200, nil, "{}", "404 is due"},
	{"template as path", "GET", "/docs/{asset}", false, 404, nil, problem("NOT_FOUND_ENDPOINT", ""), ""},
	{"wrong method", "GET", api.PathSend, false, 405, map[string]string{"Allow": "POST"}, problem("METHOD_NOT_ALLOWED", ""), ""},
	{"wrong method without Allow", "GET", api.PathSend, false, 405, nil, problem("METHOD_NOT_ALLOWED", ""), "Allow"},
	{"wrong method answered", "GET", api.PathAuthenticate, false, 200, nil, `{"sessionJwt":"` + jwt + `"}`, "405 is due"},
	{"HEAD", "HEAD", api.PathHealth, false, 200, nil, "", ""},
	{"HEAD of a POST", "HEAD", api.PathSend, false, 405, map[string]string{"Allow": "POST"}, "", ""},
	{"asset", "GET", "/docs/x.js", false, 200, map[string]string{"Content-Type": "text/javascript"}, "x", ""},
	{"asset deeper", "GET", "/docs/x/y", false, 200, nil, "x", "404 is due"},
	{"private key", "GET", api.PathJWKS, false, 200, nil, `{"keys":[{"kty":"EC","use":"sig","alg":"ES256","kid":"1","crv":"P-256","x":"a","y":"b","d":"c"}]}`, "d"},
}

func (e exchange) make(t *testing.T) (*http.Request, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), e.method, "http://127.0.0.1"+e.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.credentials {
		req.Header.Set(api.HeaderClientID, "id")
		req.Header.Set(api.HeaderClientSecret, "secret")
	}
	resp := &http.Response{StatusCode: e.status, Header: http.Header{}}
	resp.Header.Set("Content-Type", jsonType)
	resp.Header.Set(api.HeaderRequestID, "r1")
	for k, v := range e.header {
		resp.Header.Del(k)
		if v != "" {
			resp.Header.Set(k, v)
		}
	}
	return req, resp
}

func TestValidate(t *testing.T) {
	v, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range exchanges {
		t.Run(tc.name, func(t *testing.T) {
			req, resp := tc.make(t)
			err := v.Validate(req, resp, []byte(tc.body))
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want a complaint about %q", err, tc.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	v, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	var got []string
	for _, r := range v.Routes() {
		mux.HandleFunc(r.String(), http.NotFound) // panics when it is no pattern
		got = append(got, r.String())
	}
	want := []string{
		"GET /.well-known/jwks.json", "GET /.well-known/openid-configuration", "GET /docs", "GET /docs/{asset}",
		"GET /healthz", "GET /readyz", "GET /v1/api-docs", "POST /v1/auth/otp/sms:authenticate",
		"POST /v1/auth/otp/sms:send", "GET /v1/auth/session", "POST /v1/auth/session:revoke",
		"POST /v1/carriers/{route}/events",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestTransport(t *testing.T) {
	v, err := apitest.New()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", jsonType)
		if r.URL.Path == api.PathHealth {
			w.Header().Set(api.HeaderRequestID, "r1")
		}
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}))
	defer srv.Close()
	var reports []error
	client := &http.Client{Transport: &apitest.Transport{Validator: v, Report: func(err error) { reports = append(reports, err) }}}
	for i, path := range []string{api.PathHealth, api.PathReady} {
		resp, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != `{"status":"ok"}` {
			t.Errorf("the body is lost: %q, %v", body, err)
		}
		if len(reports) != i { // the first is in order, the second lacks its request-id
			t.Errorf("%s: reports %v", path, reports)
		}
	}
}
