package aws

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // SignatureVersion 1 of SNS is SHA-1
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
)

// envelope is what SNS posts to a subscriber (SNS developer guide, "HTTP/HTTPS
// notification JSON format" and the two of confirmations).
type envelope struct {
	Type             string  `json:"Type"`
	MessageID        string  `json:"MessageId"`
	Token            string  `json:"Token"`
	TopicARN         string  `json:"TopicArn"`
	Subject          *string `json:"Subject"`
	Message          string  `json:"Message"`
	SubscribeURL     string  `json:"SubscribeURL"`
	Timestamp        string  `json:"Timestamp"`
	SignatureVersion string  `json:"SignatureVersion"`
	Signature        string  `json:"Signature"`
	SigningCertURL   string  `json:"SigningCertURL"`
}

// The types of an envelope.
const (
	typeNotification = "Notification"
	typeSubscribe    = "SubscriptionConfirmation"
	typeUnsubscribe  = "UnsubscribeConfirmation"
)

const (
	// maxAge of a message: SNS tries again for at most an hour (developer guide,
	// "Amazon SNS message delivery retries") with the timestamp of the first try.
	maxAge = time.Hour + 5*time.Minute
	// maxAhead allows for clocks that differ.
	maxAhead = 5 * time.Minute
)

// ReadCallback implements [carrier.Callback] for messages of the configured SNS
// topic. It confirms the topic's subscription when SNS asks for that. An error
// that wraps none of the port's three means that the certificate or the
// confirmation could not be had just now; SNS tries again after a 5xx.
func (c *Carrier) ReadCallback(r *http.Request, body []byte) (carrier.Reports, error) {
	if r.Header.Get("x-amz-sns-rawdelivery") == "true" {
		return carrier.Reports{}, fmt.Errorf("%w: raw message delivery is not signed; turn it off", carrier.ErrForged)
	}
	var e envelope
	if err := json.Unmarshal(body, &e); err != nil {
		return carrier.Reports{}, fmt.Errorf("%w: not a message of SNS", carrier.ErrForged)
	}
	if c.cfg.TopicARN == "" || e.TopicARN != c.cfg.TopicARN {
		// Before anything is fetched: whoever does not know the topic cannot make
		// us do so.
		return carrier.Reports{}, fmt.Errorf("%w: not the topic of topic-arn", carrier.ErrForged)
	}
	if err := c.verify(r.Context(), &e); err != nil {
		return carrier.Reports{}, err
	}
	switch e.Type {
	case typeSubscribe:
		return carrier.Reports{}, c.confirm(r.Context(), &e)
	case typeUnsubscribe:
		c.cfg.Log.WarnContext(r.Context(), "the subscription to the SNS topic has ended: no more receipts will come",
			"topic", c.cfg.TopicARN)
		return carrier.Reports{}, nil
	default:
		return readMessage(e.Message, e.Timestamp)
	}
}

// verify checks signature and age.
func (c *Carrier) verify(ctx context.Context, e *envelope) error {
	text, err := e.signed()
	if err != nil {
		return fmt.Errorf("%w: %w", carrier.ErrForged, err)
	}
	signature, err := base64.StdEncoding.DecodeString(e.Signature)
	if err != nil || len(signature) == 0 {
		return fmt.Errorf("%w: no signature", carrier.ErrForged)
	}
	if !c.topic.hasCertificate(e.SigningCertURL) {
		return fmt.Errorf("%w: the certificate's URL is not one of SNS in the topic's region", carrier.ErrForged)
	}
	key, err := c.certs.key(ctx, e.SigningCertURL)
	if err != nil {
		return err
	}
	hash, digest := crypto.SHA256, sha256.New()
	if e.SignatureVersion == "1" {
		hash, digest = crypto.SHA1, sha1.New() //nolint:gosec // see the import
	}
	_, _ = io.WriteString(digest, text) // a hash never fails
	if err := rsa.VerifyPKCS1v15(key, hash, digest.Sum(nil), signature); err != nil {
		return fmt.Errorf("%w: wrong signature", carrier.ErrForged)
	}
	at, err := time.Parse(time.RFC3339, e.Timestamp)
	if err != nil {
		return fmt.Errorf("%w: no timestamp", carrier.ErrMalformed)
	}
	if age := c.cfg.Now().Sub(at); age > maxAge || age < -maxAhead {
		return fmt.Errorf("%w: %v old", carrier.ErrStale, age.Round(time.Second))
	}
	return nil
}

// signed returns the text that SNS signs (developer guide, "Verifying the
// signatures of Amazon SNS messages"): names and values, a line each, in the
// order of the names. It ends in topic and type, which only take known values,
// so that no message of another topic can be read as one of ours; and no value
// but Message may hold a line end, so that there is one way to read it.
func (e *envelope) signed() (string, error) {
	if e.SignatureVersion != "1" && e.SignatureVersion != "2" {
		return "", errors.New("unknown signature version")
	}
	fields := []string{"Message", e.Message, "MessageId", e.MessageID}
	switch e.Type {
	case typeNotification:
		if e.Subject != nil {
			fields = append(fields, "Subject", *e.Subject)
		}
		fields = append(fields, "Timestamp", e.Timestamp)
	case typeSubscribe, typeUnsubscribe:
		fields = append(fields, "SubscribeURL", e.SubscribeURL, "Timestamp", e.Timestamp, "Token", e.Token)
	default:
		return "", errors.New("unknown type")
	}
	for _, value := range fields[2:] {
		if strings.ContainsAny(value, "\r\n") {
			return "", errors.New("a line end where none can be")
		}
	}
	fields = append(fields, "TopicArn", e.TopicARN, "Type", e.Type)
	return strings.Join(fields, "\n") + "\n", nil
}

// confirm follows a signed SubscribeURL, to SNS only.
func (c *Carrier) confirm(ctx context.Context, e *envelope) error {
	if !c.topic.hasConfirmation(e.SubscribeURL, c.cfg.TopicARN) {
		return fmt.Errorf("%w: the URL to confirm at is not one of SNS", carrier.ErrMalformed)
	}
	if _, err := fetch(ctx, c.cfg.SNS, e.SubscribeURL); err != nil {
		return fmt.Errorf("aws: confirming the subscription to the SNS topic: %w", err)
	}
	c.cfg.Log.InfoContext(ctx, "confirmed the subscription to the SNS topic", "topic", c.cfg.TopicARN)
	return nil
}

// topic is where an SNS topic lives.
type topic struct {
	// host is the endpoint of SNS in its region. Signing certificates and
	// confirmations must be there: a looser pattern, such as any name between
	// "sns." and ".amazonaws.com", also matches buckets of strangers.
	host string
}

var topicForm = regexp.MustCompile(`^arn:(aws|aws-us-gov|aws-cn):sns:([a-z]{2,8}(?:-[a-z]{2,16})+-[0-9]{1,2}):[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?$`)

func parseTopic(arn string) (topic, error) {
	parts := topicForm.FindStringSubmatch(arn)
	if parts == nil {
		return topic{}, errors.New("not the ARN of an SNS topic")
	}
	host := "sns." + parts[2] + ".amazonaws.com"
	if parts[1] == "aws-cn" {
		host += ".cn"
	}
	return topic{host: host}, nil
}

var certificatePath = regexp.MustCompile(`^/[A-Za-z0-9_-]{1,128}\.pem$`)

// hasCertificate allows only a plain file of SNS itself: a query could make an
// API call of it whose answer somebody else controls.
func (t topic) hasCertificate(raw string) bool {
	u, ok := t.own(raw)
	return ok && u.RawQuery == "" && !u.ForceQuery && certificatePath.MatchString(u.EscapedPath())
}

func (t topic) hasConfirmation(raw, arn string) bool {
	u, ok := t.own(raw)
	if !ok || u.Path != "/" && u.Path != "" {
		return false
	}
	query, err := url.ParseQuery(u.RawQuery)
	return err == nil && len(query["Action"]) == 1 && query.Get("Action") == "ConfirmSubscription" &&
		len(query["TopicArn"]) == 1 && query.Get("TopicArn") == arn
}

// own parses an https URL at the topic's endpoint.
func (t topic) own(raw string) (*url.URL, bool) {
	if len(raw) > 2048 {
		return nil, false
	}
	u, err := url.Parse(raw)
	return u, err == nil && u.Scheme == "https" && u.Host == t.host && u.User == nil && u.Fragment == "" && u.Opaque == ""
}
