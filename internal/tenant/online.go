package tenant

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"codeword/internal/phone"
)

// BotProof says which captcha's tokens prove that a person asks for a code. The
// captcha's secret is no setting: settings are shown and stored in clear.
type BotProof struct {
	// Provider is "turnstile", "hcaptcha" or "recaptcha".
	Provider string `json:"provider"`
	// SecretName names the secret in the server's carriers file.
	SecretName string `json:"secretName"`
	// Hostnames, when not empty, are the only sites whose tokens count.
	Hostnames []string `json:"hostnames,omitempty"`
	// Action, when not empty, is the only one for which tokens count.
	Action string `json:"action,omitempty"`
	// MinScore, when not 0, is the least score of a reCAPTCHA v3 token, 0 to 1.
	MinScore float64 `json:"minScore,omitzero"`
	// FailOpen lets sends through while the provider cannot be asked.
	FailOpen bool `json:"failOpen,omitempty"`
}

// The captchas.
const (
	Turnstile = "turnstile"
	HCaptcha  = "hcaptcha"
	ReCaptcha = "recaptcha"
)

// maxHostnames bounds how many sites may be named, and maxAction the length of an
// action in bytes: reCAPTCHA takes 100, Turnstile 32.
const (
	maxHostnames = 32
	maxHostname  = 253
	maxAction    = 100
)

// checkOnline checks what has others asked.
func (s *Settings) checkOnline() error {
	_, err := phone.ParseLookupPolicy(s.LineLookup, s.LineLookupFailure)
	if s.BotProof == nil {
		return err
	}
	return errors.Join(err, s.BotProof.validate())
}

func (b *BotProof) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("botProof."+format, args...))
		}
	}
	check(slices.Contains([]string{Turnstile, HCaptcha, ReCaptcha}, b.Provider),
		"provider: %q is not one of %s %s %s", b.Provider, Turnstile, HCaptcha, ReCaptcha)
	check(IsSecretName(b.SecretName), "secretName: %q is no name of a secret (a-z, 0-9, - and _, at most 32)", b.SecretName)
	check(len(b.Hostnames) <= maxHostnames, "hostnames: more than %d", maxHostnames)
	for i, h := range b.Hostnames {
		check(printable(h, maxHostname) && !strings.ContainsAny(h, "/:* "), "hostnames[%d]: no name of a host", i)
	}
	check(b.Action == "" || printable(b.Action, maxAction), "action: not 1 to %d bytes of printable text", maxAction)
	check(b.Action == "" || b.Provider != HCaptcha, "action: hCaptcha has none")
	check(b.MinScore >= 0 && b.MinScore <= 1, "minScore: not within 0 to 1")
	check(b.MinScore == 0 || b.Provider == ReCaptcha, "minScore: only reCAPTCHA has one")
	return errors.Join(errs...)
}

// IsSecretName reports whether a secret of a captcha may have that name.
func IsSecretName(name string) bool { return isRouteName(name) }

// lookup is the client's policy of look-ups. Numbers of test clients are not worth
// anybody's money.
func (s *Settings) lookup(live bool) (phone.LookupPolicy, error) {
	if !live {
		return phone.LookupPolicy{}, nil
	}
	return phone.ParseLookupPolicy(s.LineLookup, s.LineLookupFailure)
}
