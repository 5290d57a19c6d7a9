package console_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/console/login/logintest"
)

// unsigned is a JWT with that header and signature.
func unsigned(header string, claims map[string]any, signature string) string {
	raw, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(raw) + "." + signature
}

// TestAnswersOfTheProviderThatAreNotGood: nobody gets in by any of them, and the log says
// why.
func TestAnswersOfTheProviderThatAreNotGood(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claim := func(name string, value any) func(*sso) {
		return func(s *sso) { s.issuer.Token = func(c map[string]any) { c[name] = value } }
	}
	without := func(name string) func(*sso) {
		return func(s *sso) { s.issuer.Token = func(c map[string]any) { delete(c, name) } }
	}
	moved := func(iat, exp time.Duration) func(*sso) {
		return func(s *sso) {
			now := s.cfg.Now()
			s.issuer.Token = func(c map[string]any) { c["iat"], c["exp"] = now.Add(iat).Unix(), now.Add(exp).Unix() }
		}
	}
	answer := func(status int, body string) func(*sso) {
		return func(s *sso) {
			s.issuer.Answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}
		}
	}
	signed := func(sign func(s *sso, c map[string]any) string) func(*sso) {
		return func(s *sso) { s.issuer.Sign = func(c map[string]any) string { return sign(s, c) } }
	}
	for name, c := range map[string]struct {
		make   func(*sso)
		status int
		log    string
	}{
		"honest":             {func(*sso) {}, 200, ""},
		"expired just now":   {moved(-30*time.Second, -30*time.Second), 200, ""},
		"a clock ahead":      {moved(50*time.Second, time.Hour), 200, ""},
		"azp is ours":        {claim("azp", logintest.ClientID), 200, ""},
		"expired":            {moved(-time.Second, -2*time.Minute), 502, "expired"},
		"from the future":    {moved(2*time.Minute, time.Hour), 502, "clocks"},
		"older than login":   {moved(-time.Hour, time.Hour), 502, "older"},
		"no iat":             {without("iat"), 502, ""},
		"not yet":            {claim("nbf", 1e11), 502, ""},
		"other nonce":        {claim("nonce", "x"), 502, "nonce"},
		"no nonce":           {without("nonce"), 502, "nonce"},
		"nonce is a number":  {claim("nonce", 1), 502, ""},
		"other issuer":       {claim("iss", "https://evil.example"), 502, "issue"},
		"issuer and a slash": {func(s *sso) { s.issuer.Token = func(c map[string]any) { c["iss"] = s.issuer.URL + "/" } }, 502, "issue"},
		"other audience":     {claim("aud", "another"), 502, "aud"},
		"no audience":        {without("aud"), 502, "aud"},
		"two, no azp":        {claim("aud", []string{logintest.ClientID, "another"}), 502, "azp"},
		"azp of another":     {claim("azp", "another"), 502, "azp"},
		"no subject":         {without("sub"), 502, "subject"},
		"empty subject":      {claim("sub", ""), 502, "subject"},
		"huge subject":       {claim("sub", strings.Repeat("s", 256)), 502, "subject"},
		"subject is a list":  {claim("sub", []string{"alice-1"}), 502, ""},
		"at_hash of another": {claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), 502, "access token"},
		"huge claims":        {claim("groups", strings.Repeat("g", 2<<20)), 503, "exchange"},
		"many groups":        {claim("groups", make([]int, 100_000)), 403, "role"},
		"alg none":           {signed(func(_ *sso, c map[string]any) string { return unsigned(`{"alg":"none"}`, c, "") }), 502, ""},
		"alg None":           {signed(func(_ *sso, c map[string]any) string { return unsigned(`{"alg":"nOnE","kid":"key-1"}`, c, "AA") }), 502, ""},
		"signed by the client secret": {signed(func(_ *sso, c map[string]any) string {
			return logintest.Signed(jose.HS256, []byte(logintest.ClientSecret), "key-1", c)
		}), 502, ""},
		"signed by the public key": {signed(func(s *sso, c map[string]any) string {
			der, err := x509.MarshalPKIXPublicKey(s.issuer.PublicKey())
			if err != nil {
				panic(err)
			}
			return logintest.Signed(jose.HS256, der, "key-1", c)
		}), 502, ""},
		"another key":        {signed(func(_ *sso, c map[string]any) string { return logintest.Signed(jose.ES256, other, "key-1", c) }), 502, "signature"},
		"a key nobody knows": {signed(func(_ *sso, c map[string]any) string { return logintest.Signed(jose.ES256, other, "other", c) }), 502, "signature"},
		"no JWT":             {signed(func(*sso, map[string]any) string { return "x" }), 502, ""},
		"no id token":        {answer(200, `{"access_token":"a","token_type":"Bearer"}`), 502, "no id token"},
		"id token is a list": {answer(200, `{"access_token":"a","token_type":"Bearer","id_token":["x"]}`), 502, "no id token"},
		"no JSON":            {answer(200, `<html>`), 503, ""},
		"refuses the code":   {answer(400, `{"error":"invalid_grant","error_description":"<script>"}`), 502, "invalid_grant"},
		"is broken":          {answer(500, strings.Repeat("x", 5<<20)), 503, ""},
		"redirects": {func(s *sso) {
			s.issuer.Answer = http.RedirectHandler("https://evil.example", http.StatusTemporaryRedirect).ServeHTTP
		}, 503, "redirect"},
		"no role": {claim("groups", []string{"everybody"}), 403, "no role"},
		"no claim": {func(s *sso) {
			delete(s.issuer.User, "groups")
			s.issuer.Info = map[string]any{"sub": "alice-1"}
		}, 403, "oidc-role-claim"},
		"userinfo of another": {func(s *sso) {
			delete(s.issuer.User, "groups")
			s.issuer.Info = map[string]any{"sub": "bob", "groups": "sms-admins"}
		}, 502, "somebody else"},
		"userinfo has it": {func(s *sso) {
			delete(s.issuer.User, "groups")
			s.issuer.Info = map[string]any{"sub": "alice-1", "groups": "sms-admins"}
		}, 200, ""},
		"an address verified elsewhere": {func(s *sso) {
			s.issuer.User = map[string]any{"sub": "alice-1", "email": "alice@example.com"}
			s.issuer.Info = map[string]any{"sub": "alice-1", "email": "a@other.example", "email_verified": true, "groups": "sms-admins"}
		}, 403, "verified"},
		"an address verified where it is not": {func(s *sso) {
			s.issuer.User = map[string]any{"sub": "alice-1", "email_verified": true}
			s.issuer.Info = map[string]any{"sub": "alice-1", "email": "b@example.com", "email_verified": false, "groups": "sms-admins"}
		}, 403, "verified"},
		"userinfo refuses": {func(s *sso) { delete(s.issuer.User, "groups") }, 503, "userinfo"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSSO(t, func(c *console.Config) { c.Login.Provider.EmailDomains = []string{"EXAMPLE.com"} })
			back := s.begin(s.browser, "/keys")
			s.issuer.With(func() { c.make(s) })
			got := s.do(s.browser, "GET", back, nil)
			if got.status != c.status || (sessionOf(got) != "") != (c.status == 200) {
				t.Errorf("%d, want %d; %s\n%s", got.status, c.status, got.body, s.log.String())
			}
			if log := s.log.String(); c.status != 200 && !strings.Contains(log, c.log) {
				t.Errorf("the log does not say %q: %s", c.log, log)
			}
			if strings.Contains(got.body, "<script") || len(s.log.String()) > 3000 {
				t.Errorf("%s %d", got.body, len(s.log.String()))
			}
			if got := s.do(s.browser, "GET", "/keys", nil); (got.status == 200) != (c.status == 200) {
				t.Errorf("the keys: %d", got.status)
			}
		})
	}
}

// TestCallbacksThatAreNotOurs: whoever makes a browser call back gets nobody in, and no
// code is handed in.
func TestCallbacksThatAreNotOurs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *sso, back url.Values) (*http.Client, []string)
		status int
	}{
		"honest":        {func(*sso, url.Values) (*http.Client, []string) { return nil, nil }, 200},
		"other browser": {func(s *sso, _ url.Values) (*http.Client, []string) { return s.fixture.browser(), nil }, 400},
		"other flow": {func(s *sso, back url.Values) (*http.Client, []string) {
			mallory := s.fixture.browser()
			q, _ := url.ParseQuery(strings.SplitN(s.begin(mallory, "/"), "?", 2)[1])
			back.Set("code", q.Get("code"))
			back.Set("state", q.Get("state"))
			return nil, nil
		}, 400},
		"no state": {func(_ *sso, q url.Values) (*http.Client, []string) { q.Del("state"); return nil, nil }, 400},
		"other state": {func(_ *sso, q url.Values) (*http.Client, []string) {
			q.Set("state", q.Get("state")[:8]+strings.Repeat("A", 18))
			return nil, nil
		}, 400},
		"two states": {func(_ *sso, q url.Values) (*http.Client, []string) { q.Add("state", "x"); return nil, nil }, 400},
		"two codes":  {func(_ *sso, q url.Values) (*http.Client, []string) { q.Add("code", "x"); return nil, nil }, 400},
		"huge code": {func(_ *sso, q url.Values) (*http.Client, []string) {
			q.Set("code", strings.Repeat("x", 5000))
			return nil, nil
		}, 400},
		"other issuer": {func(_ *sso, q url.Values) (*http.Client, []string) {
			q.Set("iss", "https://evil.example")
			return nil, nil
		}, 502},
		"issuer left out":  {func(_ *sso, q url.Values) (*http.Client, []string) { q.Del("iss"); return nil, nil }, 502},
		"no code":          {func(_ *sso, q url.Values) (*http.Client, []string) { q.Del("code"); return nil, nil }, 403},
		"an error as well": {func(_ *sso, q url.Values) (*http.Client, []string) { q.Set("error", "<script>"); return nil, nil }, 403},
		"too late":         {func(s *sso, _ url.Values) (*http.Client, []string) { s.later(10 * time.Minute); return nil, nil }, 400},
		"clock set back":   {func(s *sso, _ url.Values) (*http.Client, []string) { s.later(-10 * time.Minute); return nil, nil }, 400},
		"two cookies of the flow": {func(_ *sso, q url.Values) (*http.Client, []string) {
			return nil, []string{"Cookie: codeword_login_" + q.Get("state")[:8] + "=x"}
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSSO(t, nil)
			path, query, _ := strings.Cut(s.begin(s.browser, "/"), "?")
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			b, headers := c.change(s, q)
			if b == nil {
				b = s.browser
			}
			got := s.do(b, "GET", path+"?"+q.Encode(), nil, headers...)
			if got.status != c.status || (sessionOf(got) != "") != (c.status == 200) || strings.Contains(got.body, "<script") {
				t.Errorf("%d, want %d: %s", got.status, c.status, got.body)
			}
			asked := 0
			s.issuer.With(func() { asked = s.issuer.Asked["/token"] })
			if (asked > 0) != (c.status == 200) {
				t.Errorf("a code was handed in %d times", asked)
			}
		})
	}
}

// TestCallbackOnce: the same answer again gets nobody in, whether the cookie of the login
// is sent again or not.
func TestCallbackOnce(t *testing.T) {
	s := newSSO(t, nil)
	back := s.begin(s.browser, "/")
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, c := range s.browser.Jar.Cookies(u) {
		kept = append(kept, "Cookie: "+c.Name+"="+c.Value)
	}
	if got := s.do(s.browser, "GET", back, nil); got.status != 200 {
		t.Fatalf("%d", got.status)
	}
	for name, headers := range map[string][]string{"without the cookie": nil, "with it": kept} {
		if got := s.do(s.fixture.browser(), "GET", back, nil, headers...); got.status != 400 || sessionOf(got) != "" {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if asked := s.issuer.Asked["/token"]; asked != 1 {
		t.Errorf("a code was handed in %d times", asked)
	}
	// A second server does not know; there the provider refuses the code.
	cfg := s.cfg
	cfg.Login.URL = s.url
	first := s.url
	s.url = s.node(cfg)
	if got := s.do(s.fixture.browser(), "GET", back, nil, kept...); got.status != 400 && got.status != 502 || sessionOf(got) != "" {
		t.Errorf("at another server: %d", got.status)
	}
	s.url = first
}

// TestCookiesThatAreNotOurs: a cookie that was changed, or made for something else, is
// none; and of two nobody knows which is ours.
func TestCookiesThatAreNotOurs(t *testing.T) {
	s := newSSO(t, nil)
	back := s.begin(s.browser, "/")
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	flow := s.browser.Jar.Cookies(u)[0]
	good := sessionOf(s.do(s.browser, "GET", back, nil))
	flipped := func(i int) string {
		b := []byte(good)
		b[i] ^= 1
		return string(b)
	}
	const name = "codeword_console="
	for what, header := range map[string]string{
		"a flow's":          name + flow.Value,
		"cut":               name + good[:len(good)-4],
		"longer":            name + good + "AAAA",
		"flipped first":     name + flipped(0),
		"flipped within":    name + flipped(len(good)/2),
		"flipped tag":       name + flipped(len(good)-2),
		"empty":             name,
		"huge":              name + strings.Repeat("A", 100_000),
		"two":               name + good + "; " + name + good,
		"two, one foreign":  name + "x; " + name + good,
		"of the other name": "__Host-" + name + good,
	} {
		if got := s.do(s.fixture.browser(), "GET", "/admin/v1/keys", nil, "Cookie: "+header); got.status != 401 {
			t.Errorf("%s: %d", what, got.status)
		}
	}
	if got := s.do(s.fixture.browser(), "GET", "/admin/v1/keys", nil, "Cookie: "+name+good); got.status != 200 {
		t.Errorf("as it is: %d", got.status)
	}
	// A session that somebody planted is not the one that a login begins.
	planted := s.fixture.browser()
	planted.Jar.SetCookies(u, []*http.Cookie{{Name: "codeword_console", Value: good}})
	if got := sessionOf(s.do(planted, "GET", s.begin(planted, "/"), nil)); got == "" || got == good {
		t.Error("the login kept the session that was there")
	}
	if got := s.do(s.fixture.browser(), "GET", "/admin/v1/keys", nil, "Cookie: "+name+good); got.status != 401 {
		t.Errorf("the planted session works on: %d", got.status)
	}
}

// TestLoginFromOtherSites: nobody is logged in, or led to the provider, by another site;
// and no frame shows a page.
func TestLoginFromOtherSites(t *testing.T) {
	s := newSSO(t, nil)
	got := s.do(s.browser, "GET", login.BeginPath, nil, "Sec-Fetch-Site: cross-site")
	if got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), "/login?") || len(got.header.Values("Set-Cookie")) != 0 {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := s.do(s.browser, "POST", "/logout", url.Values{}, "Sec-Fetch-Site: cross-site"); got.status != 403 {
		t.Errorf("logout: %d", got.status)
	}
	for _, path := range []string{"/login", s.begin(s.browser, "/"), login.CallbackPath} {
		got := s.do(s.browser, "GET", path, nil, "Sec-Fetch-Site: cross-site")
		if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: %d %s", path, got.status, csp)
		}
	}
	for range 20 {
		s.do(s.browser, "GET", login.BeginPath, nil)
	}
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.browser.Jar.Cookies(u)); n > 6 {
		t.Errorf("the browser has gathered %d cookies", n)
	}
}

// TestReturnPaths: whatever a login is begun with, it leads to this console.
func TestReturnPaths(t *testing.T) {
	s := newSSO(t, nil)
	for _, next := range []string{
		"//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example",
		"/%09/evil.example", "//", "/..//evil.example", "/login", "/login/oidc", "/guard; url=https://evil.example", "/guard\" onload=x", hostile,
	} {
		for path, got := range map[string]answer{
			"provider": s.do(s.browser, "GET", s.begin(s.browser, next), nil),
			"token":    s.do(s.fixture.browser(), "POST", "/login", url.Values{"token": {token}, "next": {next}}),
		} {
			to := got.header.Get("Location")
			if path == "provider" {
				_, to, _ = strings.Cut(got.body, `content="0; url=`)
				to, _, _ = strings.Cut(to, `"`)
			}
			u, err := url.Parse(s.url)
			if err != nil {
				t.Fatal(err)
			}
			if at, err := u.Parse(to); err != nil || at.Host != u.Host || strings.HasPrefix(at.Path, "//") || strings.HasPrefix(at.Path, "/login") || strings.Contains(to, ";") {
				t.Errorf("%s with %q leads to %q", path, next, to)
			}
		}
	}
}

// TestSecureCookies: behind TLS no other host and no plain page can give a browser a
// cookie in our name.
func TestSecureCookies(t *testing.T) {
	s := newSSO(t, func(c *console.Config) { c.Login.URL = "https://console.example" })
	got := s.do(s.browser, "GET", login.BeginPath, nil)
	if to := got.header.Get("Location"); !strings.Contains(to, "redirect_uri=https%3A%2F%2Fconsole.example%2Flogin%2Fcallback") {
		t.Errorf("%s", to)
	}
	cookies := append(got.header.Values("Set-Cookie"), s.do(s.browser, "POST", "/login", url.Values{"token": {token}}).header.Values("Set-Cookie")...)
	if len(cookies) != 2 {
		t.Fatalf("%v", cookies)
	}
	for _, c := range cookies {
		if !strings.HasPrefix(c, "__Host-") || !strings.Contains(c, "Secure") || !strings.Contains(c, "Path=/;") || strings.Contains(c, "Domain") {
			t.Errorf("%s", c)
		}
	}
	value, _, _ := strings.Cut(strings.TrimPrefix(cookies[1], "__Host-"), ";")
	if got := s.do(s.fixture.browser(), "GET", "/keys", nil, "Cookie: "+value); got.status != 303 {
		t.Errorf("the cookie without its prefix: %d", got.status)
	}
}

// TestExchangesAreBounded: anybody can bring codes, and does not flood the provider
// through us.
func TestExchangesAreBounded(t *testing.T) {
	s := newSSO(t, nil)
	const most, more = 16, 4
	var browsers []*http.Client
	var backs []string
	for range most + more {
		b := s.fixture.browser()
		browsers, backs = append(browsers, b), append(backs, s.begin(b, "/"))
	}
	release := make(chan struct{})
	s.issuer.With(func() {
		s.issuer.Answer = func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	answers := make(chan string, most+more)
	for i, b := range browsers {
		go func() { answers <- s.do(b, "GET", backs[i], nil).body }()
	}
	const busy = "Too many log in at once."
	for range more {
		if body := <-answers; !strings.Contains(body, busy) {
			t.Errorf("answered while all places were taken: %s", body)
		}
	}
	close(release)
	for range most {
		if body := <-answers; strings.Contains(body, busy) {
			t.Error("refused for nothing")
		}
	}
}
