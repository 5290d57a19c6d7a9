package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func lookUp(name string) (string, bool) {
	v, ok := map[string]string{"TOKEN": "0123456789abcdef0123456789abcdef", "RATE": "25", "EMPTY": ""}[name]
	return v, ok
}

const goodRoutes = `
routes:
  - name: main
    priority: 1
    weight: 3
    area-codes: ["212", "646"]
    price: 0.0079
    rate: ${RATE}
    receipt-timeout: 45s
    unknown-timeout: 10s
    twilio:
      account-sid: AC0123456789abcdef0123456789abcdef
      auth-token: ${TOKEN}
      from: "+16505550100"
  - name: line-2
    auto-reply: false
    smpp:
      address: smsc.example.com:2775
      system-id: codeword
      password: "12345678"
      source: "65055"
      source-ton: 3
      status-reasons: {"0x0000040B": opted_out}
  - name: console
    log:
`

func TestParseRoutes(t *testing.T) {
	file, err := parseCarriers([]byte(goodRoutes), "https://otp.example.com", lookUp)
	if err != nil {
		t.Fatal(err)
	}
	routes := file.Routes
	if len(routes) != 3 {
		t.Fatalf("%d routes, want 3", len(routes))
	}
	r := routes[0]
	if r.Name != "main" || r.Weight != 3 || len(r.AreaCodes) != 2 || r.Rate != 25 || r.ReceiptTimeout != 45*time.Second || r.UnknownTimeout != 10*time.Second {
		t.Errorf("read %+v", r)
	}
	if got := r.route(nil).PriceMicros; got != 7900 {
		t.Errorf("a price of %d millionths, want 7900", got)
	}
	if string(r.Twilio.AuthToken) != "0123456789abcdef0123456789abcdef" {
		t.Error("the token was not taken from the environment")
	}
	if want := "https://otp.example.com/v1/carriers/main/events"; r.Twilio.CallbackURL != want {
		t.Errorf("callback %q, want %q", r.Twilio.CallbackURL, want)
	}
	if r.repliesItself() || routes[1].repliesItself() {
		t.Error("somebody replies who should not")
	}
	if s := routes[1].SMPP; s.SourceTON == nil || *s.SourceTON != 3 || s.StatusReasons["0x0000040B"] != "opted_out" || string(s.Password) != "12345678" {
		t.Errorf("read %+v", s)
	}
	if d := routes[2]; d.Priority != 1 || d.Weight != 1 || d.UnknownTimeout != defaultUnknownTimeout || d.Log == nil {
		t.Errorf("defaults are %+v", d)
	}
}

func TestNoCallbacksWithoutPublicURL(t *testing.T) {
	for _, public := range []string{"", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080"} {
		file, err := parseCarriers([]byte(goodRoutes), public, lookUp)
		if err != nil {
			t.Fatal(err)
		}
		if got := file.Routes[0].Twilio.CallbackURL; got != "" {
			t.Errorf("%q: callback %q, which no provider reaches", public, got)
		}
	}
}

func TestParseCarriersReportsAll(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string // one error each
	}{
		{"nothing", "", []string{`routes`}},
		{"not a mapping", "- a\n", []string{`routes: required`}},
		{"no list", "routes: main\n", []string{`routes: is not a list`}},
		{"no route", "routes: []\n", []string{`routes: is not a list with at least one route`}},
		{"two documents", "routes: []\n---\nroutes: []\n", []string{`file: not one YAML document`}},
		{"broken", "routes: [\n", []string{``}},
		{
			"another key", "route: []\nroutes:\n  - {name: a, log: }\n",
			[]string{`route: unknown setting`},
		},
		{
			"all at once", `
routes:
  - name: Main Route
    wieght: 3
    priority: high
    log:
  - weight: 0
    price: 99
    rate: -1
    area-codes: ["000", 212]
    log:
  - name: a
  - name: a
    log:
    twilio: {account-sid: x}
  - name: inbox
    log: {color: red}
`,
			[]string{
				`route "Main Route": wieght: unknown setting`,
				`route "Main Route": priority: `,
				`routes[1]: area-codes[1]: is a text: write it in quotes`,
				`route "a": one block is required`,
				`route "a": twilio, log: a route has one carrier`,
				`route "a": name: in use already`,
				`route "inbox": log.color: unknown setting`,
			},
		},
		{
			"values", "routes:\n  - name: a b\n    weight: 0\n    price: 99\n    rate: -1\n    area-codes: [\"000\"]\n    receipt-timeout: -1s\n    log:\n",
			[]string{`name: `, `weight: `, `price: `, `rate: `, `area-codes`, `receipt-timeout: `},
		},
		{
			"a variable that is not set", "routes:\n  - name: a\n    telnyx: {api-key: \"${NOT_SET}\", from: \"+16505550100\"}\n",
			[]string{`route "a": telnyx.api-key: the environment variable NOT_SET is not set`},
		},
		{
			"a number that is not quoted", "routes:\n  - name: a\n    twilio: {from: +16505550100}\n",
			[]string{`route "a": twilio.from: is a text: write it in quotes`},
		},
		{
			"the carrier's own", "routes:\n  - name: a\n    smpp: {address: nowhere, window: -1}\n",
			[]string{`route "a": smpp.address: `, `route "a": smpp.system-id: `, `route "a": smpp.window: `},
		},
		{"a part of a number", "routes:\n  - {name: a, weight: 1.9, log: }\n", []string{`route "a": weight: is not a whole number`}},
		{"a mistake has its place", "routes:\n  - name: a\n   log:\n", []string{`[3:`}},
		{"given twice", "routes:\n  - {name: a, name: b, log: }\n", []string{``}},
		{"deep", "routes: " + strings.Repeat("[", 5000) + "\n", []string{``}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseCarriers([]byte(tt.file), "", lookUp)
			if err == nil {
				t.Fatal("taken")
			}
			text := err.Error()
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

func TestEndlessFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carriers.yaml")
	if err := os.WriteFile(path, []byte(goodRoutes+strings.Repeat("#\n", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadCarriers(path, ""); err == nil || !strings.Contains(err.Error(), "over 1048576 bytes") {
		t.Errorf("got %v", err)
	}
}

func TestByteOrderMark(t *testing.T) {
	if file, err := parseCarriers([]byte("\ufeff"+goodRoutes), "", lookUp); err != nil || len(file.Routes) != 3 {
		t.Errorf("%d routes, %v", len(file.Routes), err)
	}
}

func TestErrorsQuoteNoSecret(t *testing.T) {
	const secret = "s3cr3t-t0ken"
	for _, file := range []string{
		"routes:\n  - name: a\n    weight: x\n    twilio:\n      auth-token: " + secret + "\n      account-sid: [\n",
		"routes:\n  - name: a\n    twilio:\n      auth-token: " + secret + "\n      from: 5\n",
		"routes:\n  - name: a\n    twilio:\n      auth-token: {a: " + secret + "}\n",
		"routes:\n  - name: a\n    twilio:\n      auth-token: |" + secret + "\n",
		"routes:\n  - name: a\n    twilio:\n      auth-token: >" + secret + "\n",
		"routes:\n  - name: a\n    twilio:\n      auth-token: ${" + secret + "}\n",
		"routes:\n  - name: a\n    telnyx:\n      api-key: \"" + secret + "\"\n      from: nobody\n",
	} {
		_, err := parseCarriers([]byte(file), "https://otp.example.com", lookUp)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
}
