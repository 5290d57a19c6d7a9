// Package telnyx sends messages through Telnyx's Messaging API v2, and reads
// what Telnyx reports about them.
//
// See https://developers.telnyx.com/docs/messaging/messages/send-message for the
// API, and https://developers.telnyx.com/docs/messaging/messages/error-codes for
// its codes (codes.go).
package telnyx

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

const defaultBase = "https://api.telnyx.com"

// Config is a route over Telnyx.
type Config struct {
	// Name is the route's.
	Name string `yaml:"-"`
	// APIKey is a v2 API key (KEY...).
	APIKey carrier.Secret `yaml:"api-key"`
	// PublicKey is the account's key for webhooks, in base64, as Mission Control
	// shows it. Required with CallbackURL.
	PublicKey string `yaml:"public-key"`
	// From is the sender: a phone number in E.164, or a short code.
	From string `yaml:"from"`
	// MessagingProfileID (a UUID) without From leaves the choice of the sender to
	// the profile's number pool. At least one of them is set.
	MessagingProfileID string `yaml:"messaging-profile-id"`
	// BaseURL is where the API is. Default https://api.telnyx.com.
	BaseURL string `yaml:"base-url"`

	// CallbackURL is the public URL of the route's callbacks; empty for none.
	CallbackURL string `yaml:"-"`
	// TLS is for tests; see rest.Config.
	TLS *tls.Config `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
}

var sender = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8})$`)

// Validate reports all that is wrong, joined, each starting with the field.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	check(c.APIKey != "", "api-key: required")
	check(c.PublicKey != "" || c.CallbackURL == "", "public-key: required")
	if c.PublicKey != "" {
		_, err := parseKey(c.PublicKey)
		errs = append(errs, err)
	}
	check(c.From != "" || c.MessagingProfileID != "", "from: set it, or messaging-profile-id, or both")
	check(c.From == "" || sender.MatchString(c.From), "from: not a phone number in E.164, nor a short code")
	check(c.MessagingProfileID == "" || uuid.Validate(c.MessagingProfileID) == nil, "messaging-profile-id: not a UUID")
	_, err := c.base()
	errs = append(errs, err, rest.CheckCallbackURL("callback-url", c.CallbackURL))
	return errors.Join(errs...)
}

func parseKey(s string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("public-key: not 32 bytes in base64")
	}
	if bytes.Equal(key, make([]byte, ed25519.PublicKeySize)) {
		// A placeholder, and a point of small order, for which anybody can sign.
		return nil, errors.New("public-key: all zeros")
	}
	return key, nil
}

// base is where the API is, ready to be followed by a path.
func (c Config) base() (string, error) { return rest.ParseBase(cmp.Or(c.BaseURL, defaultBase)) }

// Carrier sends over one account of Telnyx.
type Carrier struct {
	cfg    Config
	base   string
	key    ed25519.PublicKey // nil if the route takes no callbacks
	client *rest.Client
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
	c := &Carrier{cfg: cfg, base: base, client: rest.New(rest.Config{TLS: cfg.TLS})}
	if cfg.PublicKey != "" {
		if c.key, err = parseKey(cfg.PublicKey); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Name implements carrier.Carrier.
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits implements carrier.Carrier.
func (c *Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// outgoing is the request to send. The API documents no way to say until when a
// message is of use.
type outgoing struct {
	From               string `json:"from,omitzero"`
	MessagingProfileID string `json:"messaging_profile_id,omitzero"`
	To                 string `json:"to"`
	Text               string `json:"text"`
	Type               string `json:"type"`
	WebhookURL         string `json:"webhook_url,omitzero"`
	// UseProfileWebhooks is false, so that reports come here alone.
	UseProfileWebhooks bool `json:"use_profile_webhooks"`
}

// Send implements carrier.Carrier.
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	body, err := json.Marshal(outgoing{
		From:               c.cfg.From,
		MessagingProfileID: c.cfg.MessagingProfileID,
		To:                 m.To.E164(),
		Text:               string(m.Text),
		Type:               "SMS",
		WebhookURL:         c.cfg.CallbackURL,
	})
	if err != nil { // a text that is no UTF-8
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonMisconfigured, err)
	}
	answer, err := c.do(ctx, http.MethodPost, "/v2/messages", string(body))
	if err != nil {
		return carrier.Receipt{}, err
	}
	return c.read(answer)
}

func (c *Carrier) do(ctx context.Context, method, path, body string) (*rest.Answer, error) {
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	r, err := rest.NewRequest(method, c.base+path, contentType, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+string(c.cfg.APIKey))
	return c.client.Do(ctx, r)
}

// sent is the answer to a send.
type sent struct {
	Data struct {
		ID string `json:"id"`
		To []struct {
			Status string `json:"status"`
		} `json:"to"`
		Errors []apiError `json:"errors"`
	} `json:"data"`
	Errors []apiError `json:"errors"`
}

// apiError is one error of an answer or a report.
type apiError struct {
	// Code is documented as a string of digits; a number is taken as well.
	Code any `json:"code"`
}

func (c *Carrier) read(answer *rest.Answer) (carrier.Receipt, error) {
	var got sent
	err := json.Unmarshal(answer.Body, &got)
	switch {
	case !answer.OK() && err == nil && len(got.Errors) > 0:
		return carrier.Receipt{}, c.refusal(answer, got.Errors)
	case !answer.OK():
		return carrier.Receipt{}, answer.Failure(c.cfg.Now(), err)
	case err != nil:
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, err)
	case len(got.Data.To) == 1 && got.Data.To[0].Status == "sending_failed" && len(got.Data.Errors) > 0:
		return carrier.Receipt{}, c.refusal(answer, got.Data.Errors)
	case !validID(got.Data.ID):
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("no id in the answer"))
	}
	return carrier.Receipt{Ref: got.Data.ID}, nil
}

// refusal is the error of the codes. What Telnyx refuses as a bad request it
// does not have, even if the code is new.
func (c *Carrier) refusal(answer *rest.Answer, errs []apiError) *carrier.Error {
	code := pick(errs)
	cause := fmt.Errorf("code %d", code)
	reason, known := reasons[code]
	switch {
	case reason == carrier.ReasonThrottled:
		return answer.Throttled(c.cfg.Now(), cause)
	case known:
		return carrier.NewError(reason, cause)
	case answer.Status == http.StatusBadRequest, answer.Status == http.StatusUnprocessableEntity, answer.OK():
		return &carrier.Error{Class: carrier.Retryable, Reason: ownReason(code), Cause: cause}
	default:
		return answer.Failure(c.cfg.Now(), cause)
	}
}

// pick returns the first code that the table has, or else the first; 0 if it
// makes no sense.
func pick(errs []apiError) int {
	for _, e := range errs {
		if code := e.code(); reasons[code] != "" {
			return code
		}
	}
	if len(errs) == 0 {
		return 0
	}
	return errs[0].code()
}

func (e apiError) code() int {
	switch v := e.Code.(type) {
	case string:
		code, err := strconv.Atoi(v)
		if err != nil {
			return 0
		}
		return code
	case float64:
		if v < 0 || v > 99999 {
			return 0
		}
		return int(v)
	default:
		return 0
	}
}

// Check implements carrier.Checker: it lists one messaging profile.
func (c *Carrier) Check(ctx context.Context) error {
	answer, err := c.do(ctx, http.MethodGet, "/v2/messaging_profiles?page%5Bsize%5D=1", "")
	if err != nil {
		return fmt.Errorf("telnyx: %w", rest.Explain(err))
	}
	var got struct {
		Data   []struct{} `json:"data"`
		Errors []apiError `json:"errors"`
	}
	err = json.Unmarshal(answer.Body, &got)
	switch {
	case !answer.OK() && len(got.Errors) > 0:
		return fmt.Errorf("telnyx: HTTP status %d, code %d: see https://developers.telnyx.com/docs/overview/errors/%d",
			answer.Status, pick(got.Errors), pick(got.Errors))
	case !answer.OK():
		return fmt.Errorf("telnyx: HTTP status %d", answer.Status)
	case err != nil || got.Data == nil:
		return errors.New("telnyx: base-url: what answers there is not Telnyx's API")
	}
	return nil
}

// validID takes what may be a message's id; it becomes part of logs and URLs.
func validID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}
