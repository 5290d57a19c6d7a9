package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"codeword/internal/console/login"
	"codeword/internal/store"
)

// providerFlags say where operators log in without the admin token. Commands that check
// them have them, too.
type providerFlags struct {
	AdminURL             string   `name:"admin-url" help:"URL under which browsers reach the admin listener; for logins at an OpenID provider, and with https for secure cookies." placeholder:"URL"`
	OIDCIssuer           string   `name:"oidc-issuer" help:"Issuer of the OpenID provider at which operators log in. Without it only the admin token opens the console." placeholder:"URL"`
	OIDCClientID         string   `name:"oidc-client-id" help:"Client id at the provider."`
	OIDCClientSecret     string   `name:"oidc-client-secret" help:"Client secret at the provider. Best given as CODEWORD_OIDC_CLIENT_SECRET."`
	OIDCClientSecretFile string   `name:"oidc-client-secret-file" help:"File with the client secret." placeholder:"FILE"`
	OIDCRoleClaim        string   `name:"oidc-role-claim" help:"Claim whose values give roles." default:"groups"`
	OIDCViewers          []string `name:"oidc-viewers" help:"Values of the claim that make a viewer, who reads." placeholder:"VALUE"`
	OIDCOperators        []string `name:"oidc-operators" help:"Values of the claim that make an operator, who also sees numbers and codes and ends holds." placeholder:"VALUE"`
	OIDCAdmins           []string `name:"oidc-admins" help:"Values of the claim that make an admin, who may do everything." placeholder:"VALUE"`
	OIDCEmailDomains     []string `name:"oidc-email-domains" help:"Only those get in whose verified e-mail address is of one of these domains." placeholder:"DOMAIN"`
	OIDCRequire          []string `name:"oidc-require" help:"Only those get in for whom all these claims hold." placeholder:"NAME=VALUE"`
	OIDCScopes           []string `name:"oidc-scopes" help:"What is asked for beside openid." default:"profile,email" placeholder:"SCOPE"`
}

// loginFlags are those of a server.
type loginFlags struct {
	providerFlags
	LoginLife   time.Duration `help:"How long a login to the console lasts." default:"12h"`
	LoginIdle   time.Duration `help:"How long a login to the console lasts without being used." default:"1h"`
	OIDCRecheck time.Duration `name:"oidc-recheck" help:"How long a role that the provider gave counts before it is asked again, which nobody notices who is still logged in there." default:"1h"`
}

// provider reads what the flags say of the provider.
func (f *providerFlags) provider() (login.Settings, error) {
	s := login.Settings{
		Issuer: f.OIDCIssuer, ClientID: f.OIDCClientID, ClientSecret: f.OIDCClientSecret,
		RoleClaim: f.OIDCRoleClaim, Viewers: f.OIDCViewers, Operators: f.OIDCOperators, Admins: f.OIDCAdmins,
		EmailDomains: f.OIDCEmailDomains, Require: f.OIDCRequire, Scopes: f.OIDCScopes,
	}
	var errs []error
	if f.OIDCClientSecretFile != "" {
		if s.ClientSecret != "" {
			errs = append(errs, errors.New("oidc-client-secret and oidc-client-secret-file: give one of them"))
		}
		raw, err := os.ReadFile(f.OIDCClientSecretFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("oidc-client-secret-file: %w", err))
		} else if s.ClientSecret = string(bytes.TrimSpace(raw)); s.ClientSecret == "" {
			errs = append(errs, errors.New("oidc-client-secret-file: the file is empty"))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, s.Validate())
	}
	switch {
	case f.AdminURL != "":
		errs = append(errs, login.ValidateURL(f.AdminURL))
	case f.OIDCIssuer != "":
		errs = append(errs, errors.New("admin-url: required with oidc-issuer: the provider leads browsers back to it"))
	}
	return s, errors.Join(errs...)
}

func (f *loginFlags) validate() error {
	_, err := f.provider()
	errs := []error{err}
	if f.LoginLife < time.Minute || f.LoginLife > 7*24*time.Hour {
		errs = append(errs, errors.New("login-life: from 1m to 168h"))
	}
	if f.LoginIdle < time.Minute || f.LoginIdle > f.LoginLife {
		errs = append(errs, errors.New("login-idle: from 1m to login-life"))
	}
	if f.OIDCRecheck < 10*time.Minute || f.OIDCRecheck > 24*time.Hour {
		errs = append(errs, errors.New("oidc-recheck: from 10m to 24h"))
	}
	return errors.Join(errs...)
}

// logins is how people log in at this node.
func (n *node) logins() (login.Config, error) {
	f := &n.cfg.Flags.loginFlags
	provider, err := f.provider()
	return login.Config{
		Keys: n.cfg.Ring, Notes: n.store, URL: f.AdminURL,
		Life: f.LoginLife, Idle: f.LoginIdle, Recheck: f.OIDCRecheck,
		Provider: provider, Audit: n.audit,
	}, err
}

// checkProvider asks the provider whether operators can log in there.
func checkProvider(ctx context.Context, f *providerFlags) []store.Finding {
	s, err := f.provider()
	if err == nil && s.Issuer == "" {
		return nil
	}
	const what = "OpenID provider"
	if err != nil {
		return []store.Finding{{What: what, Err: err}}
	}
	notes, err := login.Check(ctx, login.Config{URL: f.AdminURL, Provider: s, Now: time.Now})
	out := []store.Finding{{What: what, Err: err, Note: s.Issuer}}
	for _, note := range notes {
		out = append(out, store.Finding{What: what, Warning: true, Note: note})
	}
	return out
}
