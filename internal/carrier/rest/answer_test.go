package rest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

func TestFailure(t *testing.T) {
	tests := []struct {
		status int
		class  carrier.Class
		reason string
	}{
		{200, carrier.Unknown, carrier.ReasonGarbage},
		{302, carrier.Retryable, carrier.ReasonMisconfigured},
		{400, carrier.Unknown, carrier.ReasonGarbage},
		{401, carrier.Retryable, carrier.ReasonMisconfigured},
		{403, carrier.Retryable, carrier.ReasonMisconfigured},
		{404, carrier.Retryable, carrier.ReasonMisconfigured},
		{429, carrier.Retryable, carrier.ReasonThrottled},
		{500, carrier.Unknown, carrier.ReasonCarrierError},
		{502, carrier.Unknown, carrier.ReasonCarrierError},
		{503, carrier.Retryable, carrier.ReasonUnavailable},
		{504, carrier.Unknown, carrier.ReasonCarrierError},
		{999, carrier.Unknown, carrier.ReasonCarrierError},
	}
	cause := errors.New("code 17")
	for _, tt := range tests {
		a := &rest.Answer{Status: tt.status, Header: http.Header{"Retry-After": {"7"}}}
		e := a.Failure(time.Now(), cause)
		if e.Class != tt.class || e.Reason != tt.reason || !errors.Is(e, cause) {
			t.Errorf("%d: got %v %s", tt.status, e.Class, e.Reason)
		}
		if throttled := tt.status == 429; throttled != (e.RetryAfter == 7*time.Second) {
			t.Errorf("%d: retry after %v", tt.status, e.RetryAfter)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		header string
		want   time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{"3600", time.Hour},
		{"999999999", time.Hour},
		{"99999999999999999999", 0},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"soon", 0},
		{strings.Repeat("9", 1<<16), 0},
		{"Sun, 01 Mar 2026 12:00:30 GMT", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:00:00 GMT", 0},
		{"Sun, 01 Mar 9999 11:00:00 GMT", time.Hour},
	}
	for _, tt := range tests {
		if got := rest.RetryAfter(http.Header{"Retry-After": {tt.header}}, now); got != tt.want {
			t.Errorf("%.40q: got %v, want %v", tt.header, got, tt.want)
		}
	}
}

func TestParseBase(t *testing.T) {
	tests := []struct{ base, want string }{
		{"https://api.example.com", "https://api.example.com"},
		{"https://api.example.com/", "https://api.example.com"},
		{"https://proxy.example.com:8443/twilio/", "https://proxy.example.com:8443/twilio"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
		{"http://[::1]:8080", "http://[::1]:8080"},
		{"http://localhost:1/", "http://localhost:1"},
		{"http://api.example.com", ""},
		{"http://10.0.0.1", ""},
		{"http://127.0.0.1.example.com", ""},
		{"ftp://127.0.0.1", ""},
		{"api.example.com", ""},
		{"https://", ""},
		{"https://:443", ""},
		{"https://user:secret@api.example.com", ""},
		{"https://api.example.com?", ""},
		{"https://api.example.com?a=b", ""},
		{"https://api.example.com#a", ""},
		{"https:api.example.com", ""},
		{"https://api.example.com:secret", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, err := rest.ParseBase(tt.base)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.base, got, err, tt.want)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "base-url: ") || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: error %q", tt.base, err)
		}
	}
}

func TestCheckCallbackURL(t *testing.T) {
	for raw, ok := range map[string]bool{
		"":                                 true,
		"https://otp.example.com/v1/x?y=z": true,
		"http://127.0.0.1:8080/v1/x":       true,
		"otp.example.com/v1":               false,
		"https:///v1":                      false,
		"https://otp.example.com/#x":       false,
		"ftp://otp.example.com/":           false,
		"https://otp.example.com:/v1":      false,
		"https://%zz":                      false,
	} {
		if err := rest.CheckCallbackURL("callback-url", raw); (err == nil) != ok {
			t.Errorf("%q: got %v", raw, err)
		}
	}
}
