// Package telnyx asks Telnyx's Number Lookup for the line type of a number.
//
// See https://developers.telnyx.com/docs/identity/number-lookup.
package telnyx

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
	"codeword/internal/phone"
)

const defaultBase = "https://api.telnyx.com"

// The codes of https://developers.telnyx.com/docs/overview/errors that say that there
// is no such number. They are strings of digits.
const (
	codeNoSuchNumber  = "10002" // Invalid phone number
	codeNoSuchThing   = "10005" // Resource not found
	codeNotInThisForm = "10016" // Phone number must be in +E.164 format
)

// Config is an account that asks.
type Config struct {
	// APIKey is a v2 API key (KEY...).
	APIKey carrier.Secret `yaml:"api-key"`
	// BaseURL is where the API is. Default https://api.telnyx.com.
	BaseURL string `yaml:"base-url"`

	// TLS is for tests; see rest.Config.
	TLS *tls.Config `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

// Validate reports all that is wrong, joined, each starting with the field.
func (c Config) Validate() error {
	var errs []error
	if c.APIKey == "" {
		errs = append(errs, errors.New("api-key: required"))
	}
	_, err := c.base()
	return errors.Join(append(errs, err)...)
}

func (c Config) base() (string, error) { return rest.ParseBase(cmp.Or(c.BaseURL, defaultBase)) }

// Provider asks Telnyx. It is safe for concurrent use.
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
func (p *Provider) Name() string { return "telnyx" }

// answer is the part of one that matters.
type answer struct {
	Data *struct {
		Carrier struct {
			Type string `json:"type"`
		} `json:"carrier"`
		// Valid is missing from older answers.
		Valid *bool `json:"valid_number"`
	} `json:"data"`
	Errors []struct {
		Code any `json:"code"`
	} `json:"errors"`
}

// code is the first error's, "" without one.
func (a *answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	switch code := a.Errors[0].Code.(type) {
	case string:
		// It goes into errors: only what may be a code.
		if len(code) == len(codeNoSuchNumber) {
			return code
		}
	case float64:
		return fmt.Sprintf("%.0f", code)
	}
	return ""
}

// LineType implements phone.LineTyper. Its errors are *carrier.Error.
func (p *Provider) LineType(ctx context.Context, n phone.Number) (phone.LineType, error) {
	a, err := p.get(ctx, "/v2/number_lookup/"+n.E164()+"?type=carrier")
	if err != nil {
		return phone.LineUnknown, err
	}
	var got answer
	err = json.Unmarshal(a.Body, &got)
	switch {
	case !a.OK() && err == nil && isNoSuchNumber(got.code()):
		return phone.LineUnknown, nil
	case !a.OK() && err == nil && got.code() != "":
		return phone.LineUnknown, a.Failure(p.cfg.Now(), errors.New("code "+got.code()))
	case !a.OK():
		return phone.LineUnknown, a.Failure(p.cfg.Now(), nil)
	case err != nil || got.Data == nil:
		return phone.LineUnknown, carrier.NewError(carrier.ReasonGarbage, errors.New("not JSON as documented")) // err may quote the number
	case got.Data.Valid != nil && !*got.Data.Valid:
		return phone.LineUnknown, nil
	}
	return lineType(got.Data.Carrier.Type), nil
}

func isNoSuchNumber(code string) bool {
	return code == codeNoSuchNumber || code == codeNoSuchThing || code == codeNotInThisForm
}

// lineType reads the documented types. Of VoIP Telnyx does not say which it is: what
// anybody gets for nothing is not to be mistaken for what hangs on an address. "fixed
// line or mobile" is what it says when it cannot tell.
func lineType(name string) phone.LineType {
	switch name {
	case "mobile":
		return phone.LineMobile
	case "fixed line":
		return phone.LineLandline
	case "voip":
		return phone.LineNonFixedVoIP
	case "toll free":
		return phone.LineTollFree
	case "premium rate", "shared cost": // the caller pays more than for a call
		return phone.LinePremium
	case "pager":
		return phone.LinePager
	case "voicemail":
		return phone.LineVoicemail
	case "personal number", "uan":
		return phone.LineOther
	default: // "unknown", "fixed line or mobile"
		return phone.LineUnknown
	}
}

// Check implements carrier.Checker: it reads the account's balance, which costs nothing.
func (p *Provider) Check(ctx context.Context) error {
	a, err := p.get(ctx, "/v2/balance")
	if err != nil {
		return fmt.Errorf("telnyx: %w", rest.Explain(err))
	}
	var got struct {
		Data *struct{} `json:"data"`
	}
	var failed answer
	err = json.Unmarshal(a.Body, &got)
	switch {
	case !a.OK() && json.Unmarshal(a.Body, &failed) == nil && failed.code() != "":
		return fmt.Errorf("telnyx: HTTP status %d, code %s: see https://developers.telnyx.com/docs/overview/errors/%s",
			a.Status, failed.code(), failed.code())
	case !a.OK():
		return fmt.Errorf("telnyx: HTTP status %d", a.Status)
	case err != nil || got.Data == nil:
		return errors.New("telnyx: base-url: what answers there is not Telnyx's API")
	}
	return nil
}

func (p *Provider) get(ctx context.Context, path string) (*rest.Answer, error) {
	r, err := rest.NewRequest(http.MethodGet, p.base+path, "", "")
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+string(p.cfg.APIKey))
	return p.client.Do(ctx, r)
}
