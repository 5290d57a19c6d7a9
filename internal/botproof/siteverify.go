package botproof

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
	"codeword/internal/tenant"
)

// SiteVerifyConfig is what a SiteVerify needs. The zero value is ready.
type SiteVerifyConfig struct {
	// Endpoints are, in tests, servers on this machine by provider.
	Endpoints map[string]string
	// TLS is for tests; see rest.Config.
	TLS *tls.Config
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// SiteVerify is the one protocol of the three captchas, which hCaptcha and Turnstile
// took over from reCAPTCHA. See
// https://developers.cloudflare.com/turnstile/get-started/server-side-validation/,
// https://docs.hcaptcha.com/#verify-the-user-response-server-side and
// https://developers.google.com/recaptcha/docs/verify.
type SiteVerify struct {
	endpoints map[string]string
	client    *rest.Client
	now       func() time.Time
}

// NewSiteVerify returns a SiteVerify. Where secrets and tokens go is fixed, except to
// this machine.
func NewSiteVerify(cfg SiteVerifyConfig) (*SiteVerify, error) {
	s := &SiteVerify{now: cfg.Now, client: rest.New(rest.Config{TLS: cfg.TLS}), endpoints: map[string]string{
		tenant.Turnstile: "https://challenges.cloudflare.com/turnstile/v0/siteverify",
		tenant.HCaptcha:  "https://api.hcaptcha.com/siteverify",
		tenant.ReCaptcha: "https://www.google.com/recaptcha/api/siteverify",
	}}
	for provider, endpoint := range cfg.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || s.endpoints[provider] == "" {
			return nil, errors.New("botproof: not an endpoint of a provider")
		}
		if a, err := netip.ParseAddr(u.Hostname()); err != nil || !a.IsLoopback() {
			return nil, fmt.Errorf("botproof: the endpoint of %s is fixed, except to a loopback address", provider)
		}
	}
	maps.Copy(s.endpoints, cfg.Endpoints)
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// answer is what the three have in common.
type answer struct {
	Success    *bool    `json:"success"`
	Hostname   string   `json:"hostname"`
	Action     string   `json:"action"`
	Score      *float64 `json:"score"`
	ErrorCodes []string `json:"error-codes"`
}

// Verify implements Verifier.
func (s *SiteVerify) Verify(ctx context.Context, q Question) (Verdict, error) {
	form := url.Values{"secret": {string(q.Secret)}, "response": {string(q.Token)}}
	if a := q.EndUser.Unmap(); a.IsGlobalUnicast() && !a.IsPrivate() {
		form.Set("remoteip", a.WithZone("").String())
	}
	if q.Repeat != "" && q.Provider == tenant.Turnstile {
		form.Set("idempotency_key", q.Repeat)
	}
	r, err := rest.NewRequest(http.MethodPost, s.endpoints[q.Provider], "application/x-www-form-urlencoded", form.Encode())
	if err != nil {
		return Verdict{}, err
	}
	a, err := s.client.Do(ctx, r)
	if err != nil {
		return Verdict{}, err
	}
	var got answer
	err = json.Unmarshal(a.Body, &got)
	switch {
	case err == nil && got.Success != nil && a.Status < http.StatusInternalServerError:
		return verdictOf(got)
	case a.Status == http.StatusBadRequest, a.Status == http.StatusRequestEntityTooLarge:
		// reCAPTCHA's answer to a token that it cannot read.
		return Verdict{Why: "unreadable"}, nil
	case !a.OK():
		return Verdict{}, a.Failure(s.now(), nil)
	default:
		return Verdict{}, carrier.NewError(carrier.ReasonGarbage, errors.New("not JSON as documented"))
	}
}

// verdictOf tells apart what a token's maker can bring about, which is a bad token,
// from what only we or the provider can: what is not known for that is a bad token,
// or else a client that fails open could be passed by making the provider complain.
func verdictOf(got answer) (Verdict, error) {
	codes := got.ErrorCodes
	switch {
	case *got.Success:
		v := Verdict{Good: true, Hostname: got.Hostname, Action: got.Action}
		if got.Score != nil {
			v.Score, v.Scored = *got.Score, true
		}
		return v, nil
	case slices.Contains(codes, "missing-input-secret"), slices.Contains(codes, "invalid-input-secret"):
		return Verdict{}, errSecret
	case len(codes) == 1 && codes[0] == "internal-error":
		return Verdict{}, carrier.NewError(carrier.ReasonCarrierError, errors.New("internal-error"))
	case len(codes) > 0 && isCode(codes[0]):
		return Verdict{Why: codes[0]}, nil
	default:
		return Verdict{Why: "no reason given"}, nil
	}
}

// isCode takes what may be one of the documented codes: it goes into the log.
func isCode(s string) bool {
	return s != "" && len(s) <= 48 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}
