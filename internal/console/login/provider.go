package login

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// How the provider is asked.
const (
	askTimeout = 10 * time.Second
	// maxDocument bounds each of its answers, in bytes.
	maxDocument = 1 << 20
	// maxExchanges is how many codes are exchanged at once. Anybody can bring one, and
	// must not flood the provider through us.
	maxExchanges = 16
	// freshDiscovery is for how long its description is used, retryDiscovery how long it
	// is left alone when that could not be had.
	freshDiscovery = time.Hour
	retryDiscovery = 5 * time.Second
)

// algorithms are those of signatures that the provider alone can make. Neither "none" nor
// those under the client secret are among them (RFC 8725 section 3.1).
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
	oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// errDown means that the provider cannot be asked now.
var errDown = errors.New("the provider does not answer as it should")

// provider is where people log in.
type provider struct {
	cfg    *Config
	client *http.Client
	// exchanges has a place taken for each that is under way.
	exchanges chan struct{}

	mu    sync.Mutex
	found *discovered
	at    time.Time // when it was found
	tried time.Time
	err   error
}

// discovered is the provider as it describes itself.
type discovered struct {
	*oidc.Provider

	about    description
	verifier *oidc.IDTokenVerifier
}

// description is the part of OpenID Connect Discovery section 3 that is judged here.
type description struct {
	AuthURL      string   `json:"authorization_endpoint"`
	TokenURL     string   `json:"token_endpoint"`
	UserInfoURL  string   `json:"userinfo_endpoint"`
	KeysURL      string   `json:"jwks_uri"`
	Types        []string `json:"response_types_supported"`
	Challenges   []string `json:"code_challenge_methods_supported"`
	Algorithms   []string `json:"id_token_signing_alg_values_supported"`
	Methods      []string `json:"token_endpoint_auth_methods_supported"`
	AlwaysIssuer bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
}

func newProvider(cfg *Config) *provider {
	return &provider{cfg: cfg, client: asking(cfg.Client), exchanges: make(chan struct{}, maxExchanges)}
}

// enter takes a place for an exchange, if one is free.
func (p *provider) enter() bool {
	select {
	case p.exchanges <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *provider) leave() { <-p.exchanges }

// asking returns a client that follows nobody elsewhere and reads no more than is
// sensible.
func asking(base *http.Client) *http.Client {
	if base == nil {
		base = &http.Client{}
	}
	client := *base
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = bounded{client.Transport}
	client.Timeout, client.Jar = askTimeout, nil
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("the provider may not redirect") }
	return &client
}

type bounded struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxDocument)
	}
	return resp, err
}

// context has the client with which the libraries ask.
func (p *provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// discover returns the provider as it describes itself. One that was found works on when
// it cannot be had anew.
func (p *provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // others that log in want the same
	now := p.cfg.Now()
	if p.found != nil && now.Sub(p.at) < freshDiscovery {
		return p.found, nil
	}
	if !p.tried.IsZero() && now.Sub(p.tried) < retryDiscovery && now.Sub(p.tried) >= 0 {
		return p.found, p.err
	}
	found, err := p.load(ctx)
	p.tried = p.cfg.Now()
	switch {
	case err == nil:
		p.found, p.at, p.err = found, p.tried, nil
	case p.found == nil:
		p.err = fmt.Errorf("%w: %w", errDown, err)
	}
	return p.found, p.err
}

func (p *provider) load(ctx context.Context) (*discovered, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := oidc.NewProvider(p.context(ctx), p.cfg.Provider.Issuer)
	if err != nil {
		return nil, err
	}
	d := &discovered{Provider: found}
	if err := found.Claims(&d.about); err != nil {
		return nil, err
	}
	if err := d.about.check(); err != nil {
		return nil, err
	}
	// The clock is read late by the leeway, so that a token that has just expired by our
	// clock counts.
	d.verifier = found.VerifierContext(p.context(context.WithoutCancel(ctx)), &oidc.Config{
		ClientID: p.cfg.Provider.ClientID, SupportedSigningAlgs: d.about.algorithms(),
		Now: func() time.Time { return p.cfg.Now().Add(-leeway) },
	})
	return d, nil
}

// check tells why nobody can log in at such a provider.
func (d *description) check() error {
	for name, raw := range map[string]string{"authorization_endpoint": d.AuthURL, "token_endpoint": d.TokenURL, "jwks_uri": d.KeysURL} {
		if u, err := url.Parse(raw); err != nil || !reachable(u) {
			return fmt.Errorf("its %s is not an https URL", name)
		}
	}
	if d.UserInfoURL != "" {
		if u, err := url.Parse(d.UserInfoURL); err != nil || !reachable(u) {
			return errors.New("its userinfo_endpoint is not an https URL")
		}
	}
	switch {
	case len(d.Types) > 0 && !slices.Contains(d.Types, "code"):
		return errors.New("it does not offer the response type code")
	case len(d.Challenges) > 0 && !slices.Contains(d.Challenges, "S256"):
		return errors.New("it does not offer PKCE with S256")
	case d.style() == oauth2.AuthStyleAutoDetect:
		return errors.New("it takes the client secret neither by client_secret_basic nor by client_secret_post")
	case len(d.algorithms()) == 0:
		return errors.New("it signs id tokens with no algorithm that is accepted here")
	}
	return nil
}

// style is how the client secret is sent; not as the library would find out, which hands
// a code in twice. One that names none takes Basic.
func (d *description) style() oauth2.AuthStyle {
	switch {
	case len(d.Methods) == 0 || slices.Contains(d.Methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader
	case slices.Contains(d.Methods, "client_secret_post"):
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleAutoDetect
}

// algorithms are the provider's that are accepted; one that names none uses RS256.
func (d *description) algorithms() (out []string) {
	if len(d.Algorithms) == 0 {
		return []string{oidc.RS256}
	}
	for _, a := range d.Algorithms {
		if slices.Contains(algorithms, a) {
			out = append(out, a)
		}
	}
	return out
}

// oauth is the client towards this provider.
func (p *provider) oauth(d *discovered) *oauth2.Config {
	endpoint := d.Endpoint()
	endpoint.AuthStyle = d.about.style()
	return &oauth2.Config{
		ClientID: p.cfg.Provider.ClientID, ClientSecret: p.cfg.Provider.ClientSecret, Endpoint: endpoint,
		RedirectURL: p.cfg.URL + CallbackPath, Scopes: append([]string{oidc.ScopeOpenID}, p.cfg.Provider.Scopes...),
	}
}

// identify turns a code into what the provider says of somebody. The provider may not
// answer (errDown); any other error means that the answer is not to be trusted.
func (p *provider) identify(ctx context.Context, d *discovered, code string, f *flow) (claims, error) {
	ctx, cancel := context.WithTimeout(p.context(ctx), askTimeout)
	defer cancel()
	token, err := p.oauth(d).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) && refused.Response.StatusCode < http.StatusInternalServerError {
		return nil, fmt.Errorf("the code was refused: %s", brief(refused.ErrorCode))
	} else if err != nil {
		return nil, fmt.Errorf("%w: the code could not be exchanged: %s", errDown, brief(err.Error()))
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("there is no id token")
	}
	id, err := d.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the id token is not good: %s", brief(err.Error()))
	}
	c, err := p.accept(id, f)
	if err != nil {
		return nil, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return nil, errors.New("the access token is not that of the id token")
		}
	}
	if d.about.UserInfoURL != "" && slices.ContainsFunc(p.cfg.Provider.wanted(), func(name string) bool { _, has := c.find(name); return !has }) {
		return c, p.addUserInfo(ctx, d, token, c)
	}
	return c, nil
}

// accept checks what the library leaves to its user (OpenID Connect Core sections 2 and
// 3.1.3.7), and reads the claims.
func (p *provider) accept(id *oidc.IDToken, f *flow) (claims, error) {
	var raw json.RawMessage
	if err := id.Claims(&raw); err != nil {
		return nil, errors.New("the id token's claims cannot be read")
	}
	c, err := readClaims(raw)
	if err != nil {
		return nil, err
	}
	azp, _ := c["azp"].(string)
	now := p.cfg.Now()
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return nil, errors.New("the id token has another nonce")
	case id.Subject == "" || len(id.Subject) > maxSub:
		return nil, errors.New("the id token has no sensible subject")
	case azp != "" && azp != p.cfg.Provider.ClientID, azp == "" && len(id.Audience) > 1:
		return nil, errors.New("the id token is for another party (azp)")
	case id.IssuedAt.IsZero() || id.IssuedAt.After(now.Add(leeway)):
		return nil, errors.New("the id token is from the future: the clocks differ")
	case id.IssuedAt.Before(time.Unix(f.Began, 0).Add(-leeway)):
		return nil, errors.New("the id token is older than the login")
	}
	return c, nil
}

// maxSub bounds a subject, in bytes (OpenID Connect Core section 2).
const maxSub = 255

// readClaims keeps numbers as they are written.
func readClaims(raw []byte) (claims, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	c := claims{}
	if err := dec.Decode(&c); err != nil {
		return nil, errors.New("the claims cannot be read")
	}
	return c, nil
}

// addUserInfo asks for the claims that are not in the id token. Those that are go first.
func (p *provider) addUserInfo(ctx context.Context, d *discovered, token *oauth2.Token, c claims) error {
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return fmt.Errorf("%w: userinfo: %s", errDown, brief(err.Error()))
	}
	if info.Subject != c["sub"] {
		return errors.New("userinfo is about somebody else") // OpenID Connect Core section 5.3.2
	}
	var raw json.RawMessage
	if err := info.Claims(&raw); err != nil {
		return errors.New("userinfo cannot be read")
	}
	more, err := readClaims(raw)
	if err != nil {
		return err
	}
	switch has, email := c["email"], more["email"]; {
	case has != nil && has != email:
		delete(more, "email_verified") // that is of another address
	case has == nil && email != nil:
		delete(c, "email_verified") // that was of none
	}
	for name, value := range more {
		if _, has := c[name]; !has {
			c[name] = value
		}
	}
	return nil
}

// brief cuts what a provider says, for logs.
func brief(text string) string {
	const most = 300
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
