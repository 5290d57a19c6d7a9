package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/webhook"
)

// signature is the specification's arithmetic, spelled out.
func signature(tb testing.TB, secret, id string, at int64, body string) string {
	tb.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		tb.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// posted is a webhook as the receiver posts it.
func posted(tb testing.TB, id, at, signatures string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/v1/carriers/own/events", http.NoBody)
	for name, value := range map[string]string{"webhook-id": id, "webhook-timestamp": at, "webhook-signature": signatures} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return r
}

func signed(tb testing.TB, secret, body string) *http.Request {
	tb.Helper()
	return posted(tb, "evt_1", fmt.Sprint(t0.Unix()), signature(tb, secret, "evt_1", t0.Unix(), body))
}

func listening(tb testing.TB, cfg webhook.Config) *webhook.Carrier {
	tb.Helper()
	cfg.Name, cfg.URL = "own", "https://sms.example.com"
	if cfg.Secrets == nil {
		cfg.Secrets = []carrier.Secret{secret}
	}
	cfg.Now = func() time.Time { return t0 }
	return newCarrier(tb, cfg)
}

func TestReceipts(t *testing.T) {
	c := listening(t, webhook.Config{})
	at := time.Date(2026, 3, 1, 11, 59, 58, 0, time.UTC)
	data := func(s string) string { return `{"type":"message.receipt","data":{"id":"ref-1",` + s + `}}` }
	tests := []struct {
		body string
		want carrier.DeliveryReceipt
	}{
		{data(`"status":"accepted"`), carrier.DeliveryReceipt{Status: carrier.ReceiptAccepted}},
		{data(`"status":"accepted","reason":"filtered"`), carrier.DeliveryReceipt{Status: carrier.ReceiptAccepted}},
		{data(`"status":"delivered","time":"2026-03-01T12:59:58+01:00"`), carrier.DeliveryReceipt{Status: carrier.ReceiptDelivered, At: at}},
		{data(`"status":"failed","reason":"unreachable"`), carrier.DeliveryReceipt{Status: carrier.ReceiptFailed, Reason: carrier.ReasonUnreachable}},
		{data(`"status":"failed","reason":"opted_out"`), carrier.DeliveryReceipt{Status: carrier.ReceiptFailed, Reason: carrier.ReasonOptedOut}},
		{data(`"status":"failed"`), carrier.DeliveryReceipt{Status: carrier.ReceiptFailed, Reason: carrier.ReasonCarrierError}},
		{data(`"status":"failed","reason":"Oh no"`), carrier.DeliveryReceipt{Status: carrier.ReceiptFailed, Reason: carrier.ReasonCarrierError}},
		{
			`{"type":"message.receipt","timestamp":"2026-03-01T12:00:00Z","v":2,"data":{"id":"ref-1","status":"delivered","x":1}}`,
			carrier.DeliveryReceipt{Status: carrier.ReceiptDelivered},
		},
	}
	for _, tt := range tests {
		reports, err := c.ReadCallback(signed(t, secret, tt.body), []byte(tt.body))
		if err != nil || len(reports.Receipts) != 1 || len(reports.Inbound) != 0 {
			t.Errorf("%s: got %+v, %v", tt.body, reports, err)
			continue
		}
		got := reports.Receipts[0]
		if !got.At.Equal(tt.want.At) {
			t.Errorf("%s: at %v", tt.body, got.At)
		}
		got.At, tt.want.Ref = tt.want.At, "ref-1"
		if got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.body, got, tt.want)
		}
	}
}

func TestInbound(t *testing.T) {
	c := listening(t, webhook.Config{})
	body := `{"type":"message.inbound","data":{"from":"+16502530000","to":"+12125550101","text":"STOP"}}`
	reports, err := c.ReadCallback(signed(t, secret, body), []byte(body))
	if err != nil || len(reports.Inbound) != 1 || len(reports.Receipts) != 0 {
		t.Fatalf("got %+v, %v", reports, err)
	}
	in := reports.Inbound[0]
	if in.From.E164() != "+16502530000" || in.To != "+12125550101" || string(in.Text) != "STOP" {
		t.Errorf("got %s, %s, %s", in.From.E164(), in.To, string(in.Text))
	}
	body = strings.Replace(body, "+16502530000", "+4915112345678", 1)
	if reports, err := c.ReadCallback(signed(t, secret, body), []byte(body)); err != nil || len(reports.Inbound) != 0 {
		t.Errorf("a foreign phone: got %+v, %v", reports, err)
	}
}

func TestRefused(t *testing.T) {
	c := listening(t, webhook.Config{})
	const good = `{"type":"message.receipt","data":{"id":"ref-1","status":"delivered"}}`
	now := fmt.Sprint(t0.Unix())
	right := signature(t, secret, "evt_1", t0.Unix(), good)
	moved := func(d time.Duration) *http.Request {
		at := t0.Add(d).Unix()
		return posted(t, "evt_1", fmt.Sprint(at), signature(t, secret, "evt_1", at, good))
	}
	huge := strings.Repeat("v1,AAAA ", 1<<13)
	unsigned := right[3:]
	tests := []struct {
		name string
		r    *http.Request
		body string
		want error
	}{
		{"good", posted(t, "evt_1", now, right), good, nil},
		{"right one last", posted(t, "evt_1", now, "v2,x v1,AAAA v1a,zz  "+right), good, nil},
		{"five minutes old", moved(-5 * time.Minute), good, nil},
		{"five minutes ahead", moved(5 * time.Minute), good, nil},

		{"no headers", posted(t, "", "", ""), good, carrier.ErrForged},
		{"no id", posted(t, "", now, right), good, carrier.ErrForged},
		{"no timestamp", posted(t, "evt_1", "", right), good, carrier.ErrForged},
		{"no signature", posted(t, "evt_1", now, ""), good, carrier.ErrForged},
		{"another secret", signed(t, other, good), good, carrier.ErrForged},
		{"another id", posted(t, "evt_2", now, right), good, carrier.ErrForged},
		{"another time", posted(t, "evt_1", fmt.Sprint(t0.Unix()+1), right), good, carrier.ErrForged},
		{"another body", posted(t, "evt_1", now, right), strings.Replace(good, "delivered", "failed", 1), carrier.ErrForged},
		{"no version", posted(t, "evt_1", now, unsigned), good, carrier.ErrForged},
		{"another version", posted(t, "evt_1", now, "v2,"+unsigned), good, carrier.ErrForged},
		{"cut signature", posted(t, "evt_1", now, right[:len(right)-1]), good, carrier.ErrForged},
		{"many wrong signatures", posted(t, "evt_1", now, huge), good, carrier.ErrForged},
		{"no number", posted(t, "evt_1", "soon", right), good, carrier.ErrForged},
		{"huge number", posted(t, "evt_1", strings.Repeat("9", 400), right), good, carrier.ErrForged},
		{"empty body", posted(t, "evt_1", now, right), "", carrier.ErrForged},

		{"stale", moved(-5*time.Minute - time.Second), good, carrier.ErrStale},
		{"ancient", moved(-50 * 365 * 24 * time.Hour), good, carrier.ErrStale},
		{"future", moved(5*time.Minute + time.Second), good, carrier.ErrStale},
		{"before all time", posted(t, "1", "-9223372036854775808", signature(t, secret, "1", -1<<63, good)), good, carrier.ErrStale},
		{"after all time", posted(t, "1", "9223372036854775807", signature(t, secret, "1", 1<<63-1, good)), good, carrier.ErrStale},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reports, err := c.ReadCallback(tt.r, []byte(tt.body))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (err == nil) != (len(reports.Receipts) == 1) {
				t.Errorf("got %+v, %v, want %v", reports, err, tt.want)
			}
		})
	}
}

func TestMalformed(t *testing.T) {
	c := listening(t, webhook.Config{})
	receipt := func(s string) string { return `{"type":"message.receipt","data":` + s + `}` }
	for _, body := range []string{
		"", "null", "[]", "7", "type=message.receipt", "{}",
		`{"type":"message.send","data":{}}`,
		`{"type":"Message.Receipt","data":{"id":"ref-1","status":"delivered"}}`,
		`{"type":"message.receipt"}`,
		receipt("null"), receipt("[]"), receipt("{}"),
		receipt(`{"id":"ref-1"}`),
		receipt(`{"status":"delivered"}`),
		receipt(`{"id":7,"status":"delivered"}`),
		receipt(`{"id":"ref-1","status":"read"}`),
		receipt(`{"id":"ref-1","status":"delivered","time":"yesterday"}`),
		receipt(`{"id":"ref-1","status":"delivered","time":1772366400}`),
		receipt(`{"id":"` + strings.Repeat("x", 129) + `","status":"delivered"}`),
		receipt(`{"id":"ref-1","id":"ref-2","status":"delivered"}`),
		`{"type":"message.receipt","type":"message.receipt","data":{"id":"ref-1","status":"delivered"}}`,
		receipt(`{"id":"ref-1","status":"delivered"}`) + "{}",
		receipt("{\"id\":\"\xff\",\"status\":\"delivered\"}"),
		strings.Repeat("[", 64<<10),
		receipt(`{"id":"` + strings.Repeat("x", 60<<10)),
		`{"type":"message.inbound","data":{}}`,
		`{"type":"message.inbound","data":{"from":"6502530000","to":"1","text":"STOP"}}`,
		`{"type":"message.inbound","data":{"from":"+16502530000","to":1,"text":"STOP"}}`,
	} {
		reports, err := c.ReadCallback(signed(t, secret, body), []byte(body))
		if !errors.Is(err, carrier.ErrMalformed) || len(reports.Receipts)+len(reports.Inbound) != 0 {
			t.Errorf("%.80q: got %+v, %v", body, reports, err)
		}
		if err != nil && strings.Contains(err.Error(), "ref-1") {
			t.Errorf("the error quotes the body: %v", err)
		}
	}
}

// TestRotation: with two secrets either verifies, and receipts may have their
// own.
func TestRotation(t *testing.T) {
	const body = `{"type":"message.receipt","data":{"id":"ref-1","status":"delivered"}}`
	tests := []struct {
		cfg  webhook.Config
		want map[string]bool
	}{
		{webhook.Config{Secrets: []carrier.Secret{secret}}, map[string]bool{secret: true, next: false, other: false}},
		{webhook.Config{Secrets: []carrier.Secret{next, secret}}, map[string]bool{secret: true, next: true, other: false}},
		{
			webhook.Config{Secrets: []carrier.Secret{secret}, ReceiptSecrets: []carrier.Secret{next, other}},
			map[string]bool{secret: false, next: true, other: true},
		},
	}
	for i, tt := range tests {
		c := listening(t, tt.cfg)
		for key, ok := range tt.want {
			if _, err := c.ReadCallback(signed(t, key, body), []byte(body)); (err == nil) != ok {
				t.Errorf("case %d, %s: got %v", i, key, err)
			}
		}
	}
}

// FuzzReadCallback: nothing unsigned is believed, and what is signed makes sense
// or is refused.
func FuzzReadCallback(f *testing.F) {
	c := listening(f, webhook.Config{})
	f.Add(`{"type":"message.receipt","data":{"id":"ref-1","status":"failed","reason":"filtered","time":"2026-03-01T12:00:00Z"}}`, "evt_1", "1772366400", "v1,AAAA")
	f.Add(`{"type":"message.inbound","data":{"from":"+16502530000","to":"1","text":"STOP"}}`, "", "-1", "v1, v1 ,")
	f.Add("", "\n", "9223372036854775807", strings.Repeat(" ", 100))
	f.Fuzz(func(t *testing.T, body, id, at, signatures string) {
		forged := posted(t, id, at, signatures)
		if reports, err := c.ReadCallback(forged, []byte(body)); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %+v, %v", reports, err)
		}
		reports, err := c.ReadCallback(signed(t, secret, body), []byte(body))
		if err != nil && !errors.Is(err, carrier.ErrMalformed) {
			t.Fatal(err)
		}
		for _, r := range reports.Receipts {
			if r.Ref == "" || len(r.Ref) > 128 || r.Status == 0 || (r.Status == carrier.ReceiptFailed) != (r.Reason != "") {
				t.Errorf("got %+v", r)
			}
		}
		for _, in := range reports.Inbound {
			if !in.From.IsValid() {
				t.Error("no sender")
			}
		}
	})
}
