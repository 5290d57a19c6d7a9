// Package botproof checks that a person asked for a code: it has the token that a
// captcha gave the person's browser verified by the captcha's provider.
package botproof

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"codeword/internal/carrier"
	"codeword/internal/fault"
	"codeword/internal/tenant"
)

// timeout is what a provider gets; the caller of a send waits for it.
const timeout = 2 * time.Second

// logEvery is how often trouble with one thing is logged.
const logEvery = time.Minute

// Verifier asks the provider of a captcha what a token is worth.
type Verifier interface {
	// Verify uses the token up. An error says that nobody could tell, which is
	// never the doing of whoever made the token. It quotes neither token nor secret.
	Verify(ctx context.Context, q Question) (Verdict, error)
}

// Question is one token.
type Question struct {
	// Provider is one of tenant's names.
	Provider string
	Secret   carrier.Secret
	Token    carrier.Secret
	// EndUser is where the token's bearer is; invalid when that is not known.
	EndUser netip.Addr
	// Repeat, when not empty, is a UUID by which the provider may recognize the same
	// question and answer it the same again.
	Repeat string
}

// Verdict is what a provider says of a token.
type Verdict struct {
	Good bool
	// Why is the provider's first code for a token that is not good.
	Why      string
	Hostname string
	Action   string
	// Score is reCAPTCHA v3's, 0 to 1; Scored tells whether there is one.
	Score  float64
	Scored bool
}

// Claim is a send whose caller claims that a person is behind it.
type Claim struct {
	Client  *tenant.Client
	Token   carrier.Secret
	EndUser netip.Addr
	// Key and Body, when there is an Idempotency-Key, let the same request be
	// repeated with the same token.
	Key  string
	Body []byte
}

// Metrics are told what proofs do. Its fields may be nil.
type Metrics struct {
	// Proof: of a provider, what came of one token: "passed", "repeated", "missing",
	// "refused", "no_secret", "breaker_open", or the reason of a failure.
	Proof func(provider, outcome string)
	Took  func(provider string, d time.Duration)
}

// Config is what a Gate needs.
type Config struct {
	Verifier Verifier
	Metrics  Metrics
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is nil for none.
	Log *slog.Logger
}

// Gate lets through what clients' settings let through. It is safe for concurrent use.
type Gate struct {
	cfg      Config
	secrets  atomic.Pointer[map[string]carrier.Secret]
	breakers map[string]*provider
	passed   passed
	said     rate.Sometimes
}

// New returns a Gate without secrets.
func New(cfg Config) *Gate {
	if cfg.Metrics.Proof == nil {
		cfg.Metrics.Proof = func(string, string) {}
	}
	if cfg.Metrics.Took == nil {
		cfg.Metrics.Took = func(string, time.Duration) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{cfg: cfg, breakers: make(map[string]*provider), said: rate.Sometimes{Interval: logEvery}}
	for _, name := range []string{tenant.Turnstile, tenant.HCaptcha, tenant.ReCaptcha} {
		g.breakers[name] = newBreaker(name, cfg.Log)
	}
	g.Use(nil)
	return g
}

// Use puts secrets, by their names in clients' settings, in the place of those before.
func (g *Gate) Use(secrets map[string]carrier.Secret) { g.secrets.Store(&secrets) }

func refused(detail string) error {
	return fault.New(fault.InvalidCaptcha, "bot proof: "+detail)
}

// Check returns nil if the claim is proved, or its client wants no proof. Else it is
// fault.InvalidCaptcha, or fault.Unavailable when nobody could tell and the client's
// settings do not let that pass. A token is used up by it.
func (g *Gate) Check(ctx context.Context, c Claim) error {
	policy := c.Client.Settings.BotProof
	if policy == nil {
		return nil
	}
	proof := func(outcome string) { g.cfg.Metrics.Proof(policy.Provider, outcome) }
	if why := malformed(policy.Provider, string(c.Token)); why != "" {
		proof("missing")
		return refused(why)
	}
	now, mark := g.cfg.Now(), markOf(c)
	if g.passed.has(now, mark) {
		proof("repeated")
		return nil
	}
	secret, ok := (*g.secrets.Load())[policy.SecretName]
	if !ok {
		proof("no_secret")
		g.say(ctx, c.Client, policy.Provider, "the carriers file has no secret "+policy.SecretName)
		return g.unknown(policy, now, mark, "no secret "+policy.SecretName)
	}
	verdict, err := g.ask(ctx, Question{
		Provider: policy.Provider, Secret: secret, Token: c.Token, EndUser: c.EndUser, Repeat: mark.uuid(),
	})
	switch {
	case errors.Is(err, errGone):
		return fault.Wrap(fault.Unavailable, "bot proof", errGone)
	case err != nil:
		reason := reasonOf(err)
		proof(reason)
		g.say(ctx, c.Client, policy.Provider, reason)
		return g.unknown(policy, now, mark, reason)
	}
	if why := judge(policy, verdict); why != "" {
		proof("refused")
		return refused(why)
	}
	proof("passed")
	g.passed.add(now, mark)
	return nil
}

// unknown decides about a token of which nobody could tell what it is worth.
func (g *Gate) unknown(policy *tenant.BotProof, now time.Time, m mark, reason string) error {
	if policy.FailOpen {
		g.passed.add(now, m)
		return nil
	}
	return fault.New(fault.Unavailable, "bot proof: "+reason)
}

// say logs trouble that is not the caller's, now and then.
func (g *Gate) say(ctx context.Context, c *tenant.Client, provider, reason string) {
	g.said.Do(func() {
		g.cfg.Log.WarnContext(ctx, "captcha tokens cannot be verified", "client", c.ID, "provider", provider, "reason", reason)
	})
}

// judge returns why a token is not good enough, or "".
func judge(policy *tenant.BotProof, v Verdict) string {
	isHost := func(name string) bool { return strings.EqualFold(name, v.Hostname) }
	switch {
	case !v.Good:
		return "the token is not good: " + v.Why
	case len(policy.Hostnames) > 0 && !slices.ContainsFunc(policy.Hostnames, isHost):
		return "the token is of another site"
	case policy.Action != "" && policy.Action != v.Action:
		return "the token is for another action"
	case policy.MinScore > 0 && !v.Scored:
		return "the token has no score: minScore is for reCAPTCHA v3"
	case policy.MinScore > 0 && v.Score < policy.MinScore:
		return "the token's score is too low"
	}
	return ""
}

// The longest tokens, in bytes. Turnstile documents its own; reCAPTCHA answers longer
// ones with status 400; hCaptcha's have been seen beyond 4,000.
const (
	maxTurnstile = 2 << 10
	maxReCaptcha = 4 << 10
	maxHCaptcha  = 8 << 10
)

// malformed returns why something is no token, without anybody being asked, or "".
func malformed(provider, token string) string {
	limit := maxHCaptcha
	switch provider {
	case tenant.Turnstile:
		limit = maxTurnstile
	case tenant.ReCaptcha:
		limit = maxReCaptcha
	}
	switch {
	case token == "":
		return "no token, or more than one"
	case len(token) > limit:
		return "the token is too long"
	}
	for _, b := range []byte(token) {
		if b <= ' ' || b > '~' {
			return "the token is not visible ASCII"
		}
	}
	return ""
}
