package tenant_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

func TestDefaults(t *testing.T) {
	if err := tenant.Defaults().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{"", "{}", " { } "} {
		s, err := tenant.ParseSettings([]byte(raw))
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if s.CodeLength != 6 || time.Duration(s.CodeLifetime) != 10*time.Minute || s.MaxAttempts != 5 ||
			s.PhoneFailures.Max != 15 || s.PhoneDay.Max != 10 || s.PhoneBurst.Burst != 3 ||
			time.Duration(s.TokenLifetime) != 5*time.Minute || time.Duration(s.SessionIdle) != 10*time.Minute ||
			s.Route != tenant.RouteInbox || s.RequireAuthorization {
			t.Errorf("%q: %+v is not the documented policy", raw, s)
		}
	}
	// What is written is read back.
	want, _ := tenant.ParseSettings([]byte(`{"codeLength":8,"phoneBurst":{"burst":5}}`))
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tenant.ParseSettings(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.CodeLength != 8 || got.PhoneBurst != (tenant.Rate{Burst: 5, Every: tenant.Duration(time.Minute)}) {
		t.Errorf("%+v", got)
	}
}

func TestSettingsRules(t *testing.T) {
	issuer := func(fields string) string { return `{"trustedIssuers":[{` + fields + `}]}` }
	const good = `"issuer":"https://id.example","audience":"a"`
	for _, tc := range []struct{ raw, want string }{
		{`{"brand":""}`, "brand"},
		{`{"brand":"` + strings.Repeat("x", 33) + `"}`, "brand"},
		{`{"brand":"two\nlines"}`, "brand"},
		{`{"brand":"bell\u0007"}`, "brand"},
		{`{"brand":"right\u202eleft"}`, "brand"},
		{`{"codeLength":3}`, "codeLength"},
		{`{"codeLength":11}`, "codeLength"},
		{`{"codeLength":6.5}`, "codeLength"},
		{`{"codeLength":"6"}`, "codeLength"},
		{`{"codeLength":null}`, "codeLength"},
		{`{"codeLifetime":"59s"}`, "codeLifetime"},
		{`{"codeLifetime":"15m1s"}`, "codeLifetime"},
		{`{"codeLifetime":600}`, "codeLifetime"},
		{`{"codeLifetime":"ten minutes"}`, "write it like"},
		{`{"maxAttempts":0}`, "maxAttempts"},
		{`{"maxAttempts":11}`, "maxAttempts"},
		{`{"tokenLifetime":"29s"}`, "tokenLifetime"},
		{`{"tokenLifetime":"24h1s","sessionIdle":"48h"}`, "tokenLifetime"},
		{`{"sessionIdle":"4m"}`, "sessionIdle: shorter"},
		{`{"sessionIdle":"721h"}`, "sessionIdle: over"},
		{`{"phoneBurst":{"burst":-1}}`, "phoneBurst"},
		{`{"phoneBurst":{"burst":0}}`, "phoneBurst"},
		{`{"clientRate":{"every":"0s"}}`, "clientRate"},
		{`{"addressRate":{"every":"-1s"}}`, "addressRate"},
		{`{"clientRate":{"burst":1000000,"every":"24h"}}`, "clientRate: burst times every"},
		{`{"clientRate":{"burst":9223372036854775807,"every":"1ns"}}`, "clientRate: burst times every"},
		{`{"phoneDay":{"max":101}}`, "phoneDay"},
		{`{"phoneDay":{"max":0}}`, "phoneDay"},
		{`{"phoneFailures":{"max":-1}}`, "phoneFailures"},
		{`{"phoneFailures":{"period":"0s"}}`, "phoneFailures"},
		{`{"phoneFailures":{"period":"25h"}}`, "phoneFailures: period is over 24h"},
		{`{"allowedRegions":["US","CA"]}`, `"CA"`},
		{`{"allowedRegions":["us"]}`, `"us"`},
		{`{"route":"pigeon"}`, "route"},
		{issuer(`"issuer":"http://id.example","audience":"a"`), "trustedIssuers[0]: issuer: must be https"},
		{issuer(`"issuer":"id.example","audience":"a"`), "trustedIssuers[0]: issuer: not a URL"},
		{issuer(`"issuer":"https://u:p@id.example","audience":"a"`), "trustedIssuers[0]: issuer: not a URL"},
		{issuer(`"issuer":"https://id.example"`), "trustedIssuers[0]: audience"},
		{issuer(good + `,"jwksUrl":"http://id.example/keys"`), "trustedIssuers[0]: jwksUrl"},
		{issuer(good + `,"algorithms":["none"]`), `"none"`},
		{issuer(good + `,"algorithms":["ES256","HS256"]`), `"HS256"`},
		{issuer(good + `},{` + good), "trustedIssuers[1]: issuer is in the list already"},
		{issuer(good + `,"extra":1`), "extra"},
		// The form.
		{`{"codeLenght":6}`, "codeLenght"},
		{`{"CodeLength":6}`, "CodeLength"},
		{`{"codeLength":6,"codeLength":8}`, "duplicate"},
		{`{"phoneBurst":{"burst":1,"burst":2}}`, "duplicate"},
		{`null`, "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`7`, "not a JSON object"},
		{`{"codeLength":6}]`, "settings:"},
		{`{"codeLength":6}}`, "settings:"},
		{`{"codeLength":6} {}`, "settings:"},
		{`{"codeLength":6,}`, "settings:"},
		{`{"brand":"` + "\xff" + `"}`, "settings:"},
		{`{`, "settings:"},
		{"\x00", "settings:"},
	} {
		_, err := tenant.ParseSettings([]byte(tc.raw))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.raw, err, tc.want)
		}
	}
	for _, raw := range []string{
		`{"brand":"Café №1"}`, `{"codeLength":4}`, `{"codeLength":10}`, `{"codeLifetime":"15m"}`, `{"tokenLifetime":"30s"}`,
		`{"sessionIdle":"5m"}`, `{"sessionIdle":"720h"}`, `{"phoneBurst":{"burst":0,"every":"0s"}}`,
		`{"phoneDay":{"max":0,"period":"0s"}}`, `{"allowedRegions":[]}`, `{"allowedRegions":["US","PR","VI","GU","AS","MP"]}`,
		issuer(`"issuer":"http://127.0.0.1:9/x","audience":"a","algorithms":["EdDSA"]`), issuer(good + `},{"issuer":"https://id2.example","audience":"a"`),
	} {
		if _, err := tenant.ParseSettings([]byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestAllErrorsAtOnce: whoever mends settings sees everything that is wrong.
func TestAllErrorsAtOnce(t *testing.T) {
	_, err := tenant.ParseSettings([]byte(`{"brand":"","codeLength":1,"maxAttempts":99,"route":"x","allowedRegions":["XX"]}`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"brand", "codeLength", "maxAttempts", "route", "allowedRegions"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not among %v", want, err)
		}
	}
}

func TestParseClient(t *testing.T) {
	at := time.Unix(1, 0)
	c, err := tenant.Parse(store.Client{
		ID: "c", Name: "n", Live: true, DisabledAt: at, Revision: 7,
		Settings: []byte(`{"allowedRegions":["PR"],"trustedIssuers":[{"issuer":"https://id.example","audience":"a"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Regions != phone.PR || c.Env() != "live" || !c.Disabled || c.Revision != 7 {
		t.Errorf("%+v", c)
	}
	if (&tenant.Client{}).Env() != "test" {
		t.Error("a client that is not live is a test client")
	}
	if i := c.Issuer("https://id.example"); i == nil || i.Audience != "a" {
		t.Errorf("issuer %+v", i)
	}
	for _, other := range []string{"", "https://id.example/", "HTTPS://id.example", "https://id2.example"} {
		if c.Issuer(other) != nil {
			t.Errorf("%q is trusted", other)
		}
	}
}
