package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
)

const goodOnline = goodRoutes + `
lookups:
  rate: ${RATE}
  provider:
    twilio: {account-sid: AC0123456789abcdef0123456789abcdef, auth-token: "${TOKEN}"}
  fallback:
    telnyx: {api-key: "${TOKEN}"}
bot-proof-secrets:
  acme: ${TOKEN}
  shop-2: "0x4AAA"
`

func TestParseOnline(t *testing.T) {
	file, err := parseCarriers([]byte(goodOnline), "", lookUp)
	if err != nil {
		t.Fatal(err)
	}
	got := file.Online
	if len(file.Routes) != 3 || got.Lookups.Rate != 25 || len(got.ProofSecrets) != 2 ||
		string(got.ProofSecrets["acme"]) != "0123456789abcdef0123456789abcdef" || got.ProofSecrets["shop-2"] != carrier.Secret("0x4AAA") {
		t.Errorf("read %+v", got)
	}
	services, err := got.Lookups.build(time.Now)
	if err != nil || len(services) != 2 || services[0].Name() != "twilio" || services[1].Name() != "telnyx" {
		t.Errorf("built %v, %v", services, err)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "0123456789abcdef0123456789abcdef}") || strings.Contains(text, "0x4AAA") {
		t.Errorf("printed: %s", text)
	}
	file, err = parseCarriers([]byte(goodRoutes+"lookups:\n  provider: {telnyx: {api-key: \"${TOKEN}\"}}\n"), "", lookUp)
	if err != nil || file.Online.Lookups.Rate != 50 || file.Online.ProofSecrets != nil {
		t.Errorf("defaults are %+v, %v", file.Online, err)
	}
}

// TestParseOnlineReportsAll: nothing but what is wanted is told.
func TestParseOnlineReportsAll(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"nothing":         {"lookups:\n", []string{"lookups.provider: required"}},
		"no mapping":      {"lookups: twilio\n", []string{"lookups: is not", "lookups.provider: required"}},
		"no block":        {"lookups:\n  provider: {}\n", []string{"lookups.provider: one block"}},
		"two blocks":      {"lookups:\n  provider: {telnyx: {api-key: \"1\"}, twilio: {}}\n", []string{"lookups.provider: one block"}},
		"another":         {"lookups:\n  provider: {vonage: {}}\n", []string{"lookups.provider.vonage: unknown", "lookups.provider: one block"}},
		"only a fallback": {"lookups:\n  fallback: {telnyx: {api-key: \"1\"}}\n", []string{"lookups.provider: required"}},
		"all at once": {
			"lookups:\n  rate: 0\n  provider: {twilio: {account-sid: x, base-url: \"http://a.example\"}}\n  fallback: {telnyx: {api-key: \"${NOT_SET}\"}}\n" +
				"bot-proof-secrets:\n  Acme: \"x\"\n  b: ${EMPTY}\n  c: ${NOT_SET}\n  d: 7\n",
			[]string{
				"lookups.rate:", "lookups.provider.twilio.account-sid:", "lookups.provider.twilio.auth-token:", "lookups.provider.twilio.base-url:",
				"lookups.fallback.telnyx.api-key: the environment variable NOT_SET", "bot-proof-secrets.Acme: no name", "bot-proof-secrets.b: is empty",
				"bot-proof-secrets.c: the environment variable", "bot-proof-secrets.d: is a text",
			},
		},
		"not a number": {"lookups:\n  rate: .nan\n  provider: {telnyx: {api-key: \"1\"}}\n", []string{"lookups.rate:"}},
		"secrets":      {"bot-proof-secrets: [\"a\"]\n", []string{"bot-proof-secrets: is not"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCarriers([]byte(goodRoutes+c.file), "", lookUp)
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in\n%v", want, err)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(c.want) {
				t.Errorf("%d errors, want %d:\n%v", lines, len(c.want), err)
			}
		})
	}
}
