package app_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/internal/app"
	"codeword/internal/console/login/logintest"
)

// TestDoctorAsksTheProvider: it says what would keep people from logging in.
func TestDoctorAsksTheProvider(t *testing.T) {
	dir := t.TempDir()
	d, err := app.StartDev(t.Context(), app.DevConfig{
		Data: dir, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(logintest.ClientSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*logintest.Issuer)
		args   []string
		code   int
		want   string
	}{
		"good":           {func(*logintest.Issuer) {}, nil, 0, "ok    OpenID provider"},
		"wrong secret":   {func(*logintest.Issuer) {}, []string{"--oidc-client-secret", "wrong", "--oidc-client-secret-file", ""}, 1, "oidc-client-secret is wrong"},
		"down":           {func(i *logintest.Issuer) { i.Down = true }, nil, 1, "discovery: 503"},
		"another issuer": {func(i *logintest.Issuer) { i.Describe = func(d map[string]any) { d["issuer"] = "https://x.example" } }, nil, 1, "https://x.example"},
		"no PKCE": {func(i *logintest.Issuer) {
			i.Describe = func(d map[string]any) { d["code_challenge_methods_supported"] = []string{"plain"} }
		}, nil, 1, "PKCE"},
		"silent on PKCE": {func(i *logintest.Issuer) {
			i.Describe = func(d map[string]any) { delete(d, "code_challenge_methods_supported") }
		}, nil, 0, "warn  OpenID provider"},
		"no keys":          {func(i *logintest.Issuer) { i.Describe = func(d map[string]any) { d["jwks_uri"] = i.URL + "/none" } }, nil, 1, "keys"},
		"unknown claim":    {func(*logintest.Issuer) {}, []string{"--oidc-role-claim", "roles"}, 0, "does not name the claim roles"},
		"unknown scope":    {func(*logintest.Issuer) {}, []string{"--oidc-scopes", "groups"}, 0, "does not name the scope groups"},
		"half of it":       {func(*logintest.Issuer) {}, []string{"--oidc-client-id", ""}, 1, "oidc-client-id: required"},
		"a strange answer": {func(i *logintest.Issuer) { i.Answer = http.NotFound }, nil, 0, "does not tell whether the client secret is right"},
	} {
		issuer := logintest.Start(t, time.Now)
		c.change(issuer)
		args := append([]string{
			"doctor", "--data", dir, "--admin-url", "https://console.example", "--oidc-issuer", issuer.URL, "--oidc-client-id", logintest.ClientID,
			"--oidc-client-secret-file", secret, "--oidc-admins", "sms-admins",
		}, c.args...)
		r := run(t, args...)
		if r.code != c.code || !strings.Contains(r.out, c.want) || strings.Contains(r.out+r.err, logintest.ClientSecret) {
			t.Errorf("%s: %+v, want %q", name, r, c.want)
		}
	}
}

// TestLoginIsInTheTrail: the whole service, with its own store and keys.
func TestLoginIsInTheTrail(t *testing.T) {
	d, err := app.StartDev(t.Context(), app.DevConfig{
		Data: t.TempDir(), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ask := func(method, path, body string, headers ...string) (*http.Response, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, d.AdminURL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := (&http.Transport{}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var doc map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&doc) // pages are none
		return resp, doc
	}
	form := url.Values{"token": {d.AdminToken}}.Encode()
	resp, _ := ask("POST", "/login", form, "Content-Type", "application/x-www-form-urlencoded")
	cookie, _, _ := strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	if resp.StatusCode != http.StatusSeeOther || cookie == "" {
		t.Fatalf("login: %d", resp.StatusCode)
	}
	_, doc := ask("GET", "/admin/v1/events?kind=console.", "", "Cookie", cookie)
	events, _ := doc["events"].([]any)
	if len(events) != 1 {
		t.Fatalf("%v", doc)
	}
	if e, _ := events[0].(map[string]any); e["kind"] != "console.login" || e["actor"] != "token" {
		t.Errorf("%v", e)
	}
	ask("POST", "/logout", "", "Cookie", cookie)
	if resp, _ := ask("GET", "/admin/v1/events", "", "Cookie", cookie); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", resp.StatusCode)
	}
}
