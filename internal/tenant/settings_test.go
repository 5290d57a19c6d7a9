package tenant_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
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
			len(s.Routes) != 0 || s.Locale != "en" || s.MaxSegments != 1 || s.RequireAuthorization {
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
		{`{"route":"pigeon"}`, "route: \"pigeon\" is not known"},
		{`{"Route":"inbox"}`, "Route"},
		{`{"route":7}`, "route"},
		{`{"routes":"main"}`, "routes"},
		{`{"routes":[""]}`, "routes[0]"},
		{`{"routes":["main","Main"]}`, "routes[1]"},
		{`{"routes":["-main"]}`, "routes[0]"},
		{`{"routes":["_"]}`, "routes[0]"},
		{`{"routes":["a/b"]}`, "routes[0]"},
		{`{"routes":["mäin"]}`, "routes[0]"},
		{`{"routes":["main\n"]}`, "routes[0]"},
		{`{"routes":["` + strings.Repeat("x", 33) + `"]}`, "routes[0]"},
		{`{"routes":["a","b","a"]}`, "routes[2]: \"a\" is in the list already"},
		{`{"routes":[` + strings.Repeat(`"a",`, 16) + `"a"]}`, "routes: more than 16"},
		{`{"locale":""}`, "locale"},
		{`{"locale":"xx-"}`, "locale"},
		{`{"locale":"de"}`, "locale: there is no text"},
		{`{"locales":["es","de"]}`, "locales[1]"},
		{`{"templates":{"en":"hi"}}`, "templates.en"},
		{`{"templates":{"en":7}}`, "templates"},
		{`{"templates":{"en":"{code}","en":"{code}"}}`, "duplicate"},
		{`{"templates":{"en":"{code}` + strings.Repeat("x", 155) + `"}}`, "templates.en: takes 2 segments"},
		{`{"codeLength":10,"templates":{"en":"{code}` + strings.Repeat("x", 151) + `"}}`, "templates.en: takes 2 segments"},
		{`{"maxSegments":0}`, "maxSegments"},
		{`{"maxSegments":5}`, "maxSegments"},
		{`{"webOtpDomain":"localhost"}`, "webOtpDomain"},
		{`{"webOtpDomain":"a.example","androidAppHash":"abcdefghijk"}`, "androidAppHash"},
		{`{"androidAppHash":"abc"}`, "androidAppHash"},
		{issuer(`"issuer":"http://id.example","audience":"a"`), "trustedIssuers[0]: issuer: must be https"},
		{issuer(`"issuer":"id.example","audience":"a"`), "trustedIssuers[0]: issuer: not a URL"},
		{issuer(`"issuer":"https://u:p@id.example","audience":"a"`), "trustedIssuers[0]: issuer: not a URL"},
		{issuer(`"issuer":"https://id.example"`), "trustedIssuers[0]: audience"},
		{issuer(good + `,"jwksUrl":"http://id.example/keys"`), "trustedIssuers[0]: jwksUrl"},
		{issuer(good + `,"algorithms":["none"]`), `"none"`},
		{issuer(good + `,"algorithms":["ES256","HS256"]`), `"HS256"`},
		{issuer(good + `},{` + good), "trustedIssuers[1]: issuer is in the list already"},
		{issuer(good + `,"extra":1`), "extra"},
		{`{"lineLookup":"sometimes"}`, `lineLookup: "sometimes"`},
		{`{"lineLookupFailure":"allow"}`, `lineLookupFailure: "allow"`},
		{`{"botProof":{}}`, "botProof.provider"},
		{`{"botProof":{"provider":"turnstile"}}`, "botProof.secretName"},
		{`{"botProof":{"provider":"turnstile","secretName":"A B"}}`, "botProof.secretName"},
		{`{"botProof":{"provider":"turnstile","secret":"x"}}`, `"secret"`},
		{proof(`"minScore":0.5`, "turnstile"), "botProof.minScore"},
		{proof(`"minScore":1.5`, "recaptcha"), "botProof.minScore"},
		{proof(`"action":"a"`, "hcaptcha"), "botProof.action"},
		{proof(`"hostnames":["https://a.example/"]`, "hcaptcha"), "botProof.hostnames[0]"},
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
		`{"brand":"Café №1"}`, `{"lineLookup":"unknown","lineLookupFailure":"refuse"}`, `{"botProof":null}`,
		proof(`"hostnames":["a.example"],"failOpen":true`, "hcaptcha"), proof(`"action":"send","minScore":0.5`, "recaptcha"), `{"codeLength":4}`, `{"codeLength":10}`, `{"codeLifetime":"15m"}`, `{"tokenLifetime":"30s"}`,
		`{"sessionIdle":"5m"}`, `{"sessionIdle":"720h"}`, `{"phoneBurst":{"burst":0,"every":"0s"}}`,
		`{"route":"inbox"}`, `{"route":""}`, `{"routes":[]}`, `{"routes":["inbox","main_1","0"]}`, `{"locale":"es","locales":["en","zh-TW"]}`,
		`{"templates":{"en":"{code}","es-MX":"{brand} {code}"},"maxSegments":4}`, `{"webOtpDomain":"a.example"}`, `{"androidAppHash":"FA+9qCX9VSu"}`,
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
	_, err := tenant.ParseSettings([]byte(`{"brand":"","codeLength":1,"maxAttempts":99,"route":"x","routes":["X"],"locale":"x","allowedRegions":["XX"]}`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"brand", "codeLength", "maxAttempts", "route:", "routes[0]", "locale", "allowedRegions"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not among %v", want, err)
		}
	}
}

// TestFormerRoute: what the release before wrote is read, and gone with the next
// change.
func TestFormerRoute(t *testing.T) {
	b := newBed(t)
	row := store.Client{ID: "c", Name: "n", Settings: []byte(`{"brand":"B","route":"inbox"}`), CreatedAt: time.Unix(1, 0), Revision: 1}
	if _, err := tenant.Parse(row); err != nil {
		t.Fatal(err)
	}
	if err := b.store.CreateClient(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	for _, patch := range []string{`{"routes":["main"]}`, `{"route":"inbox"}`, `{"route":null}`} {
		row, err := b.Update(t.Context(), audittest.Operator, "c", "", []byte(patch))
		if err != nil || string(row.Settings) != `{"brand":"B","routes":["main"]}` {
			t.Errorf("%s: %s, %v", patch, row.Settings, err)
		}
	}
	if _, err := b.Update(t.Context(), audittest.Operator, "c", "", []byte(`{"route":"main"}`)); err == nil || !strings.Contains(err.Error(), "name routes in routes") {
		t.Error(err)
	}
}

func TestTexts(t *testing.T) {
	c, err := tenant.Parse(store.Client{ID: "c", Settings: []byte(
		`{"brand":"B","codeLength":8,"locale":"fr","locales":["es"],"templates":{"en":"{brand}: {code}"},"webOtpDomain":"b.example"}`,
	)})
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"en":    "B: 12345678\n@b.example #12345678",
		"es-MX": "12345678 es tu código de B. No lo compartas.\n@b.example #12345678",
		"ru":    "12345678 est votre code de vérification B. Ne le partagez pas.\n@b.example #12345678",
	} {
		if got := string(c.Texts.Render(c.Texts.Locale(header), "12345678")); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	s, err := tenant.ParseSettings([]byte(`{"brand":"Bob’s"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := s.Texts(); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "U+2019") {
		t.Errorf("%q, %v", warnings, err)
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

func proof(rest, provider string) string {
	return `{"botProof":{"provider":"` + provider + `","secretName":"acme",` + rest + `}}`
}

// TestLookupsOfTestClients: their numbers are not worth anybody's money.
func TestLookupsOfTestClients(t *testing.T) {
	row := store.Client{ID: "c", Settings: []byte(`{"lineLookup":"always","lineLookupFailure":"refuse"}`)}
	for _, live := range []bool{false, true} {
		row.Live = live
		c, err := tenant.Parse(row)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Lookup.Mode == phone.LookupAlways && c.Lookup.Refuse; got != live {
			t.Errorf("live %t: %+v", live, c.Lookup)
		}
	}
}
