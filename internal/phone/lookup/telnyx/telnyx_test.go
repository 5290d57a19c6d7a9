package telnyx_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup/telnyx"
	"codeword/internal/providertest"
)

const secret = "KEY-that-must-not-leak"

func number(t *testing.T) phone.Number {
	t.Helper()
	n, err := phone.Parse("+16502180000")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func provider(t *testing.T, url string) *telnyx.Provider {
	t.Helper()
	p, err := telnyx.New(telnyx.Config{APIKey: secret, BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func data(kind string) string {
	return fmt.Sprintf(`{"data": {"caller_name": null, "carrier": {"error_code": null, "mobile_country_code": "310",
		"mobile_network_code": 160, "name": "T-Mobile", "normalized_carrier": "T-Mobile", "type": %q}, "country_code": "US", "fraud": null,
		"national_format": "(650) 218-0000", "phone_number": "+16502180000", "portability": {"line_type": "x"}, "record_type": "number_lookup"}}`, kind)
}

func TestTypes(t *testing.T) {
	for kind, want := range map[string]phone.LineType{
		"mobile": phone.LineMobile, "fixed line": phone.LineLandline, "fixed line or mobile": phone.LineUnknown,
		"voip": phone.LineNonFixedVoIP, "toll free": phone.LineTollFree, "premium rate": phone.LinePremium,
		"shared cost": phone.LinePremium, "personal number": phone.LineOther, "uan": phone.LineOther,
		"pager": phone.LinePager, "voicemail": phone.LineVoicemail, "unknown": phone.LineUnknown, "": phone.LineUnknown, "new": phone.LineUnknown,
	} {
		s := providertest.New(t, providertest.JSON(200, data(kind)))
		if got, err := provider(t, s.URL).LineType(t.Context(), number(t)); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", kind, got, err, want)
		}
		r := s.Requests()[0]
		if r.Method != "GET" || r.URL != "/v2/number_lookup/+16502180000?type=carrier" || r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("%+v", r)
		}
	}
}

// TestNobodyKnows: what is said of the number is an answer.
func TestNobodyKnows(t *testing.T) {
	for name, answer := range map[string]providertest.Answer{
		"invalid":        providertest.JSON(422, `{"errors": [{"code": "10002", "title": "Invalid phone number", "detail": "+16502180000"}]}`),
		"not found":      providertest.JSON(404, `{"errors": [{"code": 10005, "title": "Resource not found"}]}`),
		"not a number":   providertest.JSON(200, `{"data": {"valid_number": false, "carrier": null}}`),
		"without a type": providertest.JSON(200, `{"data": {"carrier": null}}`),
	} {
		s := providertest.New(t, answer)
		if got, err := provider(t, s.URL).LineType(t.Context(), number(t)); err != nil || got != phone.LineUnknown {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestFailures(t *testing.T) {
	cases := providertest.Failures()
	type failure = struct {
		Answer providertest.Answer
		Reason string
	}
	cases["credentials"] = failure{providertest.JSON(401, `{"errors": [{"code": "10009", "title": "Authentication failed"}]}`), "misconfigured"}
	cases["no data"] = failure{providertest.JSON(200, `{}`), "unexpected_answer"}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := providertest.New(t, c.Answer)
			limit := time.Minute
			if name == "slow" {
				limit = time.Second // enough for the request to be there
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			got, err := provider(t, s.URL).LineType(ctx, number(t))
			var e *carrier.Error
			if !errors.As(err, &e) || e.Reason != c.Reason || got != phone.LineUnknown {
				t.Fatalf("got %v, %v; want %s", got, err, c.Reason)
			}
			if strings.Contains(err.Error(), "6502180000") || strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells: %v", err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	s := providertest.New(t, providertest.JSON(200, `{"data": {"record_type": "balance", "balance": "300.00"}}`))
	p := provider(t, s.URL)
	if err := p.Check(t.Context()); err != nil || s.Requests()[0].URL != "/v2/balance" {
		t.Errorf("%v, %+v", err, s.Requests())
	}
	for want, answer := range map[string]providertest.Answer{
		"code 10009":   providertest.JSON(401, `{"errors": [{"code": "10009"}]}`),
		"status 500":   providertest.JSON(500, `x`),
		"base-url":     providertest.Garbage(),
		"unexpected_a": providertest.Flood(),
	} {
		s.Answer(answer)
		if err := p.Check(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for want, cfg := range map[string]telnyx.Config{
		"api-key:":  {},
		"base-url:": {APIKey: secret, BaseURL: "ftp://127.0.0.1"},
	} {
		if _, err := telnyx.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
