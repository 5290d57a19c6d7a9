package login

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

// Check asks the provider of a Config whether people can log in there. It returns what
// could be wrong and need not be; an error is why nobody can.
func Check(ctx context.Context, cfg Config) (warnings []string, err error) {
	p := newProvider(&cfg)
	d, err := p.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s", brief(err.Error()))
	}
	if err := p.checkKeys(ctx, d); err != nil {
		return nil, err
	}
	if len(d.about.Challenges) == 0 {
		warnings = append(warnings, "it does not say that it knows PKCE (code_challenge_methods_supported); most do nevertheless")
	}
	var more struct {
		Scopes []string `json:"scopes_supported"`
		Claims []string `json:"claims_supported"`
	}
	if err := d.Claims(&more); err != nil {
		return nil, err
	}
	for _, scope := range cfg.Provider.Scopes {
		if len(more.Scopes) > 0 && !slices.Contains(more.Scopes, scope) {
			warnings = append(warnings, "it does not name the scope "+scope)
		}
	}
	if len(more.Claims) > 0 && !slices.Contains(more.Claims, cfg.Provider.RoleClaim) {
		warnings = append(warnings, "it does not name the claim "+cfg.Provider.RoleClaim+" (oidc-role-claim), without which nobody has a role; many name only the usual ones")
	}
	doubt, err := p.checkSecret(ctx, d)
	if doubt != "" {
		warnings = append(warnings, doubt)
	}
	return warnings, err
}

// checkKeys looks for a key with which the provider can sign.
func (p *provider) checkKeys(ctx context.Context, d *discovered) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.about.KeysURL, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("its keys: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var set jose.JSONWebKeySet
	if err == nil {
		err = json.Unmarshal(body, &set)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("its keys cannot be read (status %d)", resp.StatusCode)
	}
	if !slices.ContainsFunc(set.Keys, func(k jose.JSONWebKey) bool { return k.IsPublic() && k.Use != "enc" }) {
		return errors.New("it has no key that signs")
	}
	return nil
}

// checkSecret hands in a code that cannot be good. A provider that knows the client and
// its secret refuses the code, any other the client (RFC 6749 section 5.2).
func (p *provider) checkSecret(ctx context.Context, d *discovered) (doubt string, err error) {
	ctx, cancel := context.WithTimeout(p.context(ctx), askTimeout)
	defer cancel()
	_, err = p.oauth(d).Exchange(ctx, "codeword-check-"+rand.Text(), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return "", fmt.Errorf("its token endpoint: %s", brief(fmt.Sprint(err)))
	}
	switch refused.ErrorCode {
	case "invalid_grant":
		return "", nil
	case "invalid_client", "unauthorized_client":
		return "", errors.New("it refuses the client: oidc-client-id or oidc-client-secret is wrong (" + refused.ErrorCode + ")")
	}
	return "it does not tell whether the client secret is right: the token endpoint says " + brief(fmt.Sprintf("%d %s", refused.Response.StatusCode, refused.ErrorCode)), nil
}
