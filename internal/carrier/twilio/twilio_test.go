package twilio_test

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/twilio"
)

const (
	account  = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sid      = "SMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	token    = "not-a-real-auth-token-of-an-account"
	callback = "https://otp.example.com/v1/carriers/main/events"
)

func config() twilio.Config {
	return twilio.Config{
		Name: "main", AccountSID: account, AuthToken: token, From: "+15557122661", CallbackURL: callback,
	}
}

func newCarrier(tb testing.TB, cfg twilio.Config) *twilio.Carrier {
	tb.Helper()
	c, err := twilio.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// against returns a carrier whose API is s.
func against(t *testing.T, s *carriertest.Server, cfg twilio.Config) *twilio.Carrier {
	t.Helper()
	cfg.BaseURL, cfg.TLS = s.URL, s.TLS()
	return newCarrier(t, cfg)
}

func TestConformance(t *testing.T) {
	carriertest.Run(t, carriertest.Subject{
		Open: func(t *testing.T, b carriertest.Behavior) carriertest.Peer {
			s := carriertest.NewServer(t, b, carriertest.ServerConfig{})
			return carriertest.Peer{Carrier: against(t, s, config()), Received: s.Received}
		},
	})
}

func TestRequest(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const service = "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	tests := []struct {
		name   string
		change func(*twilio.Config)
		left   time.Duration
		user   string
		want   url.Values
	}{
		{"number and token", func(*twilio.Config) {}, 10*time.Minute + 500*time.Millisecond, account, url.Values{
			"From": {"+15557122661"}, "ValidityPeriod": {"600"}, "StatusCallback": {callback},
		}},
		{"service and key", func(c *twilio.Config) {
			c.From, c.MessagingServiceSID = "", service
			c.APIKeySID, c.APIKeySecret = "SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "key-secret"
			c.AuthToken, c.CallbackURL = "", ""
		}, -time.Second, "SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", url.Values{
			"MessagingServiceSid": {service}, "ValidityPeriod": {"1"},
		}},
		{"far end", func(*twilio.Config) {}, 48 * time.Hour, account, url.Values{
			"From": {"+15557122661"}, "ValidityPeriod": {"36000"}, "StatusCallback": {callback},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := carriertest.NewServer(t, carriertest.BehaviorAccept, carriertest.ServerConfig{})
			cfg := config()
			cfg.Now = func() time.Time { return now }
			tt.change(&cfg)
			m := carriertest.Message(t, carriertest.Number)
			m.ValidUntil = now.Add(tt.left)
			receipt, err := against(t, s, cfg).Send(t.Context(), m)
			if err != nil || receipt.Ref != sid || receipt.Delivered {
				t.Fatalf("got %+v, %v", receipt, err)
			}
			r := s.Requests()[0]
			if r.Method != http.MethodPost || r.URL != "/2010-04-01/Accounts/"+account+"/Messages.json" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			request := http.Request{Header: r.Header}
			if user, password, _ := request.BasicAuth(); user != tt.user || password == "" {
				t.Errorf("credentials of %q", user)
			}
			got, err := url.ParseQuery(string(r.Body))
			if err != nil {
				t.Fatal(err)
			}
			tt.want["To"], tt.want["Body"] = []string{carriertest.Number}, []string{string(m.Text)}
			if got.Encode() != tt.want.Encode() {
				t.Errorf("got  %s\nwant %s", got.Encode(), tt.want.Encode())
			}
		})
	}
}

// TestAnswers has what the suite does not: answers of which the table, or the
// status, says more.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name, fixture string
		class         carrier.Class
		effect        carrier.Effect
		reason        string
		retryAfter    time.Duration
	}{
		{"throttled", "throttle", carrier.Retryable, carrier.EffectThrottle, carrier.ReasonThrottled, time.Second},
		{"unlisted code", "unlisted", carrier.Retryable, carrier.EffectNone, "twilio_21999", 0},
		{"accepted and failed", "failed", carrier.Retryable, carrier.EffectMisconfigured, carrier.ReasonUnregistered, 0},
		{"no sid", "check-less", carrier.Unknown, carrier.EffectNone, carrier.ReasonGarbage, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + tt.fixture + ".http")
			if tt.fixture == "check-less" {
				raw, err = []byte("HTTP/1.1 201 Created\n\n{\"status\": \"queued\"}\n"), nil
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = against(t, carriertest.Answering(t, raw), config()).Send(t.Context(), carriertest.Message(t, carriertest.Number))
			e := carrier.Classify(err)
			if e == nil || e.Class != tt.class || e.Effect != tt.effect || e.Reason != tt.reason || e.RetryAfter != tt.retryAfter {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// TestCodes: every code stands for a reason that the rest of the service knows.
func TestCodes(t *testing.T) {
	for code, reason := range twilio.Reasons {
		if e := carrier.NewError(reason, nil); e.Class == carrier.Unknown && reason != carrier.ReasonCarrierError {
			t.Errorf("%d: %s is no shared reason", code, reason)
		}
	}
	for code, want := range map[int]string{ // the ones that cost most when wrong
		21610: carrier.ReasonOptedOut,
		30034: carrier.ReasonUnregistered,
		20003: carrier.ReasonMisconfigured,
		20429: carrier.ReasonThrottled,
		30003: carrier.ReasonUnreachable,
		30006: carrier.ReasonLandline,
		30008: carrier.ReasonCarrierError,
	} {
		if got := twilio.Reasons[code]; got != want {
			t.Errorf("%d: got %s, want %s", code, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		change func(*twilio.Config)
		fields []string
	}{
		{func(c *twilio.Config) { *c = twilio.Config{} }, []string{"account-sid", "auth-token", "from"}},
		{func(c *twilio.Config) { c.AccountSID = "SK" + c.AccountSID[2:] }, []string{"account-sid"}},
		{func(c *twilio.Config) { c.AuthToken = "" }, []string{"auth-token"}},
		{func(c *twilio.Config) { c.AuthToken, c.CallbackURL = "", "" }, []string{"auth-token"}},
		{func(c *twilio.Config) { c.APIKeySID = "SKx" }, []string{"api-key-sid", "api-key-secret"}},
		{func(c *twilio.Config) { c.APIKeySecret = "x" }, []string{"api-key-sid"}},
		{func(c *twilio.Config) { c.From = "ACME" }, []string{"from"}},
		{func(c *twilio.Config) { c.From = "+1 555 712 2661" }, []string{"from"}},
		{func(c *twilio.Config) { c.MessagingServiceSID = "MGx" }, []string{"from", "messaging-service-sid"}},
		{func(c *twilio.Config) { c.BaseURL = "http://api.twilio.com" }, []string{"base-url"}},
		{func(c *twilio.Config) { c.CallbackURL = "otp.example.com" }, []string{"callback-url"}},
	}
	for _, tt := range tests {
		cfg := config()
		tt.change(&cfg)
		_, err := twilio.New(cfg)
		carriertest.WantFields(t, err, tt.fields...)
	}
	short := config()
	short.From = "12345"
	if err := short.Validate(); err != nil {
		t.Errorf("short code: %v", err)
	}
}

func TestCheckExplains(t *testing.T) {
	s := carriertest.NewServer(t, carriertest.BehaviorAuth, carriertest.ServerConfig{})
	err := against(t, s, config()).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "20003") || strings.Contains(err.Error(), token) {
		t.Errorf("got %v", err)
	}
	cfg := config()
	cfg.BaseURL = "http://127.0.0.1:1"
	if err := newCarrier(t, cfg).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
	other := config()
	other.AccountSID = "AC" + strings.Repeat("b", 32)
	s = carriertest.NewServer(t, carriertest.BehaviorAccept, carriertest.ServerConfig{})
	if err := against(t, s, other).Check(t.Context()); err == nil {
		t.Error("another account's answer passed")
	}
}
