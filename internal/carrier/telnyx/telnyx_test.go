package telnyx_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/telnyx"
)

const (
	id       = "40385f64-5717-4562-b3fc-2c963f66afa6"
	apiKey   = "KEY-not-a-real-one"
	profile  = "4000eba1-a0c0-4563-9925-b25e842a7cb6"
	callback = "https://otp.example.com/v1/carriers/main/events"
)

var (
	private = ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", ed25519.SeedSize)))
	public  = base64.StdEncoding.EncodeToString(private[ed25519.SeedSize:])
)

func config() telnyx.Config {
	return telnyx.Config{Name: "main", APIKey: apiKey, PublicKey: public, From: "+13125550100", CallbackURL: callback}
}

func newCarrier(tb testing.TB, cfg telnyx.Config) *telnyx.Carrier {
	tb.Helper()
	c, err := telnyx.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// against returns a carrier whose API is s.
func against(t *testing.T, s *carriertest.Server, cfg telnyx.Config) *telnyx.Carrier {
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
	tests := []struct {
		name   string
		change func(*telnyx.Config)
		want   map[string]any
	}{
		{"number", func(*telnyx.Config) {}, map[string]any{"from": "+13125550100", "webhook_url": callback}},
		{"number pool, no callbacks", func(c *telnyx.Config) {
			c.From, c.MessagingProfileID, c.CallbackURL, c.PublicKey = "", profile, "", ""
		}, map[string]any{"messaging_profile_id": profile}},
		{"both", func(c *telnyx.Config) { c.MessagingProfileID = profile }, map[string]any{
			"from": "+13125550100", "messaging_profile_id": profile, "webhook_url": callback,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := carriertest.NewServer(t, carriertest.BehaviorAccept, carriertest.ServerConfig{})
			cfg := config()
			tt.change(&cfg)
			m := carriertest.Message(t, carriertest.Number)
			receipt, err := against(t, s, cfg).Send(t.Context(), m)
			if err != nil || receipt != (carrier.Receipt{Ref: id}) {
				t.Fatalf("got %+v, %v", receipt, err)
			}
			r := s.Requests()[0]
			if r.Method != "POST" || r.URL != "/v2/messages" || r.Header.Get("Authorization") != "Bearer "+apiKey ||
				r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Content-Type"))
			}
			var got map[string]any
			if err := json.Unmarshal(r.Body, &got); err != nil {
				t.Fatal(err)
			}
			maps.Copy(tt.want, map[string]any{
				"to": carriertest.Number, "text": string(m.Text), "type": "SMS", "use_profile_webhooks": false,
			})
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestAnswers has what the suite does not: answers of which the table, or the
// status, says more.
func TestAnswers(t *testing.T) {
	tests := []struct {
		fixture    string
		class      carrier.Class
		effect     carrier.Effect
		reason     string
		retryAfter time.Duration
	}{
		{"throttle", carrier.Retryable, carrier.EffectThrottle, carrier.ReasonThrottled, time.Second},
		{"spend-limit", carrier.Retryable, carrier.EffectMisconfigured, carrier.ReasonFunds, 0},
		{"unlisted", carrier.Retryable, carrier.EffectNone, "telnyx_40999", 0},
		{"failed", carrier.Retryable, carrier.EffectMisconfigured, carrier.ReasonUnregistered, 0},
		{"check", carrier.Unknown, carrier.EffectNone, carrier.ReasonGarbage, 0},
	}
	for _, tt := range tests {
		t.Run(tt.fixture, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + tt.fixture + ".http")
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
	for code, reason := range telnyx.Reasons {
		if e := carrier.NewError(reason, nil); e.Class == carrier.Unknown && reason != carrier.ReasonCarrierError {
			t.Errorf("%d: %s is no shared reason", code, reason)
		}
	}
	for code, want := range map[int]string{ // the ones that cost most when wrong
		40300: carrier.ReasonOptedOut,
		40010: carrier.ReasonUnregistered,
		10009: carrier.ReasonMisconfigured,
		40318: carrier.ReasonThrottled,
		40310: carrier.ReasonInvalidNumber,
		40001: carrier.ReasonLandline,
	} {
		if got := telnyx.Reasons[code]; got != want {
			t.Errorf("%d: got %s, want %s", code, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		change func(*telnyx.Config)
		fields []string
	}{
		{func(c *telnyx.Config) { *c = telnyx.Config{} }, []string{"api-key", "from"}},
		{func(c *telnyx.Config) { c.PublicKey = "" }, []string{"public-key"}},
		{func(c *telnyx.Config) { c.PublicKey = "AAAA" }, []string{"public-key"}},
		{func(c *telnyx.Config) { c.PublicKey = strings.Repeat("A", 43) + "=" }, []string{"public-key"}},
		{func(c *telnyx.Config) { c.PublicKey = "not base64" }, []string{"public-key"}},
		{func(c *telnyx.Config) { c.From = "ACME" }, []string{"from"}},
		{func(c *telnyx.Config) { c.MessagingProfileID = "main" }, []string{"messaging-profile-id"}},
		{func(c *telnyx.Config) { c.BaseURL = "http://api.telnyx.com" }, []string{"base-url"}},
		{func(c *telnyx.Config) { c.CallbackURL = "/v1" }, []string{"callback-url"}},
	}
	for _, tt := range tests {
		cfg := config()
		tt.change(&cfg)
		_, err := telnyx.New(cfg)
		carriertest.WantFields(t, err, tt.fields...)
	}
}

func TestCheckExplains(t *testing.T) {
	s := carriertest.NewServer(t, carriertest.BehaviorAuth, carriertest.ServerConfig{})
	err := against(t, s, config()).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "10009") || strings.Contains(err.Error(), apiKey) {
		t.Errorf("got %v", err)
	}
	cfg := config()
	cfg.BaseURL = "http://127.0.0.1:1"
	if err := newCarrier(t, cfg).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}
