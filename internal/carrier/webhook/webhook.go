// Package webhook is the carrier for everything that no other package speaks to:
// it posts each message to a URL of the operator's, as a webhook that is signed
// as Standard Webhooks (standardwebhooks.com, version 1.0.0) lays down. Whatever
// answers there brings the message to the phone, and reports by webhooks of its
// own, signed in the same way.
//
// # What is sent
//
// A POST to "url" with Content-Type application/json and a JSON document:
//
//	{"type": "message.send", "timestamp": "2026-03-01T12:00:00Z", "data": {
//	  "id": "0195516c-7f00-7000-8000-0123456789ab",
//	  "to": "+16502530000",
//	  "text": "123456 is your Acme verification code. Don't share it.",
//	  "validUntil": "2026-03-01T12:10:00Z"}}
//
// Three headers prove its origin: webhook-id, the message's id; webhook-timestamp,
// in seconds since 1970; and webhook-signature, "v1," and the base64 of the
// HMAC-SHA256 of "ID.TIMESTAMP.BODY" under the bytes that follow "whsec_" in the
// secret, in base64. With two secrets there are two signatures, separated by a
// space; one that is right is enough.
//
// A message that is sent again has the same id: a receiver that took it already
// answers as it did before, and does not send it twice. After validUntil the text
// is worthless and should be dropped.
//
// # What is answered
//
//   - 2xx: the message was taken. The body is empty, or a JSON object in which
//     all is optional: {"id": "ref-1", "status": "accepted"}. id, at most 128
//     bytes, is how receipts will name the message, by default our id; status is
//     "accepted" or "delivered". Any other body counts as unexpected_answer: it
//     may come from a URL that has never heard of messages.
//   - 4xx with {"error": REASON}: not taken, and REASON says why: opted_out,
//     invalid_number, landline, rejected or expired if no other route should try;
//     filtered, unreachable, unavailable, throttled, unregistered_campaign,
//     misconfigured or insufficient_funds if another one may.
//   - 422 without such a reason: rejected. 408 and 429: throttled. Any other 4xx,
//     and 3xx: misconfigured. None of them was taken.
//   - 503: unavailable; the receiver promises that it did not take the message.
//   - Any other 5xx, and no answer: the message may have been taken. It is not
//     sent again before the route's unknown-timeout.
//
// With 408, 429 and the reason throttled, a header Retry-After says how long to
// wait. A check of the settings posts {"type": "ping", "timestamp": ..., "data":
// {}} under an id that starts with "ping_" and wants a 2xx as above.
//
// # What is reported
//
// Receipts, and messages that phones sent, are posted to the route's callback URL,
// signed in the same way with one of "receipt-secrets", by default "secrets", and
// a timestamp that is at most five minutes from our clock. Content-Type is not
// looked at.
//
//	{"type": "message.receipt", "data": {"id": "ref-1", "status": "failed",
//	  "reason": "unreachable", "time": "2026-03-01T12:00:03Z"}}
//	{"type": "message.inbound", "data": {"from": "+16502530000", "to": "+12125550101", "text": "STOP"}}
//
// id is the one of the answer, or else of the message, also when the answer did
// not reach us; status is accepted, delivered or failed; reason, for failed only,
// is one of those above and carrier_error by default; time is optional (RFC 3339).
// Reports may come twice and in any order. A 2xx says that they were noted; after
// a 5xx they should come again, after a 4xx they need not.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

// Config is what a Carrier needs.
type Config struct {
	// URL takes the messages: https, or http to a loopback address.
	URL string `yaml:"url"`
	// Secrets sign what is sent: "whsec_" and 24 bytes or more in base64. While
	// one takes the place of another, both.
	Secrets []carrier.Secret `yaml:"secrets"`
	// ReceiptSecrets verify what is reported, one or two. Default: Secrets.
	ReceiptSecrets []carrier.Secret `yaml:"receipt-secrets"`

	// Name is the route's name.
	Name string `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
	// TLS trusts the server behind URL. Default: the system's roots.
	TLS *tls.Config `yaml:"-"`
}

// Validate tells everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name: required"))
	}
	errs = append(errs, checkURL(c.URL))
	if len(c.Secrets) == 0 {
		errs = append(errs, errors.New("secrets: required"))
	}
	_, err := newKeys("secrets", c.Secrets)
	errs = append(errs, err)
	_, err = newKeys("receipt-secrets", c.ReceiptSecrets)
	return errors.Join(append(errs, err)...)
}

// checkURL allows what a base-url may be, and a query.
func checkURL(raw string) error {
	if raw == "" {
		return errors.New("url: required")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("url: not a URL") // err would quote it
	}
	u.RawQuery, u.ForceQuery = "", false
	if _, err = rest.ParseBase(u.String()); err != nil {
		return errors.New("url: " + strings.TrimPrefix(err.Error(), "base-url: "))
	}
	return nil
}

// Carrier posts messages to a URL. It implements [carrier.Carrier],
// [carrier.Checker] and [carrier.Callback].
type Carrier struct {
	cfg  Config
	rest *rest.Client
	// signing and verifying are the keys of either direction.
	signing, verifying keys
}

// New returns a Carrier, or what is wrong with its settings.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	signing, err := newKeys("secrets", cfg.Secrets)
	if err != nil {
		return nil, err
	}
	verifying := signing
	if len(cfg.ReceiptSecrets) > 0 {
		if verifying, err = newKeys("receipt-secrets", cfg.ReceiptSecrets); err != nil {
			return nil, err
		}
	}
	return &Carrier{cfg: cfg, rest: rest.New(rest.Config{TLS: cfg.TLS}), signing: signing, verifying: verifying}, nil
}

// Name implements [carrier.Carrier].
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits implements [carrier.Carrier].
func (*Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// document is what both directions post.
type document[T any] struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp,omitzero"`
	Data      T         `json:"data"`
}

// outgoing is the data of "message.send".
type outgoing struct {
	ID         string    `json:"id"`
	To         string    `json:"to"`
	Text       string    `json:"text"`
	ValidUntil time.Time `json:"validUntil"`
}

const (
	typeSend    = "message.send"
	typePing    = "ping"
	typeReceipt = "message.receipt"
	typeInbound = "message.inbound"
)

// Send implements [carrier.Carrier].
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonCanceled, err)
	}
	id := m.ID.String()
	a, err := post(ctx, c, id, typeSend, outgoing{
		ID: id, To: m.To.E164(), Text: string(m.Text), ValidUntil: m.ValidUntil.UTC().Truncate(time.Millisecond),
	})
	var receipt carrier.Receipt
	if err == nil {
		receipt, err = c.judge(a)
	}
	// A receiver whose answer was lost can still report by our id.
	if receipt.Ref == "" && (err == nil || carrier.Classify(err).Class == carrier.Unknown) {
		receipt.Ref = id
	}
	return receipt, err
}

// post signs a document and sends it.
func post[T any](ctx context.Context, c *Carrier, id, kind string, data T) (*rest.Answer, error) {
	now := c.cfg.Now()
	body, err := json.Marshal(document[T]{Type: kind, Timestamp: now.UTC().Truncate(time.Millisecond), Data: data})
	if err != nil { // a text that is not UTF-8
		return nil, carrier.NewError(carrier.ReasonRejected, err)
	}
	r, err := rest.NewRequest(http.MethodPost, c.cfg.URL, "application/json", string(body))
	if err != nil {
		return nil, err
	}
	if err := c.signing.sign(r.Header, id, now, body); err != nil {
		return nil, carrier.NewError(carrier.ReasonMisconfigured, err)
	}
	return c.rest.Do(ctx, r)
}

// Check implements [carrier.Checker] with a ping.
func (c *Carrier) Check(ctx context.Context) error {
	a, err := post(ctx, c, "ping_"+uuid.NewString(), typePing, struct{}{})
	var e *carrier.Error
	switch {
	case errors.As(err, &e):
		cause := e.Cause
		var quoting *url.Error // the URL, whose query may hold a token
		if errors.As(cause, &quoting) {
			cause = quoting.Err
		}
		return fmt.Errorf("cannot reach the receiver: %s: %w", e.Reason, cause)
	case err != nil:
		return err
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return fmt.Errorf("the receiver does not take our signature (HTTP status %d): are secrets the same on both sides, and the clocks?", a.Status)
	case !a.OK():
		return fmt.Errorf("the receiver answered the ping with HTTP status %d", a.Status)
	}
	if _, err := c.judge(a); err != nil {
		return errors.New("the receiver answered the ping with something other than an empty body or a JSON object: is url right?")
	}
	return nil
}
