package session_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

func TestGrantAnonymous(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	g := w.Grant(client, nil, store.PhoneID{7}, start)
	s := g.Session
	if g.Upgrade || g.Known || s.Client != client.ID || s.Phone != (store.PhoneID{7}) || s.Issuer != "" {
		t.Errorf("grant %+v", g)
	}
	if !slices.Equal(s.AMR, []string{"otp", "sms"}) {
		t.Errorf("amr %v", s.AMR)
	}
	for name, id := range map[string]uuid.UUID{"session": uuid.UUID(s.ID), "user": uuid.UUID(s.User)} {
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Errorf("%s id %v is no UUIDv7", name, id)
		}
	}
	if !s.AuthTime.Equal(start) || !s.CreatedAt.Equal(start) || !s.ExpiresAt.Equal(start.Add(10*time.Minute)) {
		t.Errorf("times %+v", s)
	}
	again := w.Grant(client, nil, store.PhoneID{7}, start).Session
	if again.ID == s.ID || again.User == s.User {
		t.Error("two grants share an id")
	}
	var nobody *session.Principal
	if nobody.Binding() != "" {
		t.Error("nobody is bound")
	}
}

func TestGrantUpgrade(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	s, token := w.signIn(t, client, nil)
	p := w.mustVerify(t, client, token)
	w.clock.Advance(time.Minute)
	now := w.clock.Now()
	g := w.Grant(client, p, store.PhoneID{9}, now)
	if !g.Upgrade || !g.Known || g.Session.ID != s.ID || g.Session.User != s.User {
		t.Errorf("grant %+v does not upgrade %+v", g, s)
	}
	if !g.Session.AuthTime.Equal(now) || !g.Session.CreatedAt.Equal(start) || g.Session.Phone != (store.PhoneID{9}) {
		t.Errorf("grant %+v", g)
	}
	// SMS twice is one factor (CVE-2025-64103).
	if !slices.Equal(g.Session.AMR, []string{"otp", "sms"}) {
		t.Errorf("amr %v after SMS on SMS", g.Session.AMR)
	}
	// Two factors stay two, and the federated subject stays known.
	two := *p
	two.Session.AMR = []string{"mfa", "otp", "pwd", "sms"}
	two.Session.Issuer, two.Session.Subject = "https://idp.example", "alice"
	got := w.Grant(client, &two, store.PhoneID{9}, now).Session
	if !slices.Equal(got.AMR, two.Session.AMR) || got.Issuer != "https://idp.example" || got.Subject != "alice" {
		t.Errorf("upgrade of a two-factor session: %+v", got)
	}
}

func TestMint(t *testing.T) {
	w := newWorld(t)
	live := newClient("client-live")
	live.Live = true
	for _, c := range []*tenant.Client{newClient("client-a"), live} {
		s, token := w.signIn(t, c, nil)
		raw, err := json.Marshal(payloadOf(t, token))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"iss": "https://codeword.example", "sub": "user-" + c.Env() + "-" + s.User.String(), "aud": c.ID,
			"sid": s.ID.String(), "iat": start.Unix(), "nbf": start.Unix(), "exp": start.Unix() + 300,
			"auth_time": start.Unix(), "amr": []string{"otp", "sms"},
			"phoneId": "phone-number-" + c.Env() + "-" + s.Phone.String(),
		}
		got := payloadOf(t, token)
		if _, err := uuid.Parse(got["jti"].(string)); err != nil {
			t.Errorf("jti: %v", err)
		}
		want["jti"] = got["jti"]
		wantJSON, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) != string(wantJSON) {
			t.Errorf("claims\n%s, want\n%s", raw, wantJSON)
		}
		again, err := w.Mint(t.Context(), c, s, start)
		if err != nil {
			t.Fatal(err)
		}
		if payloadOf(t, again)["jti"] == got["jti"] {
			t.Error("two tokens share a jti")
		}
	}
	federated := w.Grant(live, &session.Principal{Subject: &session.Subject{Issuer: "https://idp.example", Subject: `a"<b`}}, store.PhoneID{}, start)
	token, err := w.Mint(t.Context(), live, federated.Session, start)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := payloadOf(t, token)["federated"].(map[string]any)
	if f["iss"] != "https://idp.example" || f["sub"] != `a"<b` {
		t.Errorf("federated %v", f)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	client := newClient("client-a")
	_, token := w.signIn(t, client, nil)
	refresh := func() (string, bool) {
		t.Helper()
		p := w.mustVerify(t, client, token)
		jwt, ok, err := w.Refresh(t.Context(), client, p, w.clock.Now())
		if err != nil || ok != (jwt != "") {
			t.Fatalf("%q, %v, %v", jwt, ok, err)
		}
		return jwt, ok
	}
	w.clock.Advance(150 * time.Second)
	if _, ok := refresh(); ok {
		t.Error("refreshed with half of its life left")
	}
	w.clock.Advance(time.Second)
	first, ok := refresh()
	if !ok {
		t.Fatal("not refreshed with less than half of its life left")
	}
	w.clock.Advance(5 * time.Second)
	if second, _ := refresh(); second != first {
		t.Error("a burst of calls does not share the fresh JWT")
	}
	w.clock.Advance(10 * time.Second)
	third, _ := refresh()
	if third == first {
		t.Error("the fresh JWT is shared for too long")
	}
	if got, old := payloadOf(t, third), payloadOf(t, token); got["sid"] != old["sid"] || got["sub"] != old["sub"] ||
		got["auth_time"] != old["auth_time"] || got["exp"] == old["exp"] {
		t.Errorf("refreshed %v from %v", got, old)
	}
	w.mustVerify(t, client, third)

	// After a step-up nobody gets what was made before it.
	p := w.mustVerify(t, client, token)
	up := w.Grant(client, p, store.PhoneID{1}, w.clock.Now()).Session
	up.AMR = []string{"mfa", "otp", "pwd", "sms"}
	w.store.sessions[up.ID] = up
	if _, err := w.Mint(t.Context(), client, up, w.clock.Now()); err != nil {
		t.Fatal(err)
	}
	fresh, _ := refresh()
	if amr, _ := payloadOf(t, fresh)["amr"].([]any); len(amr) != 4 {
		t.Errorf("amr %v after the step-up", amr)
	}

	if _, ok, err := w.Refresh(t.Context(), client, nil, start); ok || err != nil {
		t.Error("refreshed nothing")
	}
	foreign := &session.Principal{Subject: &session.Subject{}}
	if _, ok, err := w.Refresh(t.Context(), client, foreign, start); ok || err != nil {
		t.Error("refreshed a foreign token")
	}
}

// What a trusted issuer says about its methods (RFC 8176), through the front
// door: token, principal, grant.
func TestForeignMethods(t *testing.T) {
	idp := newProvider(t)
	w := newWorld(t, func(c *session.Config) { c.HTTPClient = idp.server.Client() })
	client := newClient("client-a", idp.trusted)
	many := append(slices.Repeat([]string{"xxx"}, 40), "pwd")
	for name, c := range map[string]struct {
		amr  any
		want string
	}{
		"absent":               {nil, "mfa otp sms"},
		"empty":                {[]string{}, "mfa otp sms"},
		"password":             {[]string{"pwd"}, "mfa otp pwd sms"},
		"hardware key":         {[]string{"hwk"}, "hwk mfa otp sms"},
		"finger":               {[]string{"fpt", "swk"}, "fpt mfa otp sms swk"},
		"mfa by its word":      {[]string{"mfa"}, "mfa otp sms"},
		"sms":                  {[]string{"sms"}, "otp sms"},
		"sms and otp":          {[]string{"otp", "sms"}, "otp sms"},
		"phone call":           {[]string{"tel"}, "otp sms tel"},
		"code":                 {[]string{"otp"}, "otp sms"},
		"key on the phone":     {[]string{"swk"}, "otp sms swk"},
		"presence is nothing":  {[]string{"user", "sms"}, "otp sms user"},
		"place and risk":       {[]string{"geo", "rba"}, "geo otp rba sms"},
		"unregistered":         {[]string{"magic", "phone"}, "otp sms"},
		"sms and password":     {[]string{"sms", "pwd"}, "mfa otp pwd sms"},
		"one string":           {"pwd", "mfa otp pwd sms"},
		"a number":             {7, "otp sms"},
		"an object":            {map[string]any{"pwd": true}, "otp sms"},
		"mixed":                {[]any{1, "pwd", nil, "pwd"}, "mfa otp pwd sms"},
		"case matters":         {[]string{"PWD"}, "otp sms"},
		"many, then something": {many, "otp sms"},
		"injection":            {[]string{`pwd","mfa`}, "otp sms"},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.mustVerify(t, client, idp.token(t, func(claims map[string]any) {
				if c.amr != nil {
					claims["amr"] = c.amr
				}
			}))
			g := w.Grant(client, p, store.PhoneID{1}, start)
			if got := strings.Join(g.Session.AMR, " "); got != c.want {
				t.Errorf("amr %q, want %q", got, c.want)
			}
			if g.Upgrade || !g.Known || g.Session.User != p.UserID() || g.Session.Issuer != idp.url() || g.Session.Subject != "alice" {
				t.Errorf("grant %+v", g)
			}
		})
	}
}
