package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"codeword/internal/carrier"
)

const (
	secretPrefix = "whsec_"
	// minSecret is the least that Standard Webhooks recommends, in bytes.
	minSecret = 24
	// maxSecrets are as many as a rotation needs.
	maxSecrets = 2
	// tolerance is how far a report's timestamp may be from our clock.
	tolerance = 5 * time.Minute
)

// keys sign all together, or verify each for itself.
type keys []*standardwebhooks.Webhook

// newKeys reads the secrets of a setting with that name.
func newKeys(field string, secrets []carrier.Secret) (keys, error) {
	if len(secrets) > maxSecrets {
		return nil, fmt.Errorf("%s: more than %d", field, maxSecrets)
	}
	var (
		all  keys
		errs []error
	)
	for i, s := range secrets {
		encoded, ok := strings.CutPrefix(string(s), secretPrefix)
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		switch {
		case !ok || err != nil || strings.ContainsAny(encoded, "\r\n"):
			errs = append(errs, fmt.Errorf(`%s[%d]: not "whsec_" and base64`, field, i))
			continue
		case len(raw) < minSecret:
			errs = append(errs, fmt.Errorf("%s[%d]: shorter than %d bytes", field, i, minSecret))
			continue
		}
		key, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", field, i, err))
			continue
		}
		all = append(all, key)
	}
	return all, errors.Join(errs...)
}

// sign sets the headers of a webhook.
func (k keys) sign(h http.Header, id string, at time.Time, body []byte) error {
	signatures := make([]string, len(k))
	for i, key := range k {
		s, err := key.Sign(id, at, body)
		if err != nil {
			return err
		}
		signatures[i] = s
	}
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

// verify wants a signature by one of the keys, and a timestamp near now.
func (k keys) verify(h http.Header, now time.Time, body []byte) error {
	forged := errors.New("no key")
	for _, key := range k {
		if forged = key.VerifyIgnoringTimestamp(body, h); forged == nil {
			break
		}
	}
	if forged != nil {
		return fmt.Errorf("%w: %w", carrier.ErrForged, forged)
	}
	at, err := strconv.ParseInt(h.Get(standardwebhooks.HeaderWebhookTimestamp), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: no timestamp", carrier.ErrForged)
	}
	if at < now.Add(-tolerance).Unix() || at > now.Add(tolerance).Unix() {
		return carrier.ErrStale
	}
	return nil
}
