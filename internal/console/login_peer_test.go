package console_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/console/login"
	"codeword/internal/console/login/logintest"
	"codeword/test/peers"
)

// TestAgainstAnotherProvider logs in at npm's oidc-provider, as a browser does.
func TestAgainstAnotherProvider(t *testing.T) {
	w := newWhole(t)
	ts := httptest.NewUnstartedServer(nil)
	cfg := w.made
	cfg.Now = time.Now // the peer's
	cfg.Login.URL = "http://" + ts.Listener.Addr().String()
	cfg.Login.Provider = login.Settings{
		Issuer:   peers.Start(t, "oidc-provider.js", logintest.ClientID, logintest.ClientSecret, cfg.Login.URL+login.CallbackPath).Line(),
		ClientID: logintest.ClientID, ClientSecret: logintest.ClientSecret, RoleClaim: "groups",
		Operators: []string{"sms-operators"}, Scopes: []string{"profile", "email"}, EmailDomains: []string{"example.com"},
	}
	c, err := console.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts.Config.Handler = c.Handler()
	ts.Start()
	t.Cleanup(ts.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	get := func(path string) (string, *url.URL) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), resp.Request.URL
	}
	if body, at := get(login.BeginPath + "?next=%2Fguard"); at.Path != login.CallbackPath || !strings.Contains(body, `url=/guard"`) {
		t.Fatalf("the login ends at %s: %s\n%s", at, body, w.log.String())
	}
	if body, at := get("/guard"); at.Path != "/guard" || !strings.Contains(body, "alice@example.com") || !strings.Contains(body, "operator") {
		t.Errorf("%s: %s", at, body)
	}
	notes, err := login.Check(t.Context(), login.Config{URL: cfg.Login.URL, Provider: cfg.Login.Provider, Now: time.Now})
	if err != nil || len(notes) != 0 {
		t.Errorf("doctor says %v, %v", notes, err)
	}
	wrong := cfg.Login.Provider
	wrong.ClientSecret = "wrong"
	if _, err := login.Check(t.Context(), login.Config{URL: cfg.Login.URL, Provider: wrong, Now: time.Now}); err == nil || !strings.Contains(err.Error(), "client secret is wrong") && !strings.Contains(err.Error(), "oidc-client-secret is wrong") {
		t.Errorf("a wrong secret: %v", err)
	}
}
