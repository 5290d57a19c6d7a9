package twilio_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup/twilio"
	"codeword/internal/providertest"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	secret  = "a-token-that-must-not-leak"
)

func number(t *testing.T) phone.Number {
	t.Helper()
	n, err := phone.Parse("+16502180000")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func provider(t *testing.T, url string) *twilio.Provider {
	t.Helper()
	p, err := twilio.New(twilio.Config{AccountSID: account, AuthToken: secret, BaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func intelligence(kind string, code string) string {
	return fmt.Sprintf(`{"calling_country_code": "1", "country_code": "US", "phone_number": "+16502180000", "valid": true,
		"validation_errors": [], "caller_name": null, "line_type_intelligence": {"error_code": %s, "type": %s,
		"mobile_country_code": "310", "mobile_network_code": "456", "carrier_name": "T-Mobile USA, Inc."}}`, code, kind)
}

func TestTypes(t *testing.T) {
	for kind, want := range map[string]phone.LineType{
		"mobile": phone.LineMobile, "landline": phone.LineLandline,
		"fixedVoip": phone.LineFixedVoIP, "nonFixedVoip": phone.LineNonFixedVoIP,
		"tollFree": phone.LineTollFree, "premium": phone.LinePremium, "sharedCost": phone.LinePremium,
		"personal": phone.LineOther, "uan": phone.LineOther, "voicemail": phone.LineVoicemail,
		"pager": phone.LinePager, "unknown": phone.LineUnknown, "something new": phone.LineUnknown,
	} {
		s := providertest.New(t, providertest.JSON(200, intelligence(`"`+kind+`"`, "null")))
		if got, err := provider(t, s.URL).LineType(t.Context(), number(t)); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", kind, got, err, want)
		}
	}
}

func TestRequest(t *testing.T) {
	s := providertest.New(t, providertest.JSON(200, intelligence(`"mobile"`, "null")))
	if _, err := provider(t, s.URL+"/").LineType(t.Context(), number(t)); err != nil {
		t.Fatal(err)
	}
	withKey, err := twilio.New(twilio.Config{APIKeySID: "SK0123456789abcdef0123456789abcdef", APIKeySecret: secret, BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := withKey.LineType(t.Context(), number(t)); err != nil {
		t.Fatal(err)
	}
	for i, user := range []string{account, "SK0123456789abcdef0123456789abcdef"} {
		r := s.Requests()[i]
		if r.Method != "GET" || r.URL != "/v2/PhoneNumbers/+16502180000?Fields=line_type_intelligence" || r.Body != "" {
			t.Errorf("%+v", r)
		}
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret)); r.Header.Get("Authorization") != want {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
	}
}

// TestNobodyKnows: what is said of the number is an answer.
func TestNobodyKnows(t *testing.T) {
	for name, answer := range map[string]providertest.Answer{
		"no such number":   providertest.JSON(404, `{"code": 20404, "message": "+16502180000 was not found", "status": 404}`),
		"not valid":        providertest.JSON(200, `{"phone_number": "+16502180000", "valid": false, "validation_errors": ["TOO_SHORT"], "line_type_intelligence": null}`),
		"not covered":      providertest.JSON(200, intelligence("null", "60600")),
		"Canada":           providertest.JSON(200, intelligence("null", "60601")),
		"no type, no code": providertest.JSON(200, intelligence("null", "null")),
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
	cases["credentials"] = failure{providertest.JSON(401, `{"code": 20003, "message": "Authenticate", "status": 401}`), "misconfigured"}
	cases["not enabled"] = failure{providertest.JSON(200, intelligence("null", "60606")), "misconfigured"}
	cases["no line type"] = failure{providertest.JSON(200, `{"valid": true}`), "unexpected_answer"}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := providertest.New(t, c.Answer)
			ctx, cancel := context.WithTimeout(t.Context(), deadline(name))
			defer cancel()
			got, err := provider(t, s.URL).LineType(ctx, number(t))
			var e *carrier.Error
			if !errors.As(err, &e) || e.Reason != c.Reason || got != phone.LineUnknown {
				t.Fatalf("got %v, %v; want %s", got, err, c.Reason)
			}
			if strings.Contains(err.Error(), "6502180000") || strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells: %v", err)
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func deadline(name string) time.Duration {
	if name == "slow" {
		return time.Second // enough for the request to be there
	}
	return time.Minute
}

func TestCheck(t *testing.T) {
	s := providertest.New(t, providertest.JSON(200, `{"valid": true, "line_type_intelligence": null}`))
	p := provider(t, s.URL)
	if err := p.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if r := s.Requests()[0]; strings.Contains(r.URL, "Fields") {
		t.Errorf("the check costs money: %s", r.URL)
	}
	for want, answer := range map[string]providertest.Answer{
		"code 20003":   providertest.JSON(401, `{"code": 20003, "status": 401}`),
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
	for _, c := range []struct {
		cfg  twilio.Config
		want []string
	}{
		{twilio.Config{}, []string{"account-sid:", "auth-token:"}},
		{twilio.Config{AccountSID: account, AuthToken: secret, BaseURL: "http://lookups.example.com"}, []string{"base-url:"}},
		{twilio.Config{APIKeySID: "SK1"}, []string{"api-key-sid:", "api-key-secret:"}},
	} {
		_, err := twilio.New(c.cfg)
		if err == nil {
			t.Fatalf("%+v is taken", c.cfg)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	}
	if got := fmt.Sprintf("%+v", twilio.Config{AuthToken: secret}); strings.Contains(got, secret) {
		t.Errorf("printed: %s", got)
	}
}
