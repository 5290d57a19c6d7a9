// Package tenant holds the clients of the service (the businesses that call
// it), their secrets and their policy.
package tenant

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"codeword/internal/guard"
	"codeword/internal/message"
	"codeword/internal/phone"
)

// Duration is a time.Duration that reads and writes as "10m" in JSON.
type Duration time.Duration

// MarshalText writes the form that time.ParseDuration reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the form of time.ParseDuration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: write it like 90s, 10m or 24h", text)
	}
	*d = Duration(v)
	return nil
}

// Rate configures a GCRA bucket: Burst at once, then one every Every. Zero
// values switch the limit off.
type Rate struct {
	Burst int      `json:"burst"`
	Every Duration `json:"every"`
}

// Bucket is the rate as the guard's arithmetic takes it.
func (r Rate) Bucket() guard.Bucket {
	return guard.Bucket{Burst: r.Burst, Every: time.Duration(r.Every)}
}

// Quota configures an exact sliding window: at most Max in any Period.
type Quota struct {
	Max    int      `json:"max"`
	Period Duration `json:"period"`
}

// Window is the quota as the guard's arithmetic takes it.
func (q Quota) Window() guard.Window {
	return guard.Window{Max: q.Max, Period: time.Duration(q.Period)}
}

// TrustedIssuer is an OpenID provider whose tokens the client may present as
// bearer on send and authenticate.
type TrustedIssuer struct {
	// Issuer is the exact iss claim, an https URL (http for loopback only).
	Issuer string `json:"issuer"`
	// Audience must be among the token's aud.
	Audience string `json:"audience"`
	// Algorithms pins the accepted JWS algorithms; default RS256 and ES256.
	// none and the HMAC family are refused at configuration time.
	Algorithms []string `json:"algorithms,omitempty"`
	// JWKSURL skips discovery when set.
	JWKSURL string `json:"jwksUrl,omitempty"`
}

// Settings is a client's policy. The zero value of a field that has a default
// is never meaningful by accident: Defaults fills the whole struct and JSON
// overrides field by field.
type Settings struct {
	// Brand is the name in the message text.
	Brand string `json:"brand"`
	// CodeLength is the number of digits, 4 to 10. NIST SP 800-63B-4 section
	// 3.1.3.2 asks for at least 6.
	CodeLength int `json:"codeLength"`
	// CodeLifetime is 1 to 15 minutes; NIST SP 800-63B-4 allows at most 10.
	CodeLifetime Duration `json:"codeLifetime"`
	// MaxAttempts is how many guesses one challenge takes, 1 to 10.
	MaxAttempts int `json:"maxAttempts"`
	// PhoneBurst and PhoneDay limit sends to one phone.
	PhoneBurst Rate  `json:"phoneBurst"`
	PhoneDay   Quota `json:"phoneDay"`
	// PhoneFailures limits wrong codes on one phone across challenges.
	PhoneFailures Quota `json:"phoneFailures"`
	// ClientRate limits all sends of the client.
	ClientRate Rate `json:"clientRate"`
	// AddressRate limits sends for one end-user address (an IPv6 /64 is one).
	AddressRate Rate `json:"addressRate"`
	// RequireAuthorization refuses calls without a bearer.
	RequireAuthorization bool `json:"requireAuthorization"`
	// AllowedRegions are ISO 3166-1 codes: US and, if wanted, PR VI GU AS MP.
	AllowedRegions []string `json:"allowedRegions"`
	// AllowedLineTypes are the types of lines that may be sent to, by their names in
	// phone.ParseLineTypes.
	AllowedLineTypes []string `json:"allowedLineTypes"`
	// FraudGuard is what the fraud guard may do: GuardEnforce, GuardShadow or GuardOff.
	FraudGuard string `json:"fraudGuard"`
	// SafeNumbers are never held back by the guard: numbers in E.164, thousands-blocks
	// (+1 and seven digits) and exchanges (+1 and six digits). SafeAddresses are
	// addresses or CIDR blocks of end users, likewise.
	SafeNumbers   []string `json:"safeNumbers,omitempty"`
	SafeAddresses []string `json:"safeAddresses,omitempty"`
	// SpendPerHour and SpendPerDay are budgets in US dollars, of the hours and days of
	// UTC, by the prices of the routes; 0: no limit.
	SpendPerHour float64 `json:"spendPerHour"`
	SpendPerDay  float64 `json:"spendPerDay"`
	// LineLookup and LineLookupFailure say when a service is asked for the type of a
	// line, and what happens when it cannot be; see phone.ParseLookupPolicy. Test
	// clients ask none.
	LineLookup        string `json:"lineLookup"`
	LineLookupFailure string `json:"lineLookupFailure"`
	// BotProof, when set, wants a captcha's token with each send.
	BotProof *BotProof `json:"botProof,omitempty"`
	// TokenLifetime is the life of a session JWT.
	TokenLifetime Duration `json:"tokenLifetime"`
	// SessionIdle is how long a session lives after its last use; it must not
	// be shorter than TokenLifetime.
	SessionIdle Duration `json:"sessionIdle"`
	// TrustedIssuers may vouch for users; see TrustedIssuer.
	TrustedIssuers []TrustedIssuer `json:"trustedIssuers,omitempty"`
	// Routes names the routes that the messages of a live client may take; empty:
	// all. Test clients' messages take none: they only reach the inbox.
	Routes []string `json:"routes,omitempty"`
	// Locale is the language of a message when the caller asks for none that
	// there is, a BCP 47 tag.
	Locale string `json:"locale"`
	// Locales, when not empty, are the only languages in which texts are written,
	// beside Locale and those of Templates; empty: all that there are texts in.
	Locales []string `json:"locales,omitempty"`
	// Templates are texts by language tag, in the place of the built-in ones, with
	// {code} and {brand} in them.
	Templates map[string]string `json:"templates,omitempty"`
	// MaxSegments is how many SMS a text may take, 1 to 4.
	MaxSegments int `json:"maxSegments"`
	// WebOTPDomain, when set, ends each text with "@domain #code", by which a
	// browser offers the code on that site alone.
	WebOTPDomain string `json:"webOtpDomain,omitempty"`
	// AndroidAppHash, when set, ends each text with the 11 characters by which
	// Android's SMS Retriever finds the app.
	AndroidAppHash string `json:"androidAppHash,omitempty"`
}

// RouteInbox is the route that shows messages on the admin listener instead of
// sending them.
const RouteInbox = "inbox"

// Defaults is the policy of a client that configures nothing.
func Defaults() Settings {
	return Settings{
		Brand:      "Codeword",
		LineLookup: "off", LineLookupFailure: "table",
		CodeLength:       6,
		CodeLifetime:     Duration(10 * time.Minute),
		MaxAttempts:      5,
		PhoneBurst:       Rate{Burst: 3, Every: Duration(time.Minute)},
		PhoneDay:         Quota{Max: 10, Period: Duration(24 * time.Hour)},
		PhoneFailures:    Quota{Max: 15, Period: Duration(24 * time.Hour)},
		ClientRate:       Rate{Burst: 1000, Every: Duration(5 * time.Millisecond)},
		AddressRate:      Rate{Burst: 10, Every: Duration(30 * time.Second)},
		AllowedRegions:   []string{"US"},
		AllowedLineTypes: []string{"mobile", "unknown"},
		FraudGuard:       GuardEnforce,
		TokenLifetime:    Duration(5 * time.Minute),
		SessionIdle:      Duration(10 * time.Minute),
		Locale:           "en",
		MaxSegments:      1,
	}
}

// ParseSettings reads a JSON object over the defaults and validates the result.
// Names that are unknown, written in another case or given twice are errors, so
// that a misspelled limit is not silently ignored.
func ParseSettings(raw []byte) (Settings, error) {
	s := Defaults()
	if len(raw) > 0 {
		if jsontext.Value(raw).Kind() != '{' {
			return Settings{}, errors.New("settings: not a JSON object")
		}
		in := struct {
			*Settings
			formerSettings
		}{Settings: &s}
		if err := json.Unmarshal(raw, &in, json.RejectUnknownMembers(true)); err != nil {
			return Settings{}, fmt.Errorf("settings: %w", err)
		}
		if err := in.check(); err != nil {
			return s, errors.Join(err, s.Validate())
		}
	}
	return s, s.Validate()
}

// formerSettings are read, so that what the release before wrote is not refused,
// and mean nothing any more.
type formerSettings struct {
	// Route was where the messages went; there was but one place.
	Route string `json:"route,omitempty"`
}

// formerRoute is the JSON name of formerSettings.Route.
const formerRoute = "route"

func (f formerSettings) check() error {
	if f.Route != "" && f.Route != RouteInbox {
		return fmt.Errorf("route: %q is not known; name routes in routes", f.Route)
	}
	return nil
}

// Validate reports every rule that the settings break, joined.
func (s Settings) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.CodeLength >= minCode && s.CodeLength <= maxCode,
		"codeLength: %d is not within %d to %d", s.CodeLength, minCode, maxCode)
	check(within(s.CodeLifetime, time.Minute, 15*time.Minute), "codeLifetime: not within 1m to 15m")
	check(s.MaxAttempts >= 1 && s.MaxAttempts <= 10, "maxAttempts: %d is not within 1 to 10", s.MaxAttempts)
	check(within(s.TokenLifetime, 30*time.Second, 24*time.Hour), "tokenLifetime: not within 30s to 24h")
	check(s.SessionIdle >= s.TokenLifetime, "sessionIdle: shorter than tokenLifetime")
	check(within(s.SessionIdle, 0, 30*24*time.Hour), "sessionIdle: over 720h")
	for _, r := range []struct {
		name string
		rate Rate
	}{{"phoneBurst", s.PhoneBurst}, {"clientRate", s.ClientRate}, {"addressRate", s.AddressRate}} {
		check(r.rate.Burst >= 0 && r.rate.Every >= 0 && (r.rate.Burst == 0) == (r.rate.Every == 0),
			"%s: burst and every are both positive, or both zero for no limit", r.name)
		check(r.rate.Every <= 0 || Duration(r.rate.Burst) <= maxRefill/r.rate.Every,
			"%s: burst times every is over %s", r.name, time.Duration(maxRefill))
	}
	for _, q := range []struct {
		name  string
		quota Quota
	}{{"phoneDay", s.PhoneDay}, {"phoneFailures", s.PhoneFailures}} {
		check(q.quota.Max >= 0 && q.quota.Max <= 100 && q.quota.Period >= 0 && (q.quota.Max == 0) == (q.quota.Period == 0),
			"%s: max (at most 100) and period are both positive, or both zero for no limit", q.name)
		check(time.Duration(q.quota.Period) <= MaxPeriod, "%s: period is over %s", q.name, MaxPeriod)
	}
	if _, err := phone.ParseRegions(s.AllowedRegions); err != nil {
		errs = append(errs, fmt.Errorf("allowedRegions: %w", err))
	}
	if _, err := phone.ParseLineTypes(s.AllowedLineTypes); err != nil {
		errs = append(errs, fmt.Errorf("allowedLineTypes: %w", err))
	}
	errs = append(errs, s.checkGuard(), s.checkOnline())
	check(s.Locale != "", "locale: empty")
	check(s.MaxSegments != 0, "maxSegments: 0 is not within 1 to %d", message.MaxSegments)
	errs = append(errs, s.checkRoutes(), s.checkTexts())
	issuers := make(map[string]bool)
	for i, t := range s.TrustedIssuers {
		check(!issuers[t.Issuer], "trustedIssuers[%d]: issuer is in the list already", i)
		issuers[t.Issuer] = true
		if err := t.validate(); err != nil {
			errs = append(errs, fmt.Errorf("trustedIssuers[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// checkTexts checks what the texts are made of. That of codeLength is told
// elsewhere.
func (s Settings) checkTexts() error {
	if s.CodeLength < minCode || s.CodeLength > maxCode {
		s.CodeLength = maxCode
	}
	_, _, err := s.Texts()
	return err
}

// Texts compiles the texts of the client. Besides, it tells what an operator
// should know of them, a sentence each; see message.Compile.
func (s Settings) Texts() (*message.Texts, []string, error) {
	return message.Compile(message.Config{
		Brand:         s.Brand,
		Templates:     s.Templates,
		Locale:        s.Locale,
		Locales:       s.Locales,
		WebOTPDomain:  s.WebOTPDomain,
		RetrieverHash: s.AndroidAppHash,
		CodeLength:    s.CodeLength,
		MaxSegments:   s.MaxSegments,
	})
}

// maxRoutes bounds how many routes a client may name.
const maxRoutes = 16

func (s Settings) checkRoutes() error {
	var errs []error
	if len(s.Routes) > maxRoutes {
		errs = append(errs, fmt.Errorf("routes: more than %d", maxRoutes))
	}
	seen := make(map[string]bool)
	for i, name := range s.Routes {
		if !isRouteName(name) {
			errs = append(errs, fmt.Errorf("routes[%d]: %q is no name of a route (a-z, 0-9, - and _, at most 32)", i, name))
		}
		if seen[name] {
			errs = append(errs, fmt.Errorf("routes[%d]: %q is in the list already", i, name))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}

// isRouteName reports whether name matches ^[a-z0-9][a-z0-9_-]{0,31}$.
func isRouteName(name string) bool {
	if name == "" || len(name) > 32 || name[0] == '-' || name[0] == '_' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// maxName bounds the name of a client, in bytes.
const maxName = 64

// minCode and maxCode bound the length of codes, in digits.
const (
	minCode = 4
	maxCode = 10
)

// MaxPeriod is the longest period of a quota. Phones are kept for at least as
// long after their last message, and the events of the quota with them.
const MaxPeriod = 24 * time.Hour

// maxRefill is how long an empty bucket may take to fill, so that the limits'
// arithmetic stays far from the end of what a duration can say.
const maxRefill = Duration(365 * 24 * time.Hour)

// printable reports whether s is text of 1 to limit bytes without controls,
// which would forge lines in a message or on an operator's terminal.
func printable(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func within(d Duration, low, high time.Duration) bool {
	return time.Duration(d) >= low && time.Duration(d) <= high
}

// asymmetric are the JWS algorithms that a trusted issuer may use. The HMAC
// family is left out on purpose: a public key is no shared secret (RFC 8725
// section 2.1).
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (t TrustedIssuer) validate() error {
	var errs []error
	if err := httpsOrLoopback(t.Issuer); err != nil {
		errs = append(errs, fmt.Errorf("issuer: %w", err))
	}
	if t.Audience == "" {
		errs = append(errs, errors.New("audience: required"))
	}
	if t.JWKSURL != "" {
		if err := httpsOrLoopback(t.JWKSURL); err != nil {
			errs = append(errs, fmt.Errorf("jwksUrl: %w", err))
		}
	}
	for _, a := range t.Algorithms {
		if !slices.Contains(asymmetric, a) {
			errs = append(errs, fmt.Errorf("algorithms: %q is not one of %s", a, strings.Join(asymmetric, " ")))
		}
	}
	return errors.Join(errs...)
}

func httpsOrLoopback(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("not a URL")
	}
	switch h := u.Hostname(); {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (h == "127.0.0.1" || h == "::1" || h == "localhost"):
		return nil
	default:
		return errors.New("must be https")
	}
}
