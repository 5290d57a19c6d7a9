package app

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/audit/audittest"
	"codeword/internal/providertest"
	"codeword/internal/tenant"
)

// onlineBed is a whole instance that asks scripted providers.
type onlineBed struct {
	*Dev
	t               *testing.T
	lines, captchas *providertest.Server
}

// lockedBuffer takes the logs of a whole instance.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const lineFile = `
routes:
  - {name: screen, log: }
lookups:
  provider: {telnyx: {api-key: KEY-that-must-not-leak, base-url: "URL"}}
bot-proof-secrets: {acme: "a-secret-that-must-not-leak"}
`

func newOnlineBed(t *testing.T) *onlineBed {
	t.Helper()
	b := &onlineBed{
		t:        t,
		lines:    providertest.New(t, providertest.JSON(200, `{"data": {"carrier": {"type": "mobile"}}}`)),
		captchas: providertest.New(t, providertest.JSON(200, `{"success": true, "hostname": "shop.example.com"}`)),
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "carriers.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(lineFile, "URL", b.lines.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := serverFlags{
		SigningAlgorithm: "ES256", SigningKeyLife: 720 * time.Hour, Carriers: path,
		Delivery: "off", DeliveryWorkers: 1, MaxQueueAge: time.Minute,
		MaxInFlight: 512, MaxConnections: 100, KeepMessages: 720 * time.Hour, DrainTimeout: 20 * time.Second,
	}
	file, err := flags.carriersFile("")
	if err != nil {
		t.Fatal(err)
	}
	var out lockedBuffer
	b.Dev, err = startDev(t.Context(), DevConfig{
		Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Now: time.Now,
		Log: slog.New(slog.NewTextHandler(&out, nil)),
	}, nodeConfig{
		Flags: flags, Routes: file.Routes, Online: file.Online, Out: &out,
		ProofEndpoints: map[string]string{tenant.Turnstile: b.captchas.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if log := out.String(); strings.Contains(log, "must-not-leak") || strings.Contains(log, "6502180") {
			t.Errorf("the log tells:\n%s", log)
		}
	})
	return b
}

func (b *onlineBed) configure(id, settings string) {
	b.t.Helper()
	if _, err := b.node.clients.Update(b.t.Context(), audittest.Operator, id, "", []byte(settings)); err != nil {
		b.t.Fatal(err)
	}
	if err := b.node.clients.Load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *onlineBed) send(id, secret, number string, opts ...client.SendOption) (client.SendResult, error) {
	b.t.Helper()
	c, err := client.New(client.Config{BaseURL: b.URL, ClientID: id, ClientSecret: client.Secret(secret), MaxTries: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	return c.Send(b.t.Context(), number, opts...)
}

// TestLineLookups: what a service says of a number decides, for live clients that
// want it.
func TestLineLookups(t *testing.T) {
	b := newOnlineBed(t)
	live := func(number string, want error) {
		t.Helper()
		if _, err := b.send(b.LiveClientID, b.LiveClientSecret, number); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", number, err, want)
		}
	}
	b.lines.Answer(providertest.JSON(200, `{"data": {"carrier": {"type": "voip"}}}`))
	live("+16502180000", nil)
	b.configure(b.LiveClientID, `{"lineLookup": "always"}`)
	live("+16502180001", api.CodeInvalidPhoneType)
	b.lines.Answer(providertest.JSON(500, `{}`))
	live("+16502180002", nil)
	b.configure(b.LiveClientID, `{"lineLookupFailure": "refuse"}`)
	live("+16502180003", api.CodeUnavailable)
	b.configure(b.TestClientID, `{"lineLookup": "always", "lineLookupFailure": "refuse"}`)
	if _, err := b.send(b.TestClientID, b.TestClientSecret, "+16502180004"); err != nil {
		t.Error(err)
	}
	if n := len(b.lines.Requests()); n != 3 {
		t.Errorf("%d look-ups, want 3", n)
	}
}

// TestBotProof: a token is wanted, works once, and once more for the same request.
func TestBotProof(t *testing.T) {
	b := newOnlineBed(t)
	send := func(want error, opts ...client.SendOption) {
		t.Helper()
		if _, err := b.send(b.TestClientID, b.TestClientSecret, "+16502180000", opts...); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	token, key := client.WithCaptchaToken("token-that-must-not-leak"), client.WithIdempotencyKey("key-1")
	send(nil)
	b.configure(b.TestClientID, `{"botProof": {"provider": "turnstile", "secretName": "acme", "hostnames": ["shop.example.com"]}}`)
	send(api.CodeInvalidCaptcha)
	if _, err := b.send(b.TestClientID, b.TestClientSecret, "+1650", token); !errors.Is(err, api.CodeInvalidPhone) {
		t.Errorf("got %v", err)
	}
	if n := len(b.captchas.Requests()); n != 0 {
		t.Errorf("%d tokens were used up by nothing", n)
	}
	send(nil, token, key)
	b.captchas.Answer(providertest.JSON(200, `{"success": false, "error-codes": ["timeout-or-duplicate"]}`))
	if got, err := b.send(b.TestClientID, b.TestClientSecret, "+16502180000", token, key); err != nil || !got.Replayed {
		t.Errorf("the same again: %+v, %v", got, err)
	}
	send(api.CodeInvalidCaptcha, token, client.WithIdempotencyKey("key-2"))
	b.captchas.Answer(providertest.Cut())
	send(api.CodeUnavailable, token)
	b.configure(b.TestClientID, `{"botProof": {"failOpen": true}}`)
	send(nil, token)
	if form := b.captchas.Requests()[0].Form(t); form.Get("secret") != "a-secret-that-must-not-leak" {
		t.Errorf("form %v", form)
	}
}

// TestReloadOnline: SIGHUP brings other secrets and services, and a file with a
// mistake changes nothing.
func TestReloadOnline(t *testing.T) {
	b := newOnlineBed(t)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(b.node.cfg.Flags.Carriers, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.node.reload()
	}
	b.configure(b.LiveClientID, `{"lineLookup": "always", "lineLookupFailure": "refuse",
		"botProof": {"provider": "turnstile", "secretName": "next"}}`)
	number := func(n string, want error) {
		t.Helper()
		if _, err := b.send(b.LiveClientID, b.LiveClientSecret, n, client.WithCaptchaToken("token")); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	number("+16502180000", api.CodeUnavailable)
	good := strings.ReplaceAll(strings.ReplaceAll(lineFile, "URL", b.lines.URL), "acme", "next")
	write(good + "oops: 1\n")
	number("+16502180000", api.CodeUnavailable)
	write(good)
	number("+16502180000", nil)
	write("routes:\n  - {name: screen, log: }\nbot-proof-secrets: {next: \"s\"}\n")
	number("+16502180001", api.CodeUnavailable)
}

// TestDoctorOnline: services are asked, and clients that want what is not there named.
func TestDoctorOnline(t *testing.T) {
	b := newOnlineBed(t)
	b.configure(b.LiveClientID, `{"botProof": {"provider": "turnstile", "secretName": "gone"}}`)
	b.lines.Answer(providertest.JSON(200, `{"data": {"balance": "1.00"}}`))
	found := checkCarriers(t.Context(), b.node.cfg.Flags.Carriers, "", streams{err: &lockedBuffer{}})
	if len(found) != 3 || found[2].What != "line look-ups" || found[2].Err != nil || !strings.HasPrefix(found[2].Note, "telnyx: lets us in") {
		t.Errorf("found %+v", found)
	}
	l := &ledger{store: b.node.store}
	if got := checkOnline(t.Context(), l, b.node.cfg.Flags.Carriers); len(got) != 1 || !got[0].Warning || !strings.Contains(got[0].Note, "gone") {
		t.Errorf("found %+v", got)
	}
	b.lines.Answer(providertest.JSON(401, `{"errors": [{"code": "10009"}]}`))
	found = checkCarriers(t.Context(), b.node.cfg.Flags.Carriers, "", streams{err: &lockedBuffer{}})
	if found[2].Err == nil || !strings.Contains(found[2].Err.Error(), "code 10009") {
		t.Errorf("found %+v", found)
	}
}

// TestUseKeepsBreakers: a service whose settings are the same is the same.
func TestUseKeepsBreakers(t *testing.T) {
	b := newOnlineBed(t)
	b.configure(b.LiveClientID, `{"lineLookup": "always"}`)
	b.lines.Answer(providertest.JSON(500, `{}`))
	for i := range 6 {
		if _, err := b.send(b.LiveClientID, b.LiveClientSecret, "+1650218001"+string(rune('0'+i))); err != nil {
			t.Error(err)
		}
	}
	b.node.reload()
	if _, err := b.send(b.LiveClientID, b.LiveClientSecret, "+16502180020"); err != nil {
		t.Error(err)
	}
	if n := len(b.lines.Requests()); n != 5 {
		t.Errorf("%d look-ups, want 5: the breaker was open", n)
	}
}
