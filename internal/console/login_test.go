package console_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit"
	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/console/login/logintest"
)

// sso is a whole console at which people log in at an issuer.
type sso struct {
	*whole

	issuer *logintest.Issuer
	cfg    console.Config
}

// newSSO starts it; change has the last word on its settings.
func newSSO(t *testing.T, change func(*console.Config)) *sso {
	t.Helper()
	w := newWhole(t)
	s := &sso{whole: w, issuer: logintest.Start(t, w.cfg.Now)}
	s.cfg = w.made
	s.cfg.Login = login.Config{
		Audit: &audit.Trail{Store: w.memory, Now: w.cfg.Now},
		Provider: login.Settings{
			Issuer: s.issuer.URL, ClientID: logintest.ClientID, ClientSecret: logintest.ClientSecret, RoleClaim: "groups",
			Viewers: []string{"sms-viewers"}, Operators: []string{"sms-operators"}, Admins: []string{"sms-admins"}, Scopes: []string{"profile", "email"},
		},
	}
	if change != nil {
		change(&s.cfg)
	}
	s.url = s.node(s.cfg)
	s.browser = s.fixture.browser()
	return s
}

// node runs a console with those settings and returns its URL.
func (s *sso) node(cfg console.Config) string {
	s.t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	if cfg.Login.URL == "" {
		cfg.Login.URL = "http://" + ts.Listener.Addr().String()
	}
	c, err := console.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ts.Config.Handler = c.Handler()
	ts.Start()
	s.t.Cleanup(ts.Close)
	return ts.URL
}

func (s *sso) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

// begin goes to the issuer and returns the path with which it leads back.
func (s *sso) begin(b *http.Client, next string) string {
	s.t.Helper()
	got := s.do(b, "GET", login.BeginPath+"?next="+url.QueryEscape(next), nil)
	if got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), s.issuer.URL+"/authorize?") {
		s.t.Fatalf("begin: %d %v", got.status, got.header)
	}
	return s.authorize(b, got.header.Get("Location"))
}

// authorize follows to the issuer and returns the path with which it leads back.
func (s *sso) authorize(b *http.Client, to string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, to, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := b.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || back.Path != login.CallbackPath {
		s.t.Fatalf("the issuer leads to %q (%d)", resp.Header.Get("Location"), resp.StatusCode)
	}
	return back.RequestURI()
}

// enter logs in a browser of its own as somebody of those groups.
func (s *sso) enter(groups ...string) *http.Client {
	s.t.Helper()
	s.issuer.With(func() { s.issuer.User["groups"] = groups })
	b := s.fixture.browser()
	if got := s.do(b, "GET", s.begin(b, "/"), nil); got.status != 200 || !strings.Contains(got.body, "Logged in") {
		s.t.Fatalf("login as %v: %d %s", groups, got.status, got.body)
	}
	return b
}

func sessionOf(a answer) string {
	for _, c := range a.header.Values("Set-Cookie") {
		if strings.HasPrefix(c, "codeword_console=") && !strings.Contains(c, "Max-Age=0") {
			return strings.TrimPrefix(strings.SplitN(c, ";", 2)[0], "codeword_console=")
		}
	}
	return ""
}

func TestLoginAtTheProvider(t *testing.T) {
	s := newSSO(t, nil)
	b := s.browser
	if got := s.do(b, "GET", "/guard?x=1", nil); got.header.Get("Location") != "/login?next=%2Fguard" {
		t.Errorf("led to %q", got.header.Get("Location"))
	}
	page := s.do(b, "GET", "/login?next=%2Fguard", nil)
	if !strings.Contains(page.body, `href="/login/oidc?next=%2Fguard"`) || !strings.Contains(page.body, `type="password"`) {
		t.Fatalf("%s", page.body)
	}
	got := s.do(b, "GET", s.begin(b, "/guard"), nil)
	if got.status != 200 || !strings.Contains(got.body, `content="0; url=/guard"`) || sessionOf(got) == "" {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	for _, c := range got.header.Values("Set-Cookie") {
		if !strings.Contains(c, "HttpOnly") || strings.HasPrefix(c, "codeword_console=") && !strings.Contains(c, "SameSite=Strict") {
			t.Errorf("%s", c)
		}
		if strings.Contains(c, "alice") {
			t.Errorf("the cookie tells who it is: %s", c)
		}
	}
	if page := s.get("/guard"); page.status != 200 || !strings.Contains(page.body, "alice@example.com") || !strings.Contains(page.body, "operator") {
		t.Errorf("%d %s", page.status, page.body)
	}
	s.fill(s.client("shop", ""), 1, "main")
	if got := s.do(b, "POST", "/messages/"+messageID.String()+"/reveal", url.Values{}); got.status != 200 {
		t.Errorf("reveal: %d", got.status)
	}
	actor := "console:alice@example.com sub:alice-1 iss:" + s.issuer.URL
	if want := actor + " " + messageID.String(); len(s.messages.revealed) != 1 || s.messages.revealed[0] != want {
		t.Errorf("%v, want %s", s.messages.revealed, want)
	}
	if !slices.Contains(s.memory.kinds(), actor+" console.login") {
		t.Errorf("%v", s.memory.kinds())
	}
	cookie := "Cookie: codeword_console=" + sessionOf(got)
	if got := s.do(s.fixture.browser(), "GET", "/metrics", nil, cookie); got.status != 200 {
		t.Errorf("the cookie alone: %d", got.status)
	}
	s.do(b, "POST", "/logout", url.Values{})
	if got := s.do(s.fixture.browser(), "GET", "/metrics", nil, cookie); got.status != 401 {
		t.Errorf("after the logout: %d", got.status)
	}
	if log := s.log.String(); strings.Contains(log, "alice") || strings.Contains(log, logintest.ClientSecret) {
		t.Errorf("the log tells too much: %s", log)
	}
}

// TestRolesOfRoutes walks all routes as everybody: who has too little of a role gets
// 403, and whoever has enough of it gets through to what is behind.
func TestRolesOfRoutes(t *testing.T) {
	s := newSSO(t, nil)
	id := s.client("shop", "")
	s.fill(id, 1, "main")
	people := map[login.Role]*http.Client{
		login.Nobody: s.fixture.browser(), login.Viewer: s.enter("sms-viewers"),
		login.Operator: s.enter("sms-viewers", "sms-operators"), login.Admin: s.enter("sms-admins", "sms-viewers"),
	}
	for _, route := range slices.Sorted(maps.Keys(console.Needs())) {
		need := console.Needs()[route]
		method, path, _ := strings.Cut(route, " ")
		slow := strings.HasSuffix(path, "/profile") || strings.HasSuffix(path, "/trace") || path == livePath // which does not end
		page := !strings.HasPrefix(path, "/admin/") && !strings.HasPrefix(path, "/metrics") && !strings.HasPrefix(path, "/debug/")
		part := map[bool]string{true: id, false: messageID.String()}[strings.Contains(path, "/clients/")]
		path = strings.NewReplacer("{$}", "", "{id}", part, "{action}", "nothing", "{phoneId}", "phone-number-live-1", "{name}", "main").Replace(path)
		if strings.Contains(path, "/phones/") {
			path += "?client=" + id
		}
		for role, b := range people {
			if slow && role >= need {
				continue
			}
			before := len(s.memory.events)
			got := s.do(b, method, path, map[bool]url.Values{true: {}}[page && method == "POST"])
			switch {
			case role == login.Nobody && page:
				if got.status != 303 || !strings.HasPrefix(got.header.Get("Location"), "/login") {
					t.Errorf("%s as nobody: %d", route, got.status)
				}
			case role == login.Nobody:
				if got.status != 401 {
					t.Errorf("%s as nobody: %d", route, got.status)
				}
			case role < need:
				if got.status != 403 || page == (got.code == "FORBIDDEN_ROLE") || !strings.Contains(got.body, "needs the role "+need.String()) {
					t.Errorf("%s as %s: %d %s", route, role, got.status, got.body)
				}
			default:
				if got.status == 403 || got.status == 401 || got.status == 405 || got.code == "NOT_FOUND_ENDPOINT" && !strings.HasSuffix(path, "/nothing") {
					t.Errorf("%s as %s: %d %s", route, role, got.status, got.body)
				}
			}
			if role < need && len(s.memory.events) != before {
				t.Errorf("%s as %s has changed something", route, role)
			}
		}
	}
}

// TestRoutesHaveRoles: a route that no role is named for cannot be registered.
func TestRoutesHaveRoles(t *testing.T) {
	c, err := console.New(newWhole(t).made)
	if err != nil {
		t.Fatal(err)
	}
	for name, register := range map[string]func(string){"for a role": c.Register, "for everybody": c.RegisterFree} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: it was registered", name)
				}
			}()
			register("/admin/v1/new")
		}()
	}
}

// TestPagesShowWhatARoleMayDo: no page has a form or a link that its reader may not use.
func TestPagesShowWhatARoleMayDo(t *testing.T) {
	s := newSSO(t, nil)
	id := s.client("shop", `{"safeNumbers":["+16502180000","+1650219"]}`)
	s.fill(id, 1, "main")
	target := regexp.MustCompile(`(?:action|href)="(/[^"?#]*)`)
	for role, groups := range map[login.Role]string{login.Viewer: "sms-viewers", login.Operator: "sms-operators", login.Admin: "sms-admins"} {
		b := s.enter(groups)
		s.browser = b
		for _, path := range pages(id) {
			got := s.do(b, "GET", path, nil)
			if got.status == 403 {
				continue
			}
			s.checkPage(path, got, true)
			for _, m := range target.FindAllStringSubmatch(got.body, -1) {
				method := "GET"
				if strings.HasPrefix(m[0], "action") && strings.Contains(got.body, `method="post" action="`+m[1]+`"`) {
					method = "POST"
				}
				if m[1] == "/logout" || method == "POST" && strings.HasSuffix(m[1], id) && role < login.Admin {
					continue // the settings, whose fields cannot be used
				}
				if answer := s.do(b, method, m[1], map[bool]url.Values{true: {}}[method == "POST"]); answer.status == 403 {
					t.Errorf("%s as %s: it has %s %s", path, role, method, m[1])
				}
			}
			if role < login.Admin && strings.Contains(path, "/clients/") && strings.Contains(got.body, "16502180000") {
				t.Errorf("%s as %s tells a number", path, role)
			}
		}
	}
}

// TestViewersSeeNoNumbers, nor find them by trying.
func TestViewersSeeNoNumbers(t *testing.T) {
	s := newSSO(t, nil)
	id := s.client("shop", `{"safeNumbers":["+16502180000","+1650219"]}`)
	s.fill(id, 1, "main")
	viewer, operator, admin := s.enter("sms-viewers"), s.enter("sms-operators"), s.enter("sms-admins")
	for _, path := range []string{"/admin/v1/clients", "/admin/v1/clients/" + id} {
		if got := s.do(viewer, "GET", path, nil).body; !strings.Contains(got, `"safeNumbers":["…0000","+1650219"]`) {
			t.Errorf("%s tells a viewer %s", path, got)
		}
		if got := s.do(admin, "GET", path, nil).body; !strings.Contains(got, `"safeNumbers":["+16502180000","+1650219"]`) {
			t.Errorf("%s tells an admin %s", path, got)
		}
	}
	for _, c := range []struct {
		who    *http.Client
		to     string
		status int
	}{
		{viewer, "%2B16502180000", 400},
		{viewer, "+16502180000", 400},
		{viewer, "16502180000", 400},
		{viewer, "phone-number-live-1", 200},
		{operator, "%2B16502180000", 200},
	} {
		for _, path := range []string{"/messages", "/admin/v1/messages"} {
			if got := s.do(c.who, "GET", path+"?to="+c.to, nil); got.status != c.status {
				t.Errorf("%s?to=%s: %d, want %d", path, c.to, got.status, c.status)
			}
		}
	}
}

// TestViewersSeeNoNumbersOfClientsThatCannotBeRead: neither in the settings nor in what is
// wrong with them, which quotes it.
func TestViewersSeeNoNumbersOfClientsThatCannotBeRead(t *testing.T) {
	s := newSSO(t, nil)
	id := s.client("shop", "")
	s.memory.clients[0].Settings = []byte(`{"safeNumbers": ["+16502180000", "+442079460000"]}`)
	for who, whole := range map[string]bool{"sms-viewers": false, "sms-operators": false, "sms-admins": true} {
		b := s.enter(who)
		for _, path := range []string{"/clients", "/clients/" + id, "/guard", "/admin/v1/clients", "/admin/v1/clients/" + id} {
			got := s.do(b, "GET", path, nil)
			if tells := strings.Contains(got.body, "6502180000") || strings.Contains(got.body, "442079460000"); got.status != 200 || tells && !whole {
				t.Errorf("%s as %s: %d, a number is told: %v", path, who, got.status, tells)
			}
		}
		got := s.do(b, "GET", "/admin/v1/clients/"+id, nil).body
		if strings.Contains(got, "442079460000") != whole || strings.Contains(got, `"safeNumbers":["…0000","…0000"]`) == whole || !strings.Contains(got, `"problem":"`) {
			t.Errorf("as %s: %s", who, got)
		}
	}
}

// TestHeadExportsNothing: an export is recorded and told, so it is not for a HEAD.
func TestHeadExportsNothing(t *testing.T) {
	s := newSSO(t, nil)
	phones := s.cfg.Phones.(*fakePhones)
	path := "/admin/v1/phones/phone-number-live-1/export?client=c"
	if got := s.do(s.browser, "HEAD", path, nil, bearer); got.status != 405 || got.header.Get("Allow") != "GET" || len(phones.asked) != 0 {
		t.Errorf("HEAD: %d, asked %v", got.status, phones.asked)
	}
	if got := s.do(s.browser, "GET", path, nil, bearer); got.status != 200 || len(phones.asked) != 1 {
		t.Errorf("GET: %d, asked %v", got.status, phones.asked)
	}
}

// TestHostileNames: what somebody calls himself at the provider does no harm here.
func TestHostileNames(t *testing.T) {
	s := newSSO(t, nil)
	for _, name := range []string{
		hostile, "bob sub:admin-1 iss:https://evil", strings.Repeat("a", 100_000), strings.Repeat("\u202e", 5000), "\xff\xfe", "", "  ",
	} {
		s.issuer.With(func() {
			s.issuer.User = map[string]any{"sub": "mallory", "email": name, "groups": []string{"sms-admins"}}
		})
		b := s.fixture.browser()
		got := s.do(b, "GET", s.begin(b, "/"), nil)
		if got.status != 200 || len(sessionOf(got)) > 3000 {
			t.Fatalf("%.20q: %d, a cookie of %d bytes", name, got.status, len(sessionOf(got)))
		}
		page := s.do(b, "GET", "/keys", nil)
		s.checkPage("/keys", page, true)
		if page.status != 200 || strings.ContainsAny(page.body, "\u202e\x1b") {
			t.Errorf("%.20q: %d", name, page.status)
		}
		last := s.memory.events[len(s.memory.events)-1]
		fields := strings.Fields(last.Actor)
		if len(last.Actor) > 600 || len(fields) != 3 || fields[1] != "sub:mallory" || fields[2] != "iss:"+s.issuer.URL ||
			strings.ContainsFunc(last.Actor, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%.20q: actor %q", name, last.Actor)
		}
		raw, err := json.Marshal(last.Data)
		if err != nil || strings.Contains(string(raw), "evil") {
			t.Errorf("%s", raw)
		}
	}
}
