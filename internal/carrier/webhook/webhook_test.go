package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"codeword/internal/addresstest"
	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/webhook"
	"codeword/internal/message"
)

// What the service finds in a carrier by its type.
var (
	_ carrier.Checker  = (*webhook.Carrier)(nil)
	_ carrier.Callback = (*webhook.Carrier)(nil)
)

// Secrets of the Standard Webhooks specification's form.
const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	next   = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	other  = "whsec_//////////////////////////////////////////8="
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func newCarrier(tb testing.TB, cfg webhook.Config) *webhook.Carrier {
	tb.Helper()
	c, err := webhook.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func newServer(t *testing.T, b carriertest.Behavior) *carriertest.Server {
	t.Helper()
	return carriertest.NewServer(t, b, carriertest.ServerConfig{IsCheck: func(r *http.Request) bool {
		return strings.HasPrefix(r.Header.Get("Webhook-Id"), "ping_")
	}})
}

func config(s *carriertest.Server) webhook.Config {
	return webhook.Config{Name: "own", URL: s.URL + "/sms?tenant=1", Secrets: []carrier.Secret{secret}, TLS: s.TLS()}
}

func TestConformance(t *testing.T) {
	carriertest.Run(t, carriertest.Subject{
		Open: func(t *testing.T, b carriertest.Behavior) carriertest.Peer {
			s := newServer(t, b)
			return carriertest.Peer{Carrier: newCarrier(t, config(s)), Received: s.Received}
		},
	})
}

func TestRequest(t *testing.T) {
	s := newServer(t, carriertest.BehaviorAccept)
	cfg := config(s)
	now := t0
	cfg.Now = func() time.Time { return now }
	c := newCarrier(t, cfg)
	m := carriertest.Message(t, "+16502530000")
	m.Text = "123456 is your \"Acme\" code <é✓>\n@example.com #123456"
	m.ValidUntil = t0.Add(10 * time.Minute).In(time.FixedZone("CET", 3600))
	for range 2 {
		if receipt, err := c.Send(t.Context(), m); err != nil || receipt != (carrier.Receipt{Ref: "ref-1"}) {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		now = now.Add(time.Minute)
	}
	for i, sent := range []string{"2026-03-01T12:00:00.123Z", "2026-03-01T12:01:00.123Z"} {
		r := s.Requests()[i]
		if r.Method != http.MethodPost || r.URL != "/sms?tenant=1" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s, %v", r.Method, r.URL, r.Header)
		}
		var got map[string]any
		if err := json.Unmarshal(r.Body, &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"type": "message.send", "timestamp": sent, "data": map[string]any{
			"id": m.ID.String(), "to": "+16502530000", "text": string(m.Text), "validUntil": "2026-03-01T12:10:00.123Z",
		}}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if r.Header.Get("Webhook-Id") != m.ID.String() {
			t.Error("a message that is sent again must keep its id")
		}
		if at := r.Header.Get("Webhook-Timestamp"); at != fmt.Sprint(t0.Add(time.Duration(i)*time.Minute).Unix()) {
			t.Errorf("timestamp %s", at)
		}
	}
}

func TestTextThatIsNoText(t *testing.T) {
	s := newServer(t, carriertest.BehaviorAccept)
	m := carriertest.Message(t, carriertest.Number)
	m.Text = message.Text("\xff")
	_, err := newCarrier(t, config(s)).Send(t.Context(), m)
	if e := carrier.Classify(err); e.Reason != carrier.ReasonRejected || s.Received() != 0 {
		t.Errorf("got %s", e.Reason)
	}
}

// answering returns a carrier to whose posts there is one answer.
func answering(t *testing.T, status int, body string) *webhook.Carrier {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return newCarrier(t, webhook.Config{Name: "own", URL: server.URL + "/?token=hush", Secrets: []carrier.Secret{secret}})
}

func TestAccepted(t *testing.T) {
	m := carriertest.Message(t, carriertest.Number)
	own := m.ID.String()
	tests := []struct {
		status int
		body   string
		want   carrier.Receipt
	}{
		{200, "", carrier.Receipt{Ref: own}},
		{200, " \r\n", carrier.Receipt{Ref: own}},
		{204, "", carrier.Receipt{Ref: own}},
		{200, "{}", carrier.Receipt{Ref: own}},
		{200, `{"id":""}`, carrier.Receipt{Ref: own}},
		{202, `{"id":"r","more":[1]}`, carrier.Receipt{Ref: "r"}},
		{200, `{"status":"accepted"}`, carrier.Receipt{Ref: own}},
		{200, `{"status":"delivered","id":"r"}`, carrier.Receipt{Ref: "r", Delivered: true}},
		{200, `{"id":"` + strings.Repeat("x", 128) + `"}`, carrier.Receipt{Ref: strings.Repeat("x", 128)}},
	}
	for _, tt := range tests {
		got, err := answering(t, tt.status, tt.body).Send(t.Context(), m)
		if err != nil || got != tt.want {
			t.Errorf("%d %.60q: got %+v, %v", tt.status, tt.body, got, err)
		}
	}
}

func TestCodes(t *testing.T) {
	tests := []struct {
		status       int
		body, reason string
	}{
		{200, "ok", carrier.ReasonGarbage},
		{200, "<html>", carrier.ReasonGarbage},
		{200, "null", carrier.ReasonGarbage},
		{200, "[]", carrier.ReasonGarbage},
		{200, `"ref"`, carrier.ReasonGarbage},
		{200, `{"id":7}`, carrier.ReasonGarbage},
		{200, `{"id":"a","id":"b"}`, carrier.ReasonGarbage},
		{200, `{"id":"` + strings.Repeat("x", 129) + `"}`, carrier.ReasonGarbage},
		{200, `{"status":"failed"}`, carrier.ReasonGarbage},
		{400, `{"error":"opted_out"}`, carrier.ReasonOptedOut},
		{404, `{"error":"invalid_number"}`, carrier.ReasonInvalidNumber},
		{422, `{"error":"landline"}`, carrier.ReasonLandline},
		{409, `{"error":"rejected"}`, carrier.ReasonRejected},
		{410, `{"error":"expired"}`, carrier.ReasonExpired},
		{400, `{"error":"filtered"}`, carrier.ReasonFiltered},
		{400, `{"error":"unreachable"}`, carrier.ReasonUnreachable},
		{400, `{"error":"unavailable"}`, carrier.ReasonUnavailable},
		{400, `{"error":"throttled"}`, carrier.ReasonThrottled},
		{400, `{"error":"unregistered_campaign"}`, carrier.ReasonUnregistered},
		{401, `{"error":"misconfigured"}`, carrier.ReasonMisconfigured},
		{402, `{"error":"insufficient_funds"}`, carrier.ReasonFunds},
		// Reasons that only we can know, and none.
		{400, `{"error":"connection_lost"}`, carrier.ReasonMisconfigured},
		{400, `{"error":"No such number: +16502530000"}`, carrier.ReasonMisconfigured},
		{400, `{"error":{"code":1}}`, carrier.ReasonMisconfigured},
		{400, "", carrier.ReasonMisconfigured},
		{422, "", carrier.ReasonRejected},
		{401, "", carrier.ReasonMisconfigured},
		{403, "<html>", carrier.ReasonMisconfigured},
		{404, "", carrier.ReasonMisconfigured},
		{408, "", carrier.ReasonThrottled},
		{429, "", carrier.ReasonThrottled},
		{302, "", carrier.ReasonMisconfigured},
		{500, `{"error":"rejected"}`, carrier.ReasonCarrierError},
		{502, "", carrier.ReasonCarrierError},
		{503, `{"error":"rejected"}`, carrier.ReasonUnavailable},
		{504, "", carrier.ReasonCarrierError},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %.60s", tt.status, tt.body), func(t *testing.T) {
			m := carriertest.Message(t, carriertest.Number)
			receipt, err := answering(t, tt.status, tt.body).Send(t.Context(), m)
			got, want := carrier.Classify(err), carrier.NewError(tt.reason, nil)
			ref := "" // what was not taken has none
			if want.Class == carrier.Unknown {
				ref = m.ID.String()
			}
			if got == nil || got.Reason != tt.reason || got.Class != want.Class || got.Effect != want.Effect || receipt != (carrier.Receipt{Ref: ref}) {
				t.Fatalf("got %+v, want %s", got, tt.reason)
			}
			if throttled := tt.reason == carrier.ReasonThrottled; throttled != (got.RetryAfter == 3*time.Second) {
				t.Errorf("retry after %v", got.RetryAfter)
			}
			if strings.Contains(err.Error(), "650") {
				t.Errorf("the error quotes the receiver: %v", err)
			}
		})
	}
}

func TestCheckExplains(t *testing.T) {
	tests := []struct {
		status     int
		body, want string
	}{
		{200, "", ""},
		{204, "", ""},
		{200, "{}", ""},
		{200, "<html>", "url"},
		{401, "", "secrets"},
		{403, "", "secrets"},
		{404, "", "404"},
		{500, "secret words", "500"},
	}
	for _, tt := range tests {
		err := answering(t, tt.status, tt.body).Check(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d %q: got %v, want %q", tt.status, tt.body, err, tt.want)
		}
	}
	err := newCarrier(t, webhook.Config{Name: "own", URL: "http://" + addresstest.Refusing + "/?token=hush", Secrets: []carrier.Secret{secret}}).Check(t.Context())
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("unreachable: got %v", err)
	}
}

func TestConfigTellsAllAtOnce(t *testing.T) {
	_, err := webhook.New(webhook.Config{
		URL:            "http://example.com",
		Secrets:        []carrier.Secret{"hush", "whsec_aHVzaA==", secret},
		ReceiptSecrets: []carrier.Secret{"whsec_hush hush", "whsec_aHVzaA=="},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"name: required",
		"url: https is required, except to a loopback address",
		"secrets: more than 2",
		`receipt-secrets[0]: not "whsec_" and base64`,
		"receipt-secrets[1]: shorter than 24 bytes",
	}
	if got := strings.Split(err.Error(), "\n"); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %q", got)
	}
	tests := []struct {
		url string
		ok  bool
	}{
		{"https://sms.example.com", true},
		{"https://sms.example.com/in?token=a", true},
		{"http://127.0.0.1:9000/in?token=a", true},
		{"", false},
		{"https://user:hush@sms.example.com", false},
		{"https://sms.example.com/#hush", false},
		{"sms.example.com", false},
		{"https://%zz?token=hush", false},
	}
	for _, tt := range tests {
		err := webhook.Config{Name: "own", URL: tt.url, Secrets: []carrier.Secret{secret}}.Validate()
		if (err == nil) != tt.ok || err != nil && (!strings.HasPrefix(err.Error(), "url: ") || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: got %v", tt.url, err)
		}
	}
	if err := (webhook.Config{Name: "own", URL: "https://sms.example.com"}).Validate(); err == nil || err.Error() != "secrets: required" {
		t.Errorf("no secret: got %v", err)
	}
}
