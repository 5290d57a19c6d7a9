package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"codeword/api"
)

// maxAnswerBytes bounds what is read of an answer, body and header each.
const maxAnswerBytes = 64 << 10

type retryRule int

const (
	// retryUnsent repeats only what cannot have reached the service.
	retryUnsent retryRule = iota
	// retryIdempotent repeats what is the same done once or twice.
	retryIdempotent
)

// call is one logical call, which may take several tries.
type call struct {
	method, path string
	rule         retryRule
	session      Secret
	fingerprint  string
	captcha      string
	key          string
	keySet       bool
}

func (c *Client) newCall(method, path string, rule retryRule) call {
	return call{method: method, path: path, rule: rule, session: Secret(c.session())}
}

func (in *call) apply(opts []CallOption) {
	for _, o := range opts {
		o(in)
	}
}

func (in *call) check() error {
	if !visible(string(in.session)) {
		return errBadSession
	}
	for i := range len(in.fingerprint) {
		if in.fingerprint[i] < ' ' || in.fingerprint[i] > '~' {
			return errBadFingerprint
		}
	}
	if !visible(in.captcha) {
		return errBadCaptcha
	}
	return nil
}

// answer is a success.
type answer struct{ header http.Header }

func (a answer) meta() Meta {
	return Meta{
		RequestID:        clean(a.header.Get(api.HeaderRequestID), 128),
		RefreshedSession: Secret(a.header.Get(api.HeaderAuthenticationRefresh)),
	}
}

// do makes a call: as many tries as its rule and the configuration allow. The
// error is that of the last try; when the context ended the waiting, both.
func (c *Client) do(ctx context.Context, in call, doc any, read func([]byte) error) (answer, error) {
	if err := in.check(); err != nil {
		return answer{}, err
	}
	var body []byte
	if doc != nil {
		var err error
		if body, err = json.Marshal(doc); err != nil {
			return answer{}, fmt.Errorf("client: encode the request: %w", err)
		}
	}
	limit := c.cfg.MaxElapsed
	if deadline, ok := ctx.Deadline(); ok {
		// A wait that outlasts the caller is not begun.
		limit = min(limit, max(time.Until(deadline), 1))
	}
	waits := &backoff.ExponentialBackOff{
		InitialInterval: c.cfg.InitialWait, RandomizationFactor: 0.5, Multiplier: 1.5, MaxInterval: 5 * time.Second,
	}
	var last error
	ans, err := backoff.Retry(ctx, func() (answer, error) {
		got, err := c.try(ctx, in, body, read)
		last = err
		if err != nil && (ctx.Err() != nil || !in.mayRepeat(err)) {
			return got, backoff.Permanent(err)
		}
		if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
			// The jitter keeps those who were told the same from coming at once.
			return got, &backoff.RetryAfterError{Duration: e.RetryAfter + rand.N(c.cfg.InitialWait)} //nolint:gosec // jitter is no secret
		}
		return got, err
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(uint(c.cfg.MaxTries)), backoff.WithMaxElapsedTime(limit))
	switch {
	case err == nil:
		return ans, nil
	case ctx.Err() != nil && !errors.Is(last, ctx.Err()):
		return answer{}, fmt.Errorf("client: %w while waiting to repeat: %w", ctx.Err(), last)
	default:
		return answer{}, last // backoff may have put its own error about the wait in its place
	}
}

// try makes one request and reads its answer.
func (c *Client) try(ctx context.Context, in call, body []byte, read func([]byte) error) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.AttemptTimeout)
	defer cancel()
	req, err := c.request(ctx, in, body)
	if err != nil {
		return answer{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("client: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case resp.StatusCode >= 300 || resp.StatusCode < 200:
		// The status is the answer, whatever became of its body.
		if len(got) > maxAnswerBytes || err != nil {
			got = nil
		}
		e := newError(resp.StatusCode, resp.Header, got, time.Now())
		if resp.StatusCode < 400 {
			return answer{}, fmt.Errorf("%w: %w", ErrRedirect, e)
		}
		return answer{}, e
	case err != nil:
		return answer{}, fmt.Errorf("client: read the answer: %w", err)
	case len(got) > maxAnswerBytes:
		return answer{}, ErrBadAnswer
	case read == nil:
		if resp.StatusCode != http.StatusNoContent {
			return answer{}, ErrBadAnswer
		}
	case resp.StatusCode != http.StatusOK:
		return answer{}, ErrBadAnswer
	default:
		if err := read(got); err != nil {
			return answer{}, err
		}
	}
	return answer{resp.Header}, nil
}

func (c *Client) request(ctx context.Context, in call, body []byte) (*http.Request, error) {
	var src io.Reader = http.NoBody
	if body != nil {
		src = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, in.method, c.base+in.path, src)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	set("User-Agent", c.cfg.UserAgent)
	set("Accept", api.ContentTypeJSON)
	if body != nil {
		set("Content-Type", api.ContentTypeJSON)
	}
	set(api.HeaderClientID, c.cfg.ClientID)
	set(api.HeaderClientSecret, c.secret())
	set(api.HeaderIdempotencyKey, in.key)
	set(api.HeaderDeviceFingerprint, in.fingerprint)
	set(api.HeaderCaptchaToken, in.captcha)
	if in.session != "" {
		set("Authorization", "Bearer "+string(in.session))
	}
	return req, nil
}

// mayRepeat decides by the positive sign that a repetition is safe; what is
// not known is not repeated.
func (in *call) mayRepeat(err error) bool {
	if unsent(err) {
		return true
	}
	if in.rule != retryIdempotent || errors.Is(err, ErrBadAnswer) {
		return false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Status == http.StatusConflict {
			return e.Code == api.CodeInProgressIdempotencyKey
		}
		return slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, e.Status)
	}
	// A connection error. A certificate does not get better by asking again.
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return !certificate
}

// unsent reports that no connection was made, so that nothing can have been
// written. It goes by the error, since a trace hook is at the mercy of the
// RoundTripper a caller may have put in.
func unsent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect")
}
