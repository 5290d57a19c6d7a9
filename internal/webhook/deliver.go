package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"codeword/internal/store"
)

const (
	// maxAnswer is how much of an answer is read, so that its connection can be used
	// again.
	maxAnswer = 16 << 10
	// maxHeaders bounds what comes before it.
	maxHeaders = 32 << 10
)

// The reasons of an attempt that failed, as they are kept; never anybody else's words.
const (
	reasonStatus    = "status"
	reasonTimeout   = "timeout"
	reasonForbidden = "forbidden_address"
	reasonResolve   = "resolve"
	reasonConnect   = "no_answer"
	reasonSecret    = "secret"
)

// transport dials with d and asks no proxy: it would connect wherever it is told.
func transport(d *dialer) *http.Transport {
	return &http.Transport{
		Proxy: nil, DialContext: d.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: requestTimeout,
		MaxResponseHeaderBytes: maxHeaders, MaxIdleConns: maxFlights, MaxIdleConnsPerHost: maxWindow, IdleConnTimeout: 30 * time.Second,
		DisableCompression: true,
	}
}

// deliver posts a delivery once and tells what became of it. An outcome without a state
// says that the process ends.
func (l *Loop) deliver(ctx context.Context, e *Endpoint, d *store.WebhookDelivery) (o store.WebhookOutcome) {
	begun := time.Now()
	o = store.WebhookOutcome{Event: d.Event, Endpoint: d.Endpoint, Claims: d.Claims, Attempts: d.Attempts + 1}
	if l.cfg.Trace != nil {
		var end func(*store.WebhookOutcome)
		ctx, end = l.cfg.Trace(ctx, d)
		defer func() { end(&o) }()
	}
	status, after, err := l.post(ctx, e, d)
	if ctx.Err() != nil {
		return o
	}
	now := l.cfg.Now()
	late := !now.Before(d.Until)
	o.Status = status
	what := "retry"
	switch {
	case err == nil && status >= 200 && status < 300:
		o.State, what = store.DeliveryDone, "delivered"
	case status == http.StatusGone, late && o.Attempts >= leastAttempts:
		o.State, what = store.DeliveryFailed, "failed"
	default:
		o.State = store.DeliveryPending
		o.DueAt = now.Add(max(retryAfter(o.Attempts), after))
		if !late && o.DueAt.After(d.Until) {
			o.DueAt = d.Until // the last try
		}
	}
	if o.State != store.DeliveryDone {
		o.Error = reasonOf(err)
	}
	l.cfg.Metrics.Attempt(what, time.Since(begun))
	return o
}

// post posts and returns the status, and how long the receiver wants to be left alone.
func (l *Loop) post(ctx context.Context, e *Endpoint, d *store.WebhookDelivery) (status int, after time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, 0, err
	}
	// A connection that was closed meanwhile would have the transport try again by
	// itself; a receiver may have it already, but tells by the id.
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "codeword-webhooks/1")
	if err := l.sign(r.Header, e, d); err != nil {
		return 0, 0, err
	}
	answer, err := l.client.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // what it says is of no matter
	return answer.StatusCode, wanted(answer.Header.Get("Retry-After")), nil
}

var errSecret = errors.New("webhook: a secret cannot be read")

// sign sets the headers of a webhook, with a signature by each secret. The timestamp is
// the attempt's.
func (l *Loop) sign(h http.Header, e *Endpoint, d *store.WebhookDelivery) error {
	now := l.cfg.Now()
	id := d.Event.String()
	var signatures []string
	for _, s := range e.Secrets {
		raw, err := l.cfg.Keys.Open(s.Sealed, append([]byte(secretLabel), e.ID[:]...))
		if err != nil {
			return errSecret
		}
		key, err := standardwebhooks.NewWebhookRaw(raw)
		if err != nil {
			return errSecret
		}
		signature, err := key.Sign(id, now, d.Body)
		if err != nil {
			return errSecret
		}
		signatures = append(signatures, signature)
	}
	if len(signatures) == 0 {
		return errSecret
	}
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

// wanted reads a Retry-After in seconds, up to maxRetry.
func wanted(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 32)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetry)
}

// reasonOf names what went wrong; err is nil when an answer came.
func reasonOf(err error) string {
	var name *net.DNSError
	var slow interface{ Timeout() bool }
	switch {
	case err == nil:
		return reasonStatus
	case errors.Is(err, errForbidden):
		return reasonForbidden
	case errors.Is(err, errSecret):
		return reasonSecret
	case errors.As(err, &name):
		return reasonResolve
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return reasonTimeout
	default:
		return reasonConnect
	}
}
