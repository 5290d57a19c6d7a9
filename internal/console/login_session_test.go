package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/keyring"
	"codeword/internal/store"
)

// board is what nodes tell each other by.
type board struct {
	mu    sync.Mutex
	notes []store.Note
	err   error
}

func (b *board) PutNotes(_ context.Context, _ time.Time, notes []store.Note) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.notes = append(b.notes, notes...)
	}
	return b.err
}

func (b *board) Notes(_ context.Context, now time.Time, topic string, _ time.Time) ([]store.Note, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []store.Note
	for _, n := range b.notes {
		if n.Topic == topic && now.Before(n.Until) {
			out = append(out, n)
		}
	}
	return out, b.err
}

func (b *board) fail(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.err = err }

// shared gives a console keys and a board that others can have, too.
func shared(t *testing.T) func(*console.Config) {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	notes := &board{}
	return func(c *console.Config) { c.Login.Keys, c.Login.Notes = ring, notes }
}

// cookie logs somebody in and returns the session as a header.
func (s *sso) cookie(groups ...string) string {
	s.t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range s.enter(groups...).Jar.Cookies(u) {
		if c.Name == "codeword_console" {
			return "Cookie: codeword_console=" + c.Value
		}
	}
	s.t.Fatal("there is no session")
	return ""
}

// TestNodesTakeEachOthersSessions, and know when one has ended at another.
func TestNodesTakeEachOthersSessions(t *testing.T) {
	s := newSSO(t, shared(t))
	notes := s.cfg.Login.Notes.(*board)
	cfg := s.cfg
	cfg.Login.URL = s.url
	one, two := s.url, s.node(cfg)
	by := s.cookie("sms-admins")
	at := func(node, method, path string, headers ...string) answer {
		s.url = node
		return s.do(s.fixture.browser(), method, path, nil, headers...)
	}
	if got := at(two, "GET", "/admin/v1/keys", by); got.status != 200 {
		t.Fatalf("the other node: %d", got.status)
	}
	// A login that one began is finished at the other.
	s.url = one
	b := s.fixture.browser()
	back := s.begin(b, "/")
	s.url = two
	if got := s.do(b, "GET", back, nil); got.status != 200 {
		t.Errorf("finished at the other: %d %s", got.status, got.body)
	}
	if got := at(one, "POST", "/logout", by); got.status != 303 {
		t.Errorf("logout: %d", got.status)
	}
	if got := at(one, "GET", "/admin/v1/keys", by); got.status != 401 {
		t.Errorf("where it ended: %d", got.status)
	}
	s.later(time.Second)
	if got := at(two, "GET", "/admin/v1/keys", by); got.status != 401 {
		t.Errorf("at the other a second later: %d", got.status)
	}
	// While the list cannot be read, what is known of it holds, and sessions go on.
	notes.fail(errors.New("down"))
	s.later(5 * time.Second)
	if got := at(two, "GET", "/admin/v1/keys", by); got.status != 401 {
		t.Errorf("it lives again: %d", got.status)
	}
	s.url = one
	if got := at(two, "GET", "/admin/v1/keys", s.cookie("sms-admins")); got.status != 200 {
		t.Errorf("a session while the store is down: %d", got.status)
	}
	other, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Login.Keys = other
	if got := at(s.node(cfg), "GET", "/admin/v1/keys", by); got.status != 401 {
		t.Errorf("a node with other keys: %d", got.status)
	}
}

// TestSessionsEndWithWhatTheyRestOn: other rules or another token end them.
func TestSessionsEndWithWhatTheyRestOn(t *testing.T) {
	for name, c := range map[string]struct {
		change      func(*console.Config)
		sso, holder bool
	}{
		"nothing":          {func(*console.Config) {}, true, true},
		"the secret":       {func(c *console.Config) { c.Login.Provider.ClientSecret = "another" }, true, true},
		"a role less":      {func(c *console.Config) { c.Login.Provider.Admins = nil }, false, true},
		"a role more":      {func(c *console.Config) { c.Login.Provider.Viewers = []string{"sms-viewers", "x"} }, false, true},
		"another claim":    {func(c *console.Config) { c.Login.Provider.RoleClaim = "roles" }, false, true},
		"another client":   {func(c *console.Config) { c.Login.Provider.ClientID = "x" }, false, true},
		"a domain":         {func(c *console.Config) { c.Login.Provider.EmailDomains = []string{"example.org"} }, false, true},
		"a required claim": {func(c *console.Config) { c.Login.Provider.Require = []string{"a=b"} }, false, true},
		"no provider":      {func(c *console.Config) { c.Login.Provider = login.Settings{} }, false, true},
		"another token":    {func(c *console.Config) { c.Token = "another-token-of-32-bytes-or-more" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSSO(t, shared(t))
			by := s.cookie("sms-admins")
			holder := "Cookie: codeword_console=" + sessionOf(s.do(s.fixture.browser(), "POST", "/login", url.Values{"token": {token}}))
			cfg := s.cfg
			c.change(&cfg)
			s.url = s.node(cfg)
			for header, want := range map[string]bool{by: c.sso, holder: c.holder} {
				if got := s.do(s.fixture.browser(), "GET", "/admin/v1/keys", nil, header); (got.status == 200) != want {
					t.Errorf("provider's %t: %d", header == by, got.status)
				}
			}
		})
	}
}

// TestRoleIsAskedForAgain: the provider's word counts for an hour, and within it a
// browser is led there and back, so that who lost a role loses it here.
func TestRoleIsAskedForAgain(t *testing.T) {
	s := newSSO(t, nil)
	b := s.enter("sms-admins")
	through := func(path string) answer {
		t.Helper()
		got := s.do(b, "GET", path, nil)
		if got.status != 303 || !strings.Contains(got.header.Get("Location"), "/authorize?") {
			t.Fatalf("%s is not led to the provider: %d %v", path, got.status, got.header)
		}
		if to := got.header.Get("Location"); !strings.Contains(to, "prompt=none") || strings.Contains(to, "admin") {
			t.Errorf("%s", to)
		}
		return s.do(b, "GET", s.authorize(b, got.header.Get("Location")), nil)
	}
	logins := func() int {
		return len(slices.DeleteFunc(s.memory.kinds(), func(k string) bool { return !strings.HasSuffix(k, "console.login") }))
	}
	s.later(29 * time.Minute)
	if got := s.do(b, "GET", "/keys", nil); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
	s.later(2 * time.Minute)
	for _, headers := range [][]string{{"Sec-Fetch-Mode: cors"}, {"X: y"}} {
		path := map[bool]string{true: "/keys", false: "/admin/v1/keys"}[headers[0] != "X: y"]
		if got := s.do(b, "GET", path, nil, headers...); got.status != 200 {
			t.Errorf("%s, not a page that somebody opens: %d", path, got.status)
		}
	}
	before := logins()
	got := through("/messages?route=main")
	if got.status != 200 || !strings.Contains(got.body, `url=/messages?route=main"`) {
		t.Fatalf("back: %d %s", got.status, got.body)
	}
	if got := s.do(b, "GET", "/clients/new", nil); got.status != 200 {
		t.Errorf("after it: %d", got.status)
	}
	if logins() != before {
		t.Error("a session that goes on is recorded as a login")
	}
	s.issuer.With(func() { s.issuer.User["groups"] = []string{"sms-viewers"} })
	s.later(31 * time.Minute)
	through("/clients/new")
	if got := s.do(b, "GET", "/clients/new", nil); got.status != 403 {
		t.Errorf("an admin no more: %d", got.status)
	}
	s.issuer.With(func() { s.issuer.User["groups"] = []string{} })
	s.later(31 * time.Minute)
	if got := through("/keys"); got.status != 403 {
		t.Errorf("without a role: %d", got.status)
	}
}

// TestTheProviderVouchesNoMore: a session ends an hour after the provider vouched last, and
// half a day after it began however often the provider vouches.
func TestTheProviderVouchesNoMore(t *testing.T) {
	s := newSSO(t, nil)
	b := s.enter("sms-admins")
	s.later(31 * time.Minute)
	s.issuer.With(func() { s.issuer.User = nil })
	got := s.do(b, "GET", "/keys", nil)
	got = s.do(b, "GET", s.authorize(b, got.header.Get("Location")), nil)
	if to := got.header.Get("Location"); got.status != 303 || !strings.HasPrefix(to, s.issuer.URL) || strings.Contains(to, "prompt") {
		t.Errorf("who is logged out there is not asked: %d %s", got.status, to)
	}
	if got := s.do(b, "GET", "/keys", nil); got.status != 200 {
		t.Errorf("back without having logged in: %d", got.status)
	}
	s.later(29 * time.Minute)
	if got := s.do(b, "GET", "/keys", nil); got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), "/login") {
		t.Errorf("after an hour: %d %v", got.status, got.header)
	}
	s.issuer.With(func() {
		s.issuer.User = map[string]any{"sub": "alice-1", "email": "a@example.com", "groups": "sms-admins"}
	})
	b, passed := s.enter("sms-admins"), time.Duration(0)
	for ; passed < 13*time.Hour; passed += 10 * time.Minute {
		got := s.do(b, "GET", "/keys", nil)
		if strings.HasPrefix(got.header.Get("Location"), s.issuer.URL) {
			s.do(b, "GET", s.authorize(b, got.header.Get("Location")), nil)
			got = s.do(b, "GET", "/keys", nil)
		}
		if got.status != 200 {
			break
		}
		s.later(10 * time.Minute)
	}
	if passed != 12*time.Hour {
		t.Errorf("the session lasted %s", passed)
	}
}

// TestAnotherPersonComesBack: a session goes on for the same person alone.
func TestAnotherPersonComesBack(t *testing.T) {
	s := newSSO(t, nil)
	b := s.enter("sms-admins")
	s.later(31 * time.Minute)
	to := s.do(b, "GET", "/keys", nil).header.Get("Location")
	s.issuer.With(func() {
		s.issuer.User = map[string]any{"sub": "bob-2", "email": "bob@example.com", "groups": "sms-viewers"}
	})
	if got := s.do(b, "GET", s.authorize(b, to), nil); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
	if got := s.do(b, "GET", "/keys", nil); !strings.Contains(got.body, "bob@example.com") || strings.Contains(got.body, "alice") {
		t.Errorf("%s", got.body)
	}
	if kinds := s.memory.kinds(); !strings.HasPrefix(kinds[len(kinds)-1], "console:bob@example.com sub:bob-2 iss:") {
		t.Errorf("%v", kinds)
	}
}

// TestTheProviderIsDown: the console starts, says so, and takes the token; and tries again.
func TestTheProviderIsDown(t *testing.T) {
	s := newSSO(t, nil)
	b := s.enter("sms-admins")
	for name, broken := range map[string]func(){
		"503":                func() { s.issuer.Down = true },
		"another issuer":     func() { s.issuer.Describe = func(d map[string]any) { d["issuer"] = "https://evil.example" } },
		"keys in clear":      func() { s.issuer.Describe = func(d map[string]any) { d["jwks_uri"] = "http://evil.example/keys" } },
		"tokens in clear":    func() { s.issuer.Describe = func(d map[string]any) { d["token_endpoint"] = "http://evil.example" } },
		"no place to log in": func() { s.issuer.Describe = func(d map[string]any) { delete(d, "authorization_endpoint") } },
		"a script to log in": func() {
			s.issuer.Describe = func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" }
		},
		"no PKCE": func() {
			s.issuer.Describe = func(d map[string]any) { d["code_challenge_methods_supported"] = []string{"plain"} }
		},
		"only weak signatures": func() {
			s.issuer.Describe = func(d map[string]any) { d["id_token_signing_alg_values_supported"] = []string{"HS256", "none"} }
		},
		"no secret": func() {
			s.issuer.Describe = func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = []string{"private_key_jwt"} }
		},
		"no code": func() {
			s.issuer.Describe = func(d map[string]any) { d["response_types_supported"] = []string{"id_token"} }
		},
		"huge": func() { s.issuer.Describe = func(d map[string]any) { d["x"] = strings.Repeat("x", 2<<20) } },
	} {
		t.Run(name, func(t *testing.T) {
			s.issuer.With(func() { s.issuer.Down, s.issuer.Describe = false, nil; broken() })
			defer func(url string) { s.url = url }(s.url)
			s.url = s.node(s.cfg)
			got := s.do(s.fixture.browser(), "GET", login.BeginPath, nil)
			if got.status != 503 || !strings.Contains(got.body, "The admin token works") || len(got.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := s.do(s.fixture.browser(), "POST", "/login", url.Values{"token": {token}}); got.status != 303 || sessionOf(got) == "" {
				t.Errorf("the token: %d", got.status)
			}
			s.issuer.With(func() { s.issuer.Down, s.issuer.Describe = false, nil })
			s.later(5 * time.Second)
			if got := s.do(s.fixture.browser(), "GET", login.BeginPath, nil); got.status != 303 {
				t.Errorf("when it is back: %d", got.status)
			}
		})
	}
	// A session goes on while it is down, for as long as the provider's word counts.
	s.issuer.With(func() { s.issuer.Down = true })
	s.later(50 * time.Minute)
	for range 2 {
		got := s.do(b, "GET", "/keys", nil)
		if to := got.header.Get("Location"); strings.HasPrefix(to, s.issuer.URL) {
			got = s.do(b, "GET", "/keys", nil) // the browser's back button
		}
		if got.status != 200 {
			t.Errorf("%d %v", got.status, got.header)
		}
	}
}

// TestTheTrailIsDown: who logs in to see why is let in.
func TestTheTrailIsDown(t *testing.T) {
	s := newSSO(t, nil)
	s.memory.err = errors.New("down")
	if got := s.do(s.browser, "POST", "/login", url.Values{"token": {token}}); got.status != 303 || sessionOf(got) == "" {
		t.Errorf("%d", got.status)
	}
	if !strings.Contains(s.log.String(), "could not be recorded") {
		t.Errorf("%s", s.log.String())
	}
}

// TestManyAtOnce: logins, requests and logouts at once, for the race detector.
func TestManyAtOnce(t *testing.T) {
	s := newSSO(t, shared(t))
	var wg sync.WaitGroup
	for range 16 {
		b := s.fixture.browser()
		wg.Go(func() {
			for range 3 {
				if got := s.do(b, "GET", s.begin(b, "/"), nil); got.status != 200 {
					t.Errorf("login: %d", got.status)
				}
				if got := s.do(b, "GET", "/guard", nil); got.status != 200 {
					t.Errorf("page: %d", got.status)
				}
				if got := s.do(b, "POST", "/logout", url.Values{}); got.status != http.StatusSeeOther {
					t.Errorf("logout: %d", got.status)
				}
			}
		})
	}
	wg.Wait()
}
