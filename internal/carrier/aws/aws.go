// Package aws is the carrier for AWS End User Messaging SMS (the API
// pinpoint-sms-voice-v2), with delivery reports and answers of phones over
// Amazon SNS.
//
// The account needs an origination identity (a phone number, a pool or a sender
// id) and credentials that may call sms-voice:SendTextMessage, and for Check
// sms-voice:DescribeAccountAttributes. For receipts it needs a configuration set
// with an event destination that publishes TEXT_ALL to an SNS topic, and an
// HTTPS subscription of that topic to the route's callback URL, without raw
// message delivery; the subscription is confirmed by itself. Two-way SMS may use
// the same topic.
package aws

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sms "github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2"
	"github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2/types"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

// Config is what a Carrier needs.
type Config struct {
	// Region is the AWS region of the account's numbers, such as "us-east-1".
	Region string `yaml:"region"`
	// AccessKeyID and SecretAccessKey are the credentials. With both left out
	// they come from where the AWS SDK looks by default: environment, shared
	// configuration files, web identity, container, instance.
	AccessKeyID     string         `yaml:"access-key-id"`
	SecretAccessKey carrier.Secret `yaml:"secret-access-key"`
	// OriginationIdentity is what messages come from: phone number, sender id or
	// pool, by id or ARN. Left out, AWS picks one of the account's.
	OriginationIdentity string `yaml:"origination-identity"`
	// ConfigurationSet, by name or ARN, says where AWS publishes what becomes of
	// messages. Without one there are no receipts.
	ConfigurationSet string `yaml:"configuration-set"`
	// TopicARN is the SNS topic whose messages are believed. Without one none
	// are.
	TopicARN string `yaml:"topic-arn"`
	// BaseURL takes the place of the region's own API endpoint.
	BaseURL string `yaml:"base-url"`

	// Name is the route's name.
	Name string `yaml:"-"`
	// Now is the clock. Default time.Now.
	Now func() time.Time `yaml:"-"`
	// TLS trusts the server behind BaseURL. Default: the system's roots.
	TLS *tls.Config `yaml:"-"`
	// SNS gets signing certificates and confirms subscriptions, at hosts of
	// Amazon SNS only. Default: a client with a timeout of 5 s. It follows no
	// redirects, whatever its CheckRedirect.
	SNS *http.Client `yaml:"-"`
	// Log gets what an operator should know. Default: discarded.
	Log *slog.Logger `yaml:"-"`
}

var (
	regionForm = regexp.MustCompile(`^[a-z]{2,8}(-[a-z]{2,16})+-[0-9]{1,2}$`)
	// The forms of the API reference, SendTextMessage.
	originForm = regexp.MustCompile(`^[A-Za-z0-9_:/+-]{1,256}$`)
	setForm    = regexp.MustCompile(`^[A-Za-z0-9_:/-]{1,256}$`)
)

// Validate tells everything that is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New(text))
		}
	}
	check(c.Name != "", "name: required")
	check(c.Region != "", "region: required")
	check(c.Region == "" || regionForm.MatchString(c.Region), `region: not the name of an AWS region, such as "us-east-1"`)
	check(c.AccessKeyID != "" || c.SecretAccessKey == "", "access-key-id: required with secret-access-key")
	check(c.SecretAccessKey != "" || c.AccessKeyID == "", "secret-access-key: required with access-key-id")
	check(c.OriginationIdentity == "" || originForm.MatchString(c.OriginationIdentity),
		"origination-identity: not a phone number, sender id or pool, nor the id or ARN of one")
	check(c.ConfigurationSet == "" || setForm.MatchString(c.ConfigurationSet),
		"configuration-set: not the name or ARN of a configuration set")
	if c.TopicARN != "" {
		_, err := parseTopic(c.TopicARN)
		check(err == nil, `topic-arn: not the ARN of an SNS topic, such as "arn:aws:sns:us-east-1:123456789012:sms-events"`)
	}
	if c.BaseURL != "" {
		_, err := rest.ParseBase(c.BaseURL)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Carrier sends through AWS. It implements [carrier.Carrier],
// [carrier.Checker] and [carrier.Callback].
type Carrier struct {
	cfg   Config
	api   *sms.Client
	topic topic
	certs *certificates
}

// New returns a Carrier, or what is wrong with its settings. Without credentials
// in the settings it reads the SDK's configuration files, but makes no request.
func New(cfg Config) (*Carrier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.SNS = withoutRedirects(cfg.SNS)
	c := &Carrier{cfg: cfg, certs: newCertificates(cfg.SNS, cfg.Now)}
	if cfg.TopicARN != "" {
		c.topic, _ = parseTopic(cfg.TopicARN) // valid: see Validate
	}
	source, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	options := sms.Options{
		Region:      cfg.Region,
		Credentials: source,
		HTTPClient:  client{rest.New(rest.Config{TLS: cfg.TLS})},
		// The router decides what is tried again, and where.
		Retryer: aws.NopRetryer{},
		AppID:   "codeword",
	}
	if cfg.BaseURL != "" {
		base, err := rest.ParseBase(cfg.BaseURL)
		if err != nil {
			return nil, err
		}
		options.BaseEndpoint = aws.String(base)
	}
	c.api = sms.New(options)
	return c, nil
}

func (c Config) credentials() (aws.CredentialsProvider, error) {
	if c.AccessKeyID != "" {
		return credentials.NewStaticCredentialsProvider(c.AccessKeyID, string(c.SecretAccessKey), ""), nil
	}
	found, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(c.Region))
	if err != nil {
		return nil, fmt.Errorf("access-key-id: left out, and the AWS configuration cannot be read: %w", err)
	}
	return found.Credentials, nil
}

// Name implements [carrier.Carrier].
func (c *Carrier) Name() string { return c.cfg.Name }

// Traits implements [carrier.Carrier].
func (*Carrier) Traits() carrier.Traits { return carrier.Traits{} }

// The bounds of TimeToLive, in seconds (API reference, SendTextMessage).
const (
	minLife = 5
	maxLife = 259200
)

// maxRef bounds the message ids of AWS, in bytes. They are UUIDs today.
const maxRef = 128

// Send implements [carrier.Carrier]. AWS cannot deduplicate: the API has no
// token for it.
func (c *Carrier) Send(ctx context.Context, m carrier.Message) (carrier.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonCanceled, err)
	}
	life := int32(min(max(m.ValidUntil.Sub(c.cfg.Now())/time.Second, minLife), maxLife))
	ctx, try := newAttempt(ctx)
	out, err := c.api.SendTextMessage(ctx, &sms.SendTextMessageInput{
		DestinationPhoneNumber: aws.String(m.To.E164()),
		MessageBody:            aws.String(string(m.Text)),
		MessageType:            types.MessageTypeTransactional,
		OriginationIdentity:    optional(c.cfg.OriginationIdentity),
		ConfigurationSetName:   optional(c.cfg.ConfigurationSet),
		TimeToLive:             aws.Int32(life),
		// AWS logs it with each event of the message.
		Context: map[string]string{"messageId": m.ID.String()},
	})
	if err != nil {
		return carrier.Receipt{}, c.failure(ctx, try, err)
	}
	ref := aws.ToString(out.MessageId)
	if ref == "" || len(ref) > maxRef {
		return carrier.Receipt{}, carrier.NewError(carrier.ReasonGarbage, errors.New("no message id in the answer"))
	}
	return carrier.Receipt{Ref: ref}, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// failure tells what the failure of a call means.
func (c *Carrier) failure(ctx context.Context, try *attempt, err error) *carrier.Error {
	switch {
	case try.failed != nil:
		return try.failed
	case try.answer != nil:
		return classify(err, try.answer, c.cfg.Now())
	case errors.Is(ctx.Err(), context.Canceled):
		return carrier.NewError(carrier.ReasonCanceled, err)
	case ctx.Err() != nil: // the credentials did not come in time
		return carrier.NewError(carrier.ReasonUnavailable, err)
	default: // no credentials, or nothing to sign with
		return carrier.NewError(carrier.ReasonMisconfigured, err)
	}
}

// Check implements [carrier.Checker] with a call that reads the account's
// attributes and changes nothing.
func (c *Carrier) Check(ctx context.Context) error {
	ctx, try := newAttempt(ctx)
	out, err := c.api.DescribeAccountAttributes(ctx, &sms.DescribeAccountAttributesInput{})
	switch {
	case err == nil && out.AccountAttributes == nil:
		return errors.New("the answer makes no sense: is base-url the API of AWS End User Messaging?")
	case err == nil:
		return nil
	case try.failed != nil:
		return fmt.Errorf("cannot reach AWS: %w", try.failed.Cause)
	case try.answer == nil:
		return fmt.Errorf("no credentials: %w", err)
	default:
		return explain(err, try.answer)
	}
}

// client lets the SDK speak through package rest, which knows whether a request
// may have arrived, and bounds what an answer can cost.
type client struct{ rest *rest.Client }

// attempt is the one HTTP request of a call. The SDK drops the error of a
// request whose context has ended, so it is noted here.
type attempt struct {
	answer *rest.Answer
	failed *carrier.Error
}

type attemptKey struct{}

func newAttempt(ctx context.Context) (context.Context, *attempt) {
	try := new(attempt)
	return context.WithValue(ctx, attemptKey{}, try), try
}

// Do implements the SDK's HTTP client.
func (c client) Do(r *http.Request) (*http.Response, error) {
	try, ok := r.Context().Value(attemptKey{}).(*attempt)
	if !ok {
		return nil, errors.New("aws: a request that no call made")
	}
	answer, err := c.rest.Do(r.Context(), r)
	if err != nil {
		try.failed = carrier.Classify(err)
		return nil, err
	}
	try.answer = answer
	return &http.Response{
		Status:        http.StatusText(answer.Status),
		StatusCode:    answer.Status,
		Header:        answer.Header,
		Body:          io.NopCloser(bytes.NewReader(answer.Body)),
		ContentLength: int64(len(answer.Body)),
		Request:       r,
	}, nil
}
