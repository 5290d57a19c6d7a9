package rest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"codeword/internal/carrier"
)

// maxRetryAfter bounds what a provider may ask for.
const maxRetryAfter = time.Hour

// OK tells whether the status is 2xx.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// Failure returns the error that the status alone stands for, for answers that
// say no more: 401, 403, 404, 405 and 3xx are misconfigured (the credentials, or
// the URL), 429 throttled, 503 unavailable; any other leaves open what became of
// the message. cause may be nil.
func (a *Answer) Failure(now time.Time, cause error) *carrier.Error {
	err := fmt.Errorf("HTTP status %d", a.Status)
	if cause != nil {
		err = fmt.Errorf("HTTP status %d: %w", a.Status, cause)
	}
	switch {
	case a.Status == http.StatusTooManyRequests:
		return a.Throttled(now, err)
	case a.Status == http.StatusServiceUnavailable:
		return carrier.NewError(carrier.ReasonUnavailable, err)
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden, a.Status == http.StatusNotFound,
		a.Status == http.StatusMethodNotAllowed, a.Status >= 300 && a.Status < 400:
		return carrier.NewError(carrier.ReasonMisconfigured, err)
	case a.Status >= 500:
		return carrier.NewError(carrier.ReasonCarrierError, err)
	default:
		return carrier.NewError(carrier.ReasonGarbage, err)
	}
}

// Throttled returns a throttled error with the wait that the answer asks for.
func (a *Answer) Throttled(now time.Time, cause error) *carrier.Error {
	e := carrier.NewError(carrier.ReasonThrottled, cause)
	e.RetryAfter = RetryAfter(a.Header, now)
	return e
}

// RetryAfter reads the header Retry-After, in seconds or as a date (RFC 9110
// section 10.2.3); zero if there is none that makes sense, at most an hour.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// ParseBase checks the base-url of a carrier and returns it without a slash at
// its end: https, or http to a loopback address, with nothing beyond a path.
func ParseBase(base string) (string, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return "", errors.New("base-url: not a URL") // err would quote it
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "":
		return "", errors.New("base-url: only scheme, host and path are allowed")
	case u.Host == "" || u.Hostname() == "":
		return "", errors.New("base-url: no host")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return "", errors.New("base-url: https is required, except to a loopback address")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// CheckCallbackURL checks the public URL that a provider will call; empty is
// fine. The error starts with the name of the field.
func CheckCallbackURL(field, raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Fragment != "" {
		return errors.New(field + ": not an absolute http or https URL without fragment")
	}
	if _, _, err := net.SplitHostPort(u.Host); u.Port() == "" && err == nil {
		return errors.New(field + ": the port is missing after the colon")
	}
	return nil
}
