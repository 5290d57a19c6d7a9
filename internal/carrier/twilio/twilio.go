// Package twilio sends messages through Twilio's Programmable Messaging, and
// reads what Twilio reports about them.
//
// See https://www.twilio.com/docs/messaging/api/message-resource for the API,
// https://www.twilio.com/docs/api/errors for its codes (codes.go), and
// https://www.twilio.com/docs/usage/webhooks/webhooks-security for signatures.
package twilio

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

const defaultBase = "https://api.twilio.com"

// The bounds of ValidityPeriod, in seconds (error 90007).
const (
	minValidity = 1
	maxValidity = 36000
)

// Config is a route over Twilio.
type Config struct {
	// Name is the route's.
	Name string `yaml:"-"`
	// AccountSID names the account (AC...).
	AccountSID string `yaml:"account-sid"`
	// AuthToken is the account's primary auth token. Twilio signs callbacks with
	// it, so it is required with an API key as well, unless there is no
	// CallbackURL.
	AuthToken carrier.Secret `yaml:"auth-token"`
	// APIKeySID (SK...) and APIKeySecret, if set, are the credentials for sending
	// instead of the auth token.
	APIKeySID    string         `yaml:"api-key-sid"`
	APIKeySecret carrier.Secret `yaml:"api-key-secret"`
	// From is the sender: a phone number in E.164, or a short code.
	From string `yaml:"from"`
	// MessagingServiceSID (MG...) leaves the choice of the sender to a messaging
	// service. Exactly one of it and From is set.
	MessagingServiceSID string `yaml:"messaging-service-sid"`
	// BaseURL is where the API is. Default https://api.twilio.com.
	BaseURL string `yaml:"base-url"`

	// CallbackURL is the public URL of the route's callbacks, as Twilio sees it;
	// empty for none.
	CallbackURL string `yaml:"-"`
	// TLS is for tests; see rest.Config.
	TLS *tls.Config `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	keySID     = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	sender     = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$`)
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
	check(accountSID.MatchString(c.AccountSID), "account-sid: not AC and 32 hexadecimal digits")
	check(c.AuthToken != "" || withKey && c.CallbackURL == "", "auth-token: required")
	if withKey {
		check(keySID.MatchString(c.APIKeySID), "api-key-sid: not SK and 32 hexadecimal digits")
		check(c.APIKeySecret != "", "api-key-secret: required with api-key-sid")
	}
	check((c.From == "") != (c.MessagingServiceSID == ""), "from: set exactly one of from and messaging-service-sid")
	check(c.From == "" || sender.MatchString(c.From), "from: not a phone number in E.164, nor a short code")
	check(c.MessagingServiceSID == "" || serviceSID.MatchString(c.MessagingServiceSID),
		"messaging-service-sid: not MG and 32 hexadecimal digits")
	_, err := c.base()
	errs = append(errs, err, rest.CheckCallbackURL("callback-url", c.CallbackURL))
	return errors.Join(errs...)
}

// base is where the API is, ready to be followed by a path.
func (c Config) base() (string, error) { return rest.ParseBase(cmp.Or(c.BaseURL, defaultBase)) }

// Carrier sends over one account of Twilio.
type Carrier struct {
	cfg     Config
	account string // the account's URL, without ".json"
	client  *rest.Client
}

// New returns a Carrier, or what is wrong with cfg.
func New(cfg Config) (*Carrier, error) {
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
	return &Carrier{
		cfg:     cfg,
		account: base + "/2010-04-01/Accounts/" + cfg.AccountSID,
		client:  rest.New(rest.Config{TLS: cfg.TLS}),
	}, nil
}

// Name implements carrier.Carrier.
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits implements carrier.Carrier.
func (c *Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// Send implements carrier.Carrier.
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	form := url.Values{
		"To":             {m.To.E164()},
		"Body":           {string(m.Text)},
		"ValidityPeriod": {strconv.Itoa(c.validity(m.ValidUntil))},
	}
	if c.cfg.From != "" {
		form.Set("From", c.cfg.From)
	} else {
		form.Set("MessagingServiceSid", c.cfg.MessagingServiceSID)
	}
	if c.cfg.CallbackURL != "" {
		form.Set("StatusCallback", c.cfg.CallbackURL)
	}
	answer, err := c.do(ctx, http.MethodPost, c.account+"/Messages.json", form.Encode())
	if err != nil {
		return carrier.Receipt{}, err
	}
	return c.read(answer)
}

// validity is how long Twilio may hold the message in its queue, in seconds.
func (c *Carrier) validity(until time.Time) int {
	left := until.Sub(c.cfg.Now()) / time.Second
	return int(min(max(left, minValidity), maxValidity))
}

func (c *Carrier) do(ctx context.Context, method, to, body string) (*rest.Answer, error) {
	contentType := ""
	if body != "" {
		contentType = "application/x-www-form-urlencoded"
	}
	r, err := rest.NewRequest(method, to, contentType, body)
	if err != nil {
		return nil, err
	}
	if c.cfg.APIKeySID != "" {
		r.SetBasicAuth(c.cfg.APIKeySID, string(c.cfg.APIKeySecret))
	} else {
		r.SetBasicAuth(c.cfg.AccountSID, string(c.cfg.AuthToken))
	}
	return c.client.Do(ctx, r)
}

// resource is what the API answers: a message, an account, or an exception.
type resource struct {
	SID string `json:"sid"`
	// Status is a word, but the HTTP status in an exception.
	Status any `json:"status"`
	// ErrorCode is a message's, Code an exception's.
	ErrorCode *int `json:"error_code"`
	Code      int  `json:"code"`
}

func (c *Carrier) read(answer *rest.Answer) (carrier.Receipt, error) {
	var got resource
	err := json.Unmarshal(answer.Body, &got)
	switch {
	case !answer.OK() && err == nil && got.Code != 0:
		return carrier.Receipt{}, c.refusal(answer, got.Code)
	case !answer.OK():
		return carrier.Receipt{}, answer.Failure(c.cfg.Now(), err)
	case err != nil:
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, err)
	case got.ErrorCode != nil && (got.Status == "failed" || got.Status == "undelivered"):
		return carrier.Receipt{}, c.refusal(answer, *got.ErrorCode)
	case !validSID(got.SID):
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("no sid in the answer"))
	}
	return carrier.Receipt{Ref: got.SID}, nil
}

// refusal is the error of a code. What Twilio refuses with a status of 4xx it
// does not have, even if the code is new.
func (c *Carrier) refusal(answer *rest.Answer, code int) *carrier.Error {
	cause := fmt.Errorf("code %d", code)
	reason, known := reasons[code]
	switch {
	case reason == carrier.ReasonThrottled:
		return answer.Throttled(c.cfg.Now(), cause)
	case known:
		return carrier.NewError(reason, cause)
	case answer.Status == http.StatusBadRequest || answer.OK():
		return &carrier.Error{Class: carrier.Retryable, Reason: ownReason(code), Cause: cause}
	default:
		return answer.Failure(c.cfg.Now(), cause)
	}
}

// Check implements carrier.Checker: it reads the account.
func (c *Carrier) Check(ctx context.Context) error {
	answer, err := c.do(ctx, http.MethodGet, c.account+".json", "")
	if err != nil {
		return fmt.Errorf("twilio: %w", rest.Explain(err))
	}
	var got resource
	err = json.Unmarshal(answer.Body, &got)
	switch {
	case !answer.OK() && got.Code != 0:
		return fmt.Errorf("twilio: HTTP status %d, code %d: see https://www.twilio.com/docs/api/errors/%d",
			answer.Status, got.Code, got.Code)
	case !answer.OK():
		return fmt.Errorf("twilio: HTTP status %d", answer.Status)
	case err != nil || got.SID != c.cfg.AccountSID:
		return errors.New("twilio: base-url: what answers there is not Twilio's API, or another account's")
	case got.Status != "active":
		return errors.New("twilio: the account is not active")
	}
	return nil
}

// validSID takes what may be a message's SID; it becomes part of logs and URLs.
func validSID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
