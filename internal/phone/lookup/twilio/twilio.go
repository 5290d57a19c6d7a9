// Package twilio asks Twilio's Lookup v2 for the line type of a number.
//
// See https://www.twilio.com/docs/lookup/v2-api/line-type-intelligence.
package twilio

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
	"codeword/internal/phone"
)

const (
	defaultBase = "https://lookups.twilio.com"
	path        = "/v2/PhoneNumbers/"
	fields      = "?Fields=line_type_intelligence"
)

// checkNumber is whom Check asks about. A look-up without fields is free.
const checkNumber = "+14159929960"

// The codes of https://www.twilio.com/docs/api/errors that say something about the
// number, and nothing about the account or the service.
const (
	codeNoSuchNumber  = 20404 // as the code of a 404
	codeNotCovered    = 60600 // unprovisioned, or out of coverage
	codeNoCanada      = 60601 // Canada takes an approval
	codeNoSuchCountry = 60607
)

// Config is an account that asks.
type Config struct {
	// AccountSID names the account (AC...).
	AccountSID string `yaml:"account-sid"`
	// AuthToken is the account's; not needed with an API key.
	AuthToken carrier.Secret `yaml:"auth-token"`
	// APIKeySID (SK...) and APIKeySecret, if set, are used instead of the account
	// and its token.
	APIKeySID    string         `yaml:"api-key-sid"`
	APIKeySecret carrier.Secret `yaml:"api-key-secret"`
	// BaseURL is where the API is. Default https://lookups.twilio.com.
	BaseURL string `yaml:"base-url"`

	// TLS is for tests; see rest.Config.
	TLS *tls.Config `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	keySID     = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
)

// Validate reports all that is wrong, joined, each starting with the field.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	withKey := c.APIKeySID != "" || c.APIKeySecret != ""
	check(withKey || accountSID.MatchString(c.AccountSID), "account-sid: not AC and 32 hexadecimal digits")
	check(withKey || c.AuthToken != "", "auth-token: required, or api-key-sid and api-key-secret")
	if withKey {
		check(keySID.MatchString(c.APIKeySID), "api-key-sid: not SK and 32 hexadecimal digits")
		check(c.APIKeySecret != "", "api-key-secret: required with api-key-sid")
	}
	_, err := c.base()
	return errors.Join(append(errs, err)...)
}

func (c Config) base() (string, error) { return rest.ParseBase(cmp.Or(c.BaseURL, defaultBase)) }

// Provider asks Twilio. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	base   string
	client *rest.Client
}

// New returns a Provider, or what is wrong with cfg.
func New(cfg Config) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	return &Provider{cfg: cfg, base: base, client: rest.New(rest.Config{TLS: cfg.TLS})}, nil
}

// Name implements lookup.Provider.
func (p *Provider) Name() string { return "twilio" }

// answer is the part of one that matters. Valid is missing from an error.
type answer struct {
	Valid    *bool `json:"valid"`
	LineType *struct {
		Type      string `json:"type"`
		ErrorCode int    `json:"error_code"`
	} `json:"line_type_intelligence"`
	Code int `json:"code"`
}

// LineType implements phone.LineTyper. Its errors are *carrier.Error.
func (p *Provider) LineType(ctx context.Context, n phone.Number) (phone.LineType, error) {
	a, err := p.get(ctx, n.E164()+fields)
	if err != nil {
		return phone.LineUnknown, err
	}
	var got answer
	err = json.Unmarshal(a.Body, &got)
	switch {
	case a.Status == http.StatusNotFound && err == nil && got.Code == codeNoSuchNumber:
		return phone.LineUnknown, nil
	case !a.OK() && err == nil && got.Code != 0:
		return phone.LineUnknown, a.Failure(p.cfg.Now(), fmt.Errorf("code %d", got.Code))
	case !a.OK():
		return phone.LineUnknown, a.Failure(p.cfg.Now(), nil)
	case err != nil:
		return phone.LineUnknown, carrier.NewError(carrier.ReasonGarbage, errors.New("not JSON as documented")) // err may quote the number
	case got.LineType == nil && got.Valid != nil && !*got.Valid:
		return phone.LineUnknown, nil
	case got.LineType == nil:
		return phone.LineUnknown, carrier.NewError(carrier.ReasonGarbage, errors.New("no line type in the answer"))
	}
	switch code := got.LineType.ErrorCode; code {
	case 0:
		return lineType(got.LineType.Type), nil
	case codeNotCovered, codeNoCanada, codeNoSuchCountry:
		return phone.LineUnknown, nil
	default:
		// 60606 (the package is not enabled) and whatever else an operator should see.
		return phone.LineUnknown, carrier.NewError(carrier.ReasonMisconfigured, fmt.Errorf("code %d", code))
	}
}

// lineType reads the documented types. A new one is unknown.
func lineType(name string) phone.LineType {
	switch name {
	case "mobile":
		return phone.LineMobile
	case "landline":
		return phone.LineLandline
	case "fixedVoip":
		return phone.LineFixedVoIP
	case "nonFixedVoip":
		return phone.LineNonFixedVoIP
	case "tollFree":
		return phone.LineTollFree
	case "premium", "sharedCost": // the caller pays more than for a call
		return phone.LinePremium
	case "pager":
		return phone.LinePager
	case "voicemail":
		return phone.LineVoicemail
	case "personal", "uan":
		return phone.LineOther
	default: // "unknown"
		return phone.LineUnknown
	}
}

// Check implements carrier.Checker with a look-up that costs nothing.
func (p *Provider) Check(ctx context.Context) error {
	a, err := p.get(ctx, checkNumber)
	if err != nil {
		return fmt.Errorf("twilio: %w", rest.Explain(err))
	}
	var got answer
	err = json.Unmarshal(a.Body, &got)
	switch {
	case !a.OK() && err == nil && got.Code != 0:
		return fmt.Errorf("twilio: HTTP status %d, code %d: see https://www.twilio.com/docs/api/errors/%d", a.Status, got.Code, got.Code)
	case !a.OK():
		return fmt.Errorf("twilio: HTTP status %d", a.Status)
	case err != nil || got.Valid == nil:
		return errors.New("twilio: base-url: what answers there is not Twilio's Lookup")
	}
	return nil
}

func (p *Provider) get(ctx context.Context, what string) (*rest.Answer, error) {
	r, err := rest.NewRequest(http.MethodGet, p.base+path+what, "", "")
	if err != nil {
		return nil, err
	}
	if p.cfg.APIKeySID != "" {
		r.SetBasicAuth(p.cfg.APIKeySID, string(p.cfg.APIKeySecret))
	} else {
		r.SetBasicAuth(p.cfg.AccountSID, string(p.cfg.AuthToken))
	}
	return p.client.Do(ctx, r)
}
