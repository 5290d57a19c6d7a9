package console_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/store"
)

// patient is a board that reads nothing for who has gone, as databases do.
type patient struct{ *board }

func (p patient) Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.board.Notes(ctx, now, topic, since)
}

// TestWhoHangsUpKeepsNoSessionAlive: whoever stole a session that ended elsewhere asks and
// hangs up, so that what has ended is not read, and asks again within that second.
func TestWhoHangsUpKeepsNoSessionAlive(t *testing.T) {
	s := newSSO(t, func(c *console.Config) {
		shared(t)(c)
		c.Login.Notes = patient{&board{}}
	})
	cfg := s.cfg
	cfg.Login.URL = s.url
	other, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	by := s.cookie("sms-admins")
	ask := func(ctx context.Context) int {
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, "/admin/v1/keys", http.NoBody)
		name, value, _ := strings.Cut(by, ": ")
		req.Header.Set(name, value)
		w := httptest.NewRecorder()
		other.Handler().ServeHTTP(w, req)
		return w.Code
	}
	if status := ask(t.Context()); status != 200 {
		t.Fatalf("%d", status)
	}
	if got := s.do(s.fixture.browser(), "POST", "/logout", nil, by); got.status != 303 {
		t.Fatalf("logout: %d", got.status)
	}
	s.later(2 * time.Second)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ask(gone)
	if status := ask(t.Context()); status != 401 {
		t.Errorf("after who hung up: %d", status)
	}
}

// TestLessOfARoleEndsTheCookieOfBefore: a copy of a cookie from before the provider was
// asked again is no way to keep a role.
func TestLessOfARoleEndsTheCookieOfBefore(t *testing.T) {
	for name, groups := range map[string][]string{"viewer": {"sms-viewers"}, "nobody": {}} {
		t.Run(name, func(t *testing.T) {
			s := newSSO(t, shared(t))
			b := s.enter("sms-admins")
			u, err := url.Parse(s.url)
			if err != nil {
				t.Fatal(err)
			}
			var before string
			for _, c := range b.Jar.Cookies(u) {
				before = "Cookie: codeword_console=" + c.Value
			}
			s.later(31 * time.Minute)
			s.issuer.With(func() { s.issuer.User["groups"] = groups })
			s.do(b, "GET", s.authorize(b, s.do(b, "GET", "/keys", nil).header.Get("Location")), nil)
			if got := s.do(s.fixture.browser(), "GET", "/admin/v1/keys", nil, before); got.status != 401 {
				t.Errorf("the cookie of before: %d", got.status)
			}
			want := map[string]int{"viewer": 403, "nobody": 303}[name]
			if got := s.do(b, "GET", "/clients/new", nil); got.status != want {
				t.Errorf("the browser: %d, want %d", got.status, want)
			}
		})
	}
}

// TestARequiredAddressIsVerified: people may claim any other.
func TestARequiredAddressIsVerified(t *testing.T) {
	for verified, want := range map[bool]int{true: 200, false: 403} {
		s := newSSO(t, func(c *console.Config) { c.Login.Provider.Require = []string{"email=boss@example.com"} })
		s.issuer.With(func() {
			s.issuer.User = map[string]any{"sub": "alice-1", "email": "boss@example.com", "email_verified": verified, "groups": "sms-admins"}
		})
		if got := s.do(s.browser, "GET", s.begin(s.browser, "/"), nil); got.status != want {
			t.Errorf("verified %t: %d, want %d", verified, got.status, want)
		}
	}
}

// TestTheLongestWayBack: what a link may have, a browser's cookie can hold.
func TestTheLongestWayBack(t *testing.T) {
	for _, c := range []string{"&", "<", "'"} {
		s := newSSO(t, nil)
		next := "/messages?" + strings.Repeat(c, 1000)
		begun := s.do(s.browser, "GET", "/login/oidc?next="+url.QueryEscape(next), nil)
		for _, cookie := range begun.header.Values("Set-Cookie") {
			if name, _, _ := strings.Cut(cookie, ";"); len(name) > 4096 { // RFC 6265bis section 5.6
				t.Errorf("%q: a cookie of %d bytes", c, len(name))
			}
		}
		if got := s.do(s.browser, "GET", s.begin(s.browser, next), nil); got.status != 200 {
			t.Errorf("%q: %d", c, got.status)
		}
	}
}
