package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Settings say where people log in, and which claims give them which role. The zero
// value is no provider.
type Settings struct {
	// Issuer is the provider's identifier, an https URL; http on this machine.
	Issuer       string
	ClientID     string
	ClientSecret string
	// RoleClaim names the claim whose text, or one of whose texts, gives a role. A dot
	// leads into an object where no claim has the whole name: realm_access.roles.
	RoleClaim string
	// Viewers, Operators and Admins are the texts; the highest role counts.
	Viewers, Operators, Admins []string
	// EmailDomains, when there are any, are those of verified addresses that get in.
	EmailDomains []string
	// Require are claims as NAME=VALUE that all have to hold.
	Require []string
	// Scopes are asked for beside openid.
	Scopes []string
}

// Format keeps the client secret out of logs.
func (s Settings) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "OpenID provider %q", s.Issuer) }

// given tells whether anything is set that needs a provider.
func (s *Settings) given() bool {
	lists := [][]string{s.Viewers, s.Operators, s.Admins, s.EmailDomains, s.Require}
	return s.Issuer != "" || s.ClientID != "" || s.ClientSecret != "" ||
		slices.ContainsFunc(lists, func(l []string) bool { return len(l) > 0 })
}

// Validate tells everything that is wrong, by the names of the flags. No settings are
// right, half of them are not.
func (s *Settings) Validate() error {
	if !s.given() {
		return nil
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	u, err := url.Parse(s.Issuer)
	switch {
	case s.Issuer == "":
		wrong("oidc-issuer: required with the other oidc settings")
	case err != nil || !reachable(u) || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" ||
		strings.ContainsFunc(s.Issuer, func(c rune) bool { return c <= ' ' || c >= 0x7f }):
		wrong("oidc-issuer: %q is not an https URL, or an http URL of this machine", s.Issuer)
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		wrong("oidc-issuer: without /.well-known/openid-configuration")
	}
	if s.ClientID == "" {
		wrong("oidc-client-id: required with oidc-issuer")
	}
	if s.ClientSecret == "" {
		wrong("oidc-client-secret: required with oidc-issuer; or oidc-client-secret-file")
	}
	if s.RoleClaim == "" {
		wrong("oidc-role-claim: required with oidc-issuer")
	}
	if len(s.Viewers)+len(s.Operators)+len(s.Admins) == 0 {
		wrong("oidc-viewers, oidc-operators and oidc-admins: without any of them nobody has a role")
	}
	for flag, values := range map[string][]string{"oidc-viewers": s.Viewers, "oidc-operators": s.Operators, "oidc-admins": s.Admins} {
		if slices.Contains(values, "") {
			wrong("%s: an empty value", flag)
		}
	}
	for _, d := range s.EmailDomains {
		if d == "" || strings.ContainsAny(d, "@ /*") {
			wrong("oidc-email-domains: %q is not a domain", d)
		}
	}
	for _, r := range s.Require {
		if name, value, ok := strings.Cut(r, "="); !ok || name == "" || value == "" {
			wrong("oidc-require: %q is not NAME=VALUE", r)
		}
	}
	return errors.Join(errs...)
}

// rules are what decides who gets in, in one text: sessions end when it changes.
func (s *Settings) rules() string {
	decides := *s
	decides.ClientSecret, decides.Scopes = "", nil // they decide nothing
	type plain Settings                            // without Format, and as data
	raw, err := json.Marshal(plain(decides))       //nolint:gosec // the secret is left out
	if err != nil {
		panic(fmt.Errorf("login: %w", err)) // texts can be written
	}
	return string(raw)
}

// wanted are the claims that are asked for at userinfo when the id token lacks one: many
// providers keep an id token small.
func (s *Settings) wanted() []string {
	out := []string{s.RoleClaim}
	if len(s.EmailDomains) > 0 || slices.Contains(s.Scopes, "email") {
		out = append(out, "email")
	}
	for _, r := range s.Require {
		name, _, _ := strings.Cut(r, "=")
		out = append(out, name)
	}
	return out
}

// claims are what a provider says of somebody.
type claims map[string]any

// refusal says why somebody whom the provider knows does not get in.
type refusal struct{ why string }

func (r *refusal) Error() string { return r.why }

// judge returns the role that the claims give.
func (s *Settings) judge(c claims) (Role, error) {
	verified := c["email_verified"] == true || c["email_verified"] == "true" // some write it as a text
	if len(s.EmailDomains) > 0 {
		email, _ := c["email"].(string)
		_, domain, ok := cutLast(email, "@")
		if !ok || !verified || !slices.ContainsFunc(s.EmailDomains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			return Nobody, &refusal{"The provider names no verified e-mail address of a domain that may log in here."}
		}
	}
	for _, r := range s.Require {
		name, value, _ := strings.Cut(r, "=")
		if !slices.Contains(c.texts(name), value) || name == "email" && !verified {
			return Nobody, &refusal{"The provider does not say of you what is required here (oidc-require)."}
		}
	}
	values := c.texts(s.RoleClaim)
	if s.RoleClaim == "email" && !verified {
		values = nil
	}
	for _, of := range []struct {
		role  Role
		texts []string
	}{{Admin, s.Admins}, {Operator, s.Operators}, {Viewer, s.Viewers}} {
		if slices.ContainsFunc(of.texts, func(t string) bool { return slices.Contains(values, t) }) {
			return of.role, nil
		}
	}
	if len(values) == 0 {
		return Nobody, &refusal{"You have no role here: the provider sends no claim of the name that gives roles (oidc-role-claim)."}
	}
	return Nobody, &refusal{"You have no role here: none of what the provider says of you gives one."}
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}

// find returns a claim by its name, or by a path of names with dots between them.
func (c claims) find(name string) (value any, ok bool) {
	if value, ok = c[name]; ok {
		return value, true
	}
	head, rest, dotted := strings.Cut(name, ".")
	inner, isObject := c[head].(map[string]any)
	if !dotted || !isObject {
		return nil, false
	}
	return claims(inner).find(rest)
}

// texts are the texts of a claim: itself, or those in a list. Numbers and truth are
// written as in JSON.
func (c claims) texts(name string) []string {
	value, _ := c.find(name)
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case bool, json.Number:
			out = append(out, fmt.Sprint(v))
		}
	}
	return out
}

// name is what to call somebody. It proves nothing: some providers let people choose it.
func (c claims) name() string {
	for _, claim := range []string{"email", "preferred_username", "name"} {
		text, _ := c[claim].(string)
		if text = shortened(text); text != "" {
			return text
		}
	}
	return ""
}
