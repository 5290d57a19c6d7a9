package botproof_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/botproof"
	"codeword/internal/carrier"
	"codeword/internal/fault"
	"codeword/internal/providertest"
	"codeword/internal/tenant"
)

const (
	secret = "a-secret-that-must-not-leak"
	token  = "token.that-must.not_leak"
)

// rig is a gate over a scripted provider, which is all three.
type rig struct {
	t      *testing.T
	server *providertest.Server
	log    bytes.Buffer
	now    time.Time
	counts map[string]int
	*botproof.Gate
}

// newBareRig has no server.
func newBareRig(t *testing.T, v botproof.Verifier) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Unix(1e9, 0), counts: make(map[string]int)}
	r.Gate = botproof.New(botproof.Config{
		Verifier: v, Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Metrics: botproof.Metrics{Proof: func(provider, outcome string) { r.counts[provider+" "+outcome]++ }},
	})
	r.Use(map[string]carrier.Secret{"acme": secret})
	return r
}

func newRig(t *testing.T, script ...providertest.Answer) *rig {
	t.Helper()
	server := providertest.New(t, script...)
	verifier, err := botproof.NewSiteVerify(botproof.SiteVerifyConfig{Endpoints: map[string]string{
		tenant.Turnstile: server.URL + "/turnstile", tenant.HCaptcha: server.URL + "/hcaptcha", tenant.ReCaptcha: server.URL + "/recaptcha",
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := newBareRig(t, verifier)
	r.server = server
	t.Cleanup(func() {
		if log := r.log.String(); strings.Contains(log, secret) || strings.Contains(log, token) {
			t.Errorf("the log tells: %s", log)
		}
	})
	return r
}

// claim is of a client with these settings of a proof.
func claim(p tenant.BotProof) botproof.Claim {
	if p.SecretName == "" {
		p.SecretName = "acme"
	}
	return botproof.Claim{Client: &tenant.Client{ID: "client-live-1", Settings: tenant.Settings{BotProof: &p}}, Token: token}
}

// want checks what becomes of a claim: zero for success.
func (r *rig) want(c botproof.Claim, kind fault.Kind) {
	r.t.Helper()
	err := r.Check(r.t.Context(), c)
	switch {
	case err == nil && kind == 0:
	case kind == 0 || !fault.Is(err, kind):
		r.t.Errorf("got %v, want an error of kind %d", err, kind)
	case strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), token):
		r.t.Errorf("the error tells: %v", err)
	}
}

const good = `{"success": true, "challenge_ts": "2026-01-02T03:04:05Z", "hostname": "shop.example.com", "action": "signup", "score": 0.7, "error-codes": []}`

func bad(codes string) providertest.Answer {
	return providertest.JSON(200, `{"success": false, "error-codes": [`+codes+`]}`)
}

func TestRequest(t *testing.T) {
	r := newRig(t, providertest.JSON(200, good))
	c := claim(tenant.BotProof{Provider: tenant.Turnstile})
	c.EndUser, c.Key, c.Body = netip.MustParseAddr("::ffff:192.0.2.7"), "key", []byte("{}")
	r.want(c, 0)
	c = claim(tenant.BotProof{Provider: tenant.ReCaptcha})
	c.EndUser, c.Key = netip.MustParseAddr("10.0.0.1"), "key"
	r.want(c, 0)
	r.want(claim(tenant.BotProof{Provider: tenant.HCaptcha}), 0)
	requests := r.server.Requests()
	for i, path := range []string{"/turnstile", "/recaptcha", "/hcaptcha"} {
		got, form := requests[i], requests[i].Form(t)
		if got.Method != "POST" || got.URL != path || got.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("%s %s %v", got.Method, got.URL, got.Header)
		}
		if form.Get("secret") != secret || form.Get("response") != token {
			t.Errorf("form %v", form)
		}
		if form.Has("remoteip") != (i == 0) || form.Has("idempotency_key") != (i == 0) || i == 0 && form.Get("remoteip") != "192.0.2.7" {
			t.Errorf("%s: form %v", path, form)
		}
	}
	if err := r.Check(t.Context(), botproof.Claim{Client: &tenant.Client{}}); err != nil || len(r.server.Requests()) != 3 {
		t.Errorf("a client that wants no proof: %v", err)
	}
}

// TestVerdicts: what a token's maker can bring about is refused, also where the client
// fails open; what only we or the provider can is up to the client.
func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		answer       providertest.Answer
		closed, open fault.Kind
		outcome      string
	}{
		"good":               {providertest.JSON(200, good), 0, 0, "passed"},
		"used":               {bad(`"timeout-or-duplicate"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"used, hcaptcha":     {bad(`"invalid-or-already-seen-response"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"forged":             {bad(`"invalid-input-response"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"of another site":    {bad(`"sitekey-secret-mismatch"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"a dummy":            {bad(`"not-using-dummy-secret"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"malformed":          {bad(`"bad-request"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"no reason":          {bad(``), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"a strange reason":   {bad(`"` + token + `"`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"status 400":         {providertest.JSON(400, `oops`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"status 400, JSON":   {providertest.JSON(400, `{"success": false, "error-codes": ["invalid-input-response"]}`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"status 413":         {providertest.JSON(413, `oops`), fault.InvalidCaptcha, fault.InvalidCaptcha, "refused"},
		"our secret":         {bad(`"invalid-input-response", "invalid-input-secret"`), fault.Unavailable, 0, "wrong_secret"},
		"the provider's own": {bad(`"internal-error"`), fault.Unavailable, 0, "carrier_error"},
		"no verdict":         {providertest.JSON(200, `{"error-codes": []}`), fault.Unavailable, 0, "unexpected_answer"},
		"a failing yes":      {providertest.JSON(500, good), fault.Unavailable, 0, "carrier_error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.answer)
			r.want(claim(tenant.BotProof{Provider: tenant.HCaptcha}), c.closed)
			r.want(claim(tenant.BotProof{Provider: tenant.HCaptcha, FailOpen: true}), c.open)
			if r.counts["hcaptcha "+c.outcome] != 2 {
				t.Errorf("%v", r.counts)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	for name, c := range providertest.Failures() {
		if name == "slow" {
			continue // see TestDeadline
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.Answer)
			r.want(claim(tenant.BotProof{Provider: tenant.Turnstile}), fault.Unavailable)
			r.want(claim(tenant.BotProof{Provider: tenant.Turnstile, FailOpen: true}), 0)
			if r.counts["turnstile "+c.Reason] != 2 {
				t.Errorf("%v, want %s", r.counts, c.Reason)
			}
			if !strings.Contains(r.log.String(), c.Reason) {
				t.Errorf("log: %s", r.log.String())
			}
		})
	}
}

func TestRules(t *testing.T) {
	plain := `{"success": true, "hostname": "Shop.example.com"}`
	for name, c := range map[string]struct {
		answer string
		policy tenant.BotProof
		want   fault.Kind
	}{
		"any site":          {plain, tenant.BotProof{}, 0},
		"the site":          {plain, tenant.BotProof{Hostnames: []string{"a.example", "shop.example.com"}}, 0},
		"another site":      {plain, tenant.BotProof{Hostnames: []string{"example.com"}}, fault.InvalidCaptcha},
		"no site":           {`{"success": true}`, tenant.BotProof{Hostnames: []string{"example.com"}}, fault.InvalidCaptcha},
		"the action":        {good, tenant.BotProof{Action: "signup"}, 0},
		"another action":    {good, tenant.BotProof{Action: "login"}, fault.InvalidCaptcha},
		"no action":         {plain, tenant.BotProof{Action: "login"}, fault.InvalidCaptcha},
		"the score":         {good, tenant.BotProof{MinScore: 0.7}, 0},
		"too low a score":   {good, tenant.BotProof{MinScore: 0.71}, fault.InvalidCaptcha},
		"no score, as v2":   {plain, tenant.BotProof{MinScore: 0.1}, fault.InvalidCaptcha},
		"score of no count": {good, tenant.BotProof{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.policy.Provider = tenant.ReCaptcha
			newRig(t, providertest.JSON(200, c.answer)).want(claim(c.policy), c.want)
		})
	}
}

// TestNoToken: nobody is asked about what is no token.
func TestNoToken(t *testing.T) {
	r := newRig(t, providertest.JSON(200, good))
	for _, c := range []struct {
		provider, token string
	}{
		{tenant.Turnstile, ""},
		{tenant.Turnstile, "a b"},
		{tenant.Turnstile, "a\x00"},
		{tenant.Turnstile, "é"},
		{tenant.Turnstile, strings.Repeat("x", 2<<10+1)},
		{tenant.ReCaptcha, strings.Repeat("x", 4<<10+1)},
		{tenant.HCaptcha, strings.Repeat("x", 8<<10+1)},
	} {
		in := claim(tenant.BotProof{Provider: c.provider, FailOpen: true})
		in.Token = carrier.Secret(c.token)
		r.want(in, fault.InvalidCaptcha)
	}
	if n := len(r.server.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	for provider, limit := range map[string]int{tenant.Turnstile: 2 << 10, tenant.ReCaptcha: 4 << 10, tenant.HCaptcha: 8 << 10} {
		in := claim(tenant.BotProof{Provider: provider})
		in.Token = carrier.Secret(strings.Repeat("x", limit))
		r.want(in, 0)
	}
}

func TestNoSecret(t *testing.T) {
	r := newRig(t, providertest.JSON(200, good))
	r.want(claim(tenant.BotProof{Provider: tenant.Turnstile, SecretName: "gone"}), fault.Unavailable)
	r.want(claim(tenant.BotProof{Provider: tenant.Turnstile, SecretName: "gone", FailOpen: true}), 0)
	if !strings.Contains(r.log.String(), "gone") || len(r.server.Requests()) != 0 {
		t.Errorf("log: %s", r.log.String())
	}
	r.Use(map[string]carrier.Secret{"gone": secret})
	r.want(claim(tenant.BotProof{Provider: tenant.Turnstile, SecretName: "gone"}), 0)
}

// TestRepeat: a token works once at its provider. The same request may come again for
// five minutes, and no other with that token.
func TestRepeat(t *testing.T) {
	r := newRig(t, providertest.JSON(200, good), bad(`"timeout-or-duplicate"`))
	c := claim(tenant.BotProof{Provider: tenant.Turnstile})
	c.Key, c.Body = "key", []byte("{}")
	r.want(c, 0)
	r.want(c, 0)
	for name, change := range map[string]func(*botproof.Claim){
		"another key":    func(c *botproof.Claim) { c.Key = "other" },
		"another body":   func(c *botproof.Claim) { c.Body = []byte("{ }") },
		"another token":  func(c *botproof.Claim) { c.Token += "x" },
		"no key":         func(c *botproof.Claim) { c.Key = "" },
		"another client": func(c *botproof.Claim) { other := *c.Client; other.ID = "client-live-2"; c.Client = &other },
		"moved bytes":    func(c *botproof.Claim) { c.Key, c.Body = "key{", []byte("}") },
	} {
		other := c
		change(&other)
		if err := r.Check(t.Context(), other); !fault.Is(err, fault.InvalidCaptcha) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	r.now = r.now.Add(5*time.Minute - time.Second)
	r.want(c, 0)
	r.now = r.now.Add(time.Second)
	r.want(c, fault.InvalidCaptcha)
	if r.counts["turnstile repeated"] != 2 {
		t.Errorf("%v", r.counts)
	}
}

// TestRepeatIsBounded: the oldest is forgotten first.
func TestRepeatIsBounded(t *testing.T) {
	r := newBareRig(t, verifierFunc(func(context.Context, botproof.Question) (botproof.Verdict, error) {
		return botproof.Verdict{Good: true}, nil
	}))
	c := claim(tenant.BotProof{Provider: tenant.Turnstile})
	for i := range 1<<16 + 1 {
		c.Key = fmt.Sprint(i)
		r.want(c, 0)
	}
	c.Key = "0"
	r.want(c, 0)
	c.Key = "2"
	r.want(c, 0)
	if r.counts["turnstile repeated"] != 1 || r.counts["turnstile passed"] != 1<<16+2 {
		t.Errorf("%v", r.counts)
	}
}

type verifierFunc func(context.Context, botproof.Question) (botproof.Verdict, error)

func (f verifierFunc) Verify(ctx context.Context, q botproof.Question) (botproof.Verdict, error) {
	return f(ctx, q)
}

func TestDeadlineAndBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, hang := 0, true
		r := newBareRig(t, verifierFunc(func(ctx context.Context, _ botproof.Question) (botproof.Verdict, error) {
			asked++
			if hang {
				<-ctx.Done()
				return botproof.Verdict{}, carrier.NewError(carrier.ReasonTimeout, ctx.Err())
			}
			return botproof.Verdict{Good: true}, nil
		}))
		c := claim(tenant.BotProof{Provider: tenant.Turnstile})
		began := time.Now()
		for range 5 {
			r.want(c, fault.Unavailable)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %s", took)
		}
		r.want(c, fault.Unavailable)
		open := claim(tenant.BotProof{Provider: tenant.Turnstile, FailOpen: true})
		r.want(open, 0)
		if asked != 5 || r.counts["turnstile breaker_open"] != 2 {
			t.Errorf("asked %d times; %v", asked, r.counts)
		}
		hang = false
		r.want(claim(tenant.BotProof{Provider: tenant.HCaptcha}), 0) // it has a breaker of its own
		time.Sleep(10*time.Second + time.Millisecond)
		r.want(c, 0)
	})
}

// TestCallerGoes: whoever hangs up passes nothing, and breaks nothing.
func TestCallerGoes(t *testing.T) {
	r := newRig(t, providertest.Slow())
	c := claim(tenant.BotProof{Provider: tenant.Turnstile, FailOpen: true})
	c.Key = "key"
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if err := r.Check(ctx, c); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	r.server.Answer(bad(`"invalid-input-response"`))
	r.want(c, fault.InvalidCaptcha)
}

func TestEndpointsAreFixed(t *testing.T) {
	for _, endpoints := range []map[string]string{
		{tenant.Turnstile: "https://example.com/"}, {tenant.Turnstile: "http://localhost.example.com/"}, {"other": "http://127.0.0.1:1/"}, {tenant.HCaptcha: "::"},
	} {
		if _, err := botproof.NewSiteVerify(botproof.SiteVerifyConfig{Endpoints: endpoints}); err == nil {
			t.Errorf("%v is taken", endpoints)
		}
	}
}
