package telnyx_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/telnyx"
)

var now = time.Date(2019, 12, 9, 21, 33, 0, 0, time.UTC)

func receiver(tb testing.TB) *telnyx.Carrier {
	tb.Helper()
	cfg := config()
	cfg.Now = func() time.Time { return now }
	return newCarrier(tb, cfg)
}

func sign(stamp, body string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(stamp+"|"+body)))
}

func request(stamp, signature string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/v1/carriers/main/events", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Telnyx-Timestamp", stamp)
	r.Header.Set("Telnyx-Signature-Ed25519", signature)
	return r
}

func stamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// read signs and reads a body.
func read(tb testing.TB, body string) (carrier.Reports, error) {
	tb.Helper()
	return receiver(tb).ReadCallback(request(stamp(now), sign(stamp(now), body)), []byte(body))
}

func fixture(tb testing.TB, name string) string {
	tb.Helper()
	raw, err := os.ReadFile("testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}

func TestReadReceipts(t *testing.T) {
	const ref = "ac012cbf-5e09-46af-a69a-7c0e2d90993c"
	at := time.Date(2019, 12, 9, 21, 32, 14, 148e6, time.UTC)
	finalized := fixture(t, "finalized.json")
	body := func(status, errs string) string {
		s := strings.Replace(finalized, `"status": "delivered"`, `"status": "`+status+`"`, 1)
		return strings.Replace(s, `"errors": []`, `"errors": [`+errs+`]`, 1)
	}
	tests := []struct {
		name, body string
		status     carrier.ReceiptStatus
		reason     string
	}{
		{"delivered", finalized, carrier.ReceiptDelivered, ""},
		{"sent", strings.Replace(body("sent", ""), "message.finalized", "message.sent", 1), carrier.ReceiptAccepted, ""},
		{"unconfirmed", body("delivery_unconfirmed", ""), carrier.ReceiptAccepted, ""},
		{"landline", body("delivery_failed", `{"code":"40001","title":"Not routable"}`), carrier.ReceiptFailed, carrier.ReasonLandline},
		{"code as a number", body("delivery_failed", `{"code":40300}`), carrier.ReceiptFailed, carrier.ReasonOptedOut},
		{"second error is known", body("sending_failed", `{"code":"x"},{"code":"40318"}`), carrier.ReceiptFailed, carrier.ReasonThrottled},
		{"unlisted", body("sending_failed", `{"code":"49999"}`), carrier.ReceiptFailed, "telnyx_49999"},
		{"absurd codes", body("sending_failed", `{"code":-1},{"code":1e300},{"code":{}},{"code":"99999999999999999999"},{}`), carrier.ReceiptFailed, carrier.ReasonCarrierError},
		{"no code", body("delivery_failed", ""), carrier.ReceiptFailed, carrier.ReasonCarrierError},
		{"expired", body("expired", ""), carrier.ReceiptFailed, carrier.ReasonExpired},
		{"unheard of", body("teleported", ""), 0, ""},
		{"another event", strings.Replace(finalized, "message.finalized", "call.answered", 1), 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(t, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.status == 0 {
				if len(got.Receipts)+len(got.Inbound) != 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			want := carrier.DeliveryReceipt{Ref: ref, Status: tt.status, Reason: tt.reason, At: at}
			if len(got.Receipts) != 1 || got.Receipts[0] != want {
				t.Errorf("got %+v, want %+v", got.Receipts, want)
			}
		})
	}
	for _, occurred := range []string{"", "yesterday"} {
		got, err := read(t, strings.Replace(finalized, "2019-12-09T21:32:14.148+00:00", occurred, 1))
		if err != nil || len(got.Receipts) != 1 || !got.Receipts[0].At.IsZero() {
			t.Errorf("at %q: got %+v, %v", occurred, got, err)
		}
	}
}

func TestReadInbound(t *testing.T) {
	received := fixture(t, "received.json")
	got, err := read(t, received)
	if err != nil || len(got.Inbound) != 1 || len(got.Receipts) != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if in := got.Inbound[0]; in.From.E164() != "+16502530000" || in.To != "+13125550100" || string(in.Text) != "Stop" {
		t.Errorf("got %v to %s: %q", in.From, in.To, string(in.Text))
	}
	// Half an emoji is still a message.
	if got, err = read(t, strings.Replace(received, "Stop", `Stop \ud83d`, 1)); err != nil || len(got.Inbound) != 1 {
		t.Errorf("half an emoji: got %+v, %v", got, err)
	}
	for _, from := range []string{"+442079460000", "12345", ""} {
		got, err := read(t, strings.Replace(received, "+16502530000", from, 1))
		if err != nil || len(got.Inbound) != 0 {
			t.Errorf("from %q: got %+v, %v", from, got, err)
		}
	}
}

func TestReadCallbackRefuses(t *testing.T) {
	good := fixture(t, "finalized.json")
	stranger := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
	byStranger := base64.StdEncoding.EncodeToString(ed25519.Sign(stranger, []byte(stamp(now)+"|"+good)))
	huge := strings.Repeat(" ", 64<<10) + good
	const malformed = `{"data":{"event_type":"message.finalized","payload":`
	tests := []struct {
		name, stamp, signature, body string
		want                         error
	}{
		{"unsigned", stamp(now), "", good, carrier.ErrForged},
		{"no base64", stamp(now), "?", good, carrier.ErrForged},
		{"short", stamp(now), "AAAA", good, carrier.ErrForged},
		{"another key", stamp(now), byStranger, good, carrier.ErrForged},
		{"changed", stamp(now), sign(stamp(now), good), good + " ", carrier.ErrForged},
		{"time changed", stamp(now), sign(stamp(now.Add(-time.Hour)), good), good, carrier.ErrForged},
		{"no time", "", sign("", good), good, carrier.ErrMalformed},
		{"time of day", "noon", sign("noon", good), good, carrier.ErrMalformed},
		{"long time", strings.Repeat("1", 21), sign(strings.Repeat("1", 21), good), good, carrier.ErrForged},
		{"overflowing time", "99999999999999999999", sign("99999999999999999999", good), good, carrier.ErrMalformed},
		{"far past", "-9223372036854775808", sign("-9223372036854775808", good), good, carrier.ErrStale},
		{"old", stamp(now.Add(-301 * time.Second)), sign(stamp(now.Add(-301*time.Second)), good), good, carrier.ErrStale},
		{"ahead", stamp(now.Add(301 * time.Second)), sign(stamp(now.Add(301*time.Second)), good), good, carrier.ErrStale},
		{"old enough", stamp(now.Add(-300 * time.Second)), sign(stamp(now.Add(-300*time.Second)), good), good, nil},
		{"just ahead", stamp(now.Add(300 * time.Second)), sign(stamp(now.Add(300*time.Second)), good), good, nil},
		{"empty", stamp(now), sign(stamp(now), ""), "", carrier.ErrMalformed},
		{"huge", stamp(now), sign(stamp(now), huge), huge, carrier.ErrMalformed},
		{"no event", stamp(now), sign(stamp(now), "{}"), "{}", carrier.ErrMalformed},
		{"a list", stamp(now), sign(stamp(now), "[]"), "[]", carrier.ErrMalformed},
		{"cut off", stamp(now), sign(stamp(now), good[:200]), good[:200], carrier.ErrMalformed},
		{"no payload", stamp(now), sign(stamp(now), malformed+"{}}}"), malformed + "{}}}", carrier.ErrMalformed},
		{
			"duplicate member", stamp(now), sign(stamp(now), `{"data":{},"data":{}}`), `{"data":{},"data":{}}`,
			carrier.ErrMalformed,
		},
		{
			"hostile id", stamp(now), sign(stamp(now), malformed+`{"id":"../x","to":[{"status":"sent"}]}}}`),
			malformed + `{"id":"../x","to":[{"status":"sent"}]}}}`, carrier.ErrMalformed,
		},
		{
			"to two", stamp(now), sign(stamp(now), malformed+`{"id":"x","to":[{"status":"sent"},{"status":"sent"}]}}}`),
			malformed + `{"id":"x","to":[{"status":"sent"},{"status":"sent"}]}}}`, carrier.ErrMalformed,
		},
		{
			"inbound to nobody", stamp(now), sign(stamp(now), `{"data":{"event_type":"message.received"}}`),
			`{"data":{"event_type":"message.received"}}`, carrier.ErrMalformed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := receiver(t).ReadCallback(request(tt.stamp, tt.signature), []byte(tt.body))
			if !errors.Is(err, tt.want) || err != nil && len(got.Receipts)+len(got.Inbound) != 0 {
				t.Errorf("got %+v, %v, want %v", got, err, tt.want)
			}
		})
	}
	t.Run("two signatures", func(t *testing.T) {
		r := request(stamp(now), sign(stamp(now), good))
		r.Header.Add("Telnyx-Signature-Ed25519", sign(stamp(now), good))
		if _, err := receiver(t).ReadCallback(r, []byte(good)); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no callbacks configured", func(t *testing.T) {
		cfg := config()
		cfg.PublicKey, cfg.CallbackURL = "", ""
		_, err := newCarrier(t, cfg).ReadCallback(request(stamp(now), sign(stamp(now), good)), []byte(good))
		if !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("content type is no matter", func(t *testing.T) {
		r := request(stamp(now), sign(stamp(now), good))
		r.Header.Set("Content-Type", "text/plain")
		if got, err := receiver(t).ReadCallback(r, []byte(good)); err != nil || len(got.Receipts) != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func FuzzReadCallback(f *testing.F) {
	c := receiver(f)
	f.Add(stamp(now), "", fixture(f, "finalized.json"), true)
	f.Add(stamp(now), "", fixture(f, "received.json"), true)
	f.Add("1e3", "AAAA", "{}", true)
	f.Add(stamp(now), strings.Repeat("A", 86)+"==", "[", false)
	f.Fuzz(func(t *testing.T, at, signature, body string, signed bool) {
		if signed {
			signature = sign(at, body)
		}
		got, err := c.ReadCallback(request(at, signature), []byte(body))
		if err != nil && !errors.Is(err, carrier.ErrForged) && !errors.Is(err, carrier.ErrMalformed) && !errors.Is(err, carrier.ErrStale) {
			t.Errorf("got %v", err)
		}
		if !signed && err == nil {
			t.Error("a guessed signature passed")
		}
		for _, receipt := range got.Receipts {
			if receipt.Ref == "" || len(receipt.Ref) > 128 || (receipt.Reason != "") != (receipt.Status == carrier.ReceiptFailed) {
				t.Errorf("got %+v", receipt)
			}
			if e := carrier.Classify(carrier.NewError(receipt.Reason, nil)); receipt.Reason != "" && e.Reason != receipt.Reason {
				t.Errorf("reason %q", receipt.Reason)
			}
		}
	})
}
