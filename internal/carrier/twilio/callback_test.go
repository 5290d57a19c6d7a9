package twilio_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"codeword/internal/carrier"
	"codeword/internal/carrier/twilio"
)

const form = "application/x-www-form-urlencoded"

// request is a callback as it reaches us: behind a proxy, so with another host.
func request(query, contentType, signature, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8080/v1/carriers/main/events"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Twilio-Signature", signature)
	return r
}

// params is a signed status callback's, with changes.
func params(changes ...string) url.Values {
	v := url.Values{
		"AccountSid": {account}, "ApiVersion": {"2010-04-01"}, "From": {"+15557122661"}, "To": {"+16502530000"},
		"MessageSid": {sid}, "SmsSid": {sid}, "MessageStatus": {"delivered"}, "SmsStatus": {"delivered"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
	return v
}

func TestReadCallback(t *testing.T) {
	status := func(s carrier.ReceiptStatus, reason string) carrier.Reports {
		return carrier.Reports{Receipts: []carrier.DeliveryReceipt{{Ref: sid, Status: s, Reason: reason}}}
	}
	inbound := []string{
		"MessageStatus", "-", "SmsStatus", "received", "From", "+16502530000", "To", "+15557122661", "Body", "stop",
	}
	tests := []struct {
		name    string
		changes []string
		want    carrier.Reports
	}{
		{"queued", []string{"MessageStatus", "queued"}, status(carrier.ReceiptAccepted, "")},
		{"sent", []string{"MessageStatus", "sent"}, status(carrier.ReceiptAccepted, "")},
		{"delivered", nil, status(carrier.ReceiptDelivered, "")},
		{"delivered, with date", []string{"RawDlrDoneDate", "2603011200"}, status(carrier.ReceiptDelivered, "")},
		{"read", []string{"MessageStatus", "read"}, carrier.Reports{}},
		{"unheard of", []string{"MessageStatus", "teleported"}, carrier.Reports{}},
		{
			"landline",
			[]string{"MessageStatus", "undelivered", "ErrorCode", "30006"},
			status(carrier.ReceiptFailed, carrier.ReasonLandline),
		},
		{
			"opted out",
			[]string{"MessageStatus", "failed", "ErrorCode", "21610"},
			status(carrier.ReceiptFailed, carrier.ReasonOptedOut),
		},
		{
			"unregistered",
			[]string{"MessageStatus", "undelivered", "ErrorCode", "30034"},
			status(carrier.ReceiptFailed, carrier.ReasonUnregistered),
		},
		{
			"unlisted code",
			[]string{"MessageStatus", "failed", "ErrorCode", "30999"},
			status(carrier.ReceiptFailed, "twilio_30999"),
		},
		{
			"absurd code",
			[]string{"MessageStatus", "failed", "ErrorCode", "-7"},
			status(carrier.ReceiptFailed, carrier.ReasonCarrierError),
		},
		{
			"no code",
			[]string{"MessageStatus", "failed"},
			status(carrier.ReceiptFailed, carrier.ReasonCarrierError),
		},
		{
			"canceled",
			[]string{"MessageStatus", "canceled"},
			status(carrier.ReceiptFailed, carrier.ReasonCanceled),
		},
		{"inbound from abroad", append(inbound[:4:4], "From", "+442079460000", "Body", "STOP"), carrier.Reports{}},
		{"inbound from a short code", append(inbound[:4:4], "From", "12345", "Body", "STOP"), carrier.Reports{}},
	}
	c := newCarrier(t, config())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := params(tt.changes...)
			body := p.Encode()
			got, err := c.ReadCallback(request("", form, twilio.Sign(token, callback, p), body), []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Inbound) != 0 || len(got.Receipts) != len(tt.want.Receipts) ||
				len(got.Receipts) == 1 && got.Receipts[0] != tt.want.Receipts[0] {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	for keyword, want := range map[string]string{"": "stop", "STOP": "STOP", "START": "START", "HELP": "HELP", "odd": "stop"} {
		p := params(append(inbound[:len(inbound):len(inbound)], "OptOutType", keyword)...)
		body := p.Encode()
		got, err := c.ReadCallback(request("", form, twilio.Sign(token, callback, p), body), []byte(body))
		if err != nil || len(got.Receipts) != 0 || len(got.Inbound) != 1 {
			t.Fatalf("%q: got %+v, %v", keyword, got, err)
		}
		in := got.Inbound[0]
		if in.From.E164() != "+16502530000" || in.To != "+15557122661" || string(in.Text) != want {
			t.Errorf("%q: got %v to %s: %q", keyword, in.From, in.To, string(in.Text))
		}
	}
}

func TestReadCallbackRefuses(t *testing.T) {
	c := newCarrier(t, config())
	signed := func(p url.Values) string { return twilio.Sign(token, callback, p) }
	twice := params("MessageStatus", "delivered")
	twice.Add("MessageStatus", "failed")
	twoAccounts := params()
	twoAccounts.Add("AccountSid", "AC"+strings.Repeat("b", 32))
	huge := params("Body", strings.Repeat("a", 64<<10))
	tests := []struct {
		name        string
		contentType string
		signature   string
		params      url.Values
		want        error
	}{
		{"unsigned", form, "", params(), carrier.ErrForged},
		{"wrong token", form, twilio.Sign("guess", callback, params()), params(), carrier.ErrForged},
		{"no token", form, twilio.Sign("", callback, params()), params(), carrier.ErrForged},
		{"signed for another route", form, twilio.Sign(token, callback+"x", params()), params(), carrier.ErrForged},
		{"changed", form, signed(params()), params("MessageStatus", "failed"), carrier.ErrForged},
		{"longer signature", form, signed(params()) + "=", params(), carrier.ErrForged},
		{"other account", form, signed(params("AccountSid", "AC"+strings.Repeat("b", 32))), params("AccountSid", "AC"+strings.Repeat("b", 32)), carrier.ErrForged},
		{"no account", form, signed(params("AccountSid", "-")), params("AccountSid", "-"), carrier.ErrForged},
		{"two accounts", form, signed(twoAccounts), twoAccounts, carrier.ErrForged},
		{"empty", form, signed(url.Values{}), url.Values{}, carrier.ErrForged},
		{"other content type", "text/plain", signed(params()), params(), carrier.ErrForged},
		{"no content type", "", signed(params()), params(), carrier.ErrForged},
		{"two statuses", form, signed(twice), twice, carrier.ErrMalformed},
		{"no status", form, signed(params("MessageStatus", "-")), params("MessageStatus", "-"), carrier.ErrMalformed},
		{"no message", form, signed(params("MessageSid", "-")), params("MessageSid", "-"), carrier.ErrMalformed},
		{"hostile sid", form, signed(params("MessageSid", "../../x")), params("MessageSid", "../../x"), carrier.ErrMalformed},
		{"huge sid", form, signed(params("MessageSid", strings.Repeat("S", 65))), params("MessageSid", strings.Repeat("S", 65)), carrier.ErrMalformed},
		{"huge", form, signed(huge), huge, carrier.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := tt.params.Encode()
			got, err := c.ReadCallback(request("", tt.contentType, tt.signature, body), []byte(body))
			if !errors.Is(err, tt.want) || len(got.Receipts)+len(got.Inbound) != 0 {
				t.Errorf("got %+v, %v, want %v", got, err, tt.want)
			}
		})
	}
	t.Run("not a form", func(t *testing.T) {
		body := "MessageSid=%zz&AccountSid=" + account
		if _, err := c.ReadCallback(request("", form, twilio.Sign(token, callback, nil), body), []byte(body)); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("two signatures", func(t *testing.T) {
		body := params().Encode()
		r := request("", form, "x", body)
		r.Header.Add("X-Twilio-Signature", signed(params()))
		if _, err := c.ReadCallback(r, []byte(body)); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no callbacks configured", func(t *testing.T) {
		cfg := config()
		cfg.CallbackURL = ""
		body := params().Encode()
		r := request("", form, twilio.Sign(token, "", params()), body)
		if _, err := newCarrier(t, cfg).ReadCallback(r, []byte(body)); !errors.Is(err, carrier.ErrForged) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReadCallbackJSON(t *testing.T) {
	c := newCarrier(t, config())
	body := `{"AccountSid":"` + account + `","MessageSid":"` + sid + `","MessageStatus":"undelivered","ErrorCode":30005,"Extra":null}`
	hash := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		return hex.EncodeToString(sum[:])
	}
	query := "?bodySHA256=" + hash(body)
	good := twilio.Sign(token, callback+query, nil)
	got, err := c.ReadCallback(request(query, "application/json; charset=utf-8", good, body), []byte(body))
	if err != nil || len(got.Receipts) != 1 || got.Receipts[0].Reason != carrier.ReasonInvalidNumber {
		t.Fatalf("got %+v, %v", got, err)
	}
	other := strings.Replace(body, "undelivered", "delivered", 1)
	broken := body[:len(body)-1]
	tests := []struct {
		name, query, signature, body string
		want                         error
	}{
		{"other body", query, good, other, carrier.ErrForged},
		{"other body and hash", "?bodySHA256=" + hash(other), good, other, carrier.ErrForged},
		{
			// A signature of the bare URL must not vouch for a body of anyone's choice.
			"bare URL's signature", "?bodySHA256=" + hash(other), twilio.Sign(token, callback, nil), other, carrier.ErrForged,
		},
		{"no hash", "", twilio.Sign(token, callback, nil), body, carrier.ErrForged},
		{"two hashes", query + "&bodySHA256=" + hash(other), twilio.Sign(token, callback+query+"&bodySHA256="+hash(other), nil), other, carrier.ErrForged},
		{"broken", "?bodySHA256=" + hash(broken), twilio.Sign(token, callback+"?bodySHA256="+hash(broken), nil), broken, carrier.ErrMalformed},
		{"empty", "?bodySHA256=" + hash(""), twilio.Sign(token, callback+"?bodySHA256="+hash(""), nil), "", carrier.ErrMalformed},
		{"a list", "?bodySHA256=" + hash("[]"), twilio.Sign(token, callback+"?bodySHA256="+hash("[]"), nil), "[]", carrier.ErrMalformed},
		{"no account", "?bodySHA256=" + hash("{}"), twilio.Sign(token, callback+"?bodySHA256="+hash("{}"), nil), "{}", carrier.ErrForged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.ReadCallback(request(tt.query, "application/json", tt.signature, tt.body), []byte(tt.body))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzReadCallback(f *testing.F) {
	c := newCarrier(f, config())
	f.Add("", form, "", params().Encode(), true)
	f.Add("", form, "", "AccountSid="+account+"&MessageSid="+sid+"&MessageStatus=failed&ErrorCode=99999999999999999999", true)
	f.Add("bodySHA256=00", "application/json", "", `{"AccountSid":"`+account+`"}`, true)
	f.Add("", form, "AAAA", "a=%zz;b", false)
	f.Fuzz(func(t *testing.T, query, contentType, signature, body string, sign bool) {
		r := request("", contentType, signature, body)
		r.URL.RawQuery = query
		if values, err := url.ParseQuery(body); sign && err == nil {
			signature = twilio.Sign(token, callback, values)
			r.Header.Set("X-Twilio-Signature", signature)
		}
		got, err := c.ReadCallback(r, []byte(body))
		if err != nil && !errors.Is(err, carrier.ErrForged) && !errors.Is(err, carrier.ErrMalformed) {
			t.Errorf("got %v", err)
		}
		if !sign && err == nil {
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

// TestForgedFormsAreCheap: a stranger's form costs little before it is refused.
func TestForgedFormsAreCheap(t *testing.T) {
	c := newCarrier(t, config())
	for name, one := range map[string]func(i int) string{
		"names":       func(i int) string { return fmt.Sprintf("%xé", i) },
		"values":      func(i int) string { return fmt.Sprintf("=%xé", i) },
		"long values": func(i int) string { return "=" + strings.Repeat("é", 100) + strconv.Itoa(i) },
	} {
		t.Run(name, func(t *testing.T) {
			var parts []string
			for i, n := 0, 0; n < 60_000; i++ {
				parts = append(parts, one(i*7919%65536))
				n += len(parts[i]) + 1
			}
			body := strings.Join(parts, "&")
			r := request("?q=1", form, "AAAA", body)
			allocs := testing.AllocsPerRun(1, func() {
				if _, err := c.ReadCallback(r, []byte(body)); !errors.Is(err, carrier.ErrForged) {
					t.Errorf("got %v", err)
				}
			})
			if allocs > 1000 {
				t.Errorf("%.0f allocations for %d bytes", allocs, len(body))
			}
		})
	}
}

// TestSignatureOrder: names are sorted by UTF-16 code units, in which an emoji
// comes before U+FF01 although its number is higher.
func TestSignatureOrder(t *testing.T) {
	names := []string{"", "A", "AccountSid", "a", "é", "\u4e2d", "😀", "😀a", "😁", "\ue000", "！"}
	want := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(want, callback+strings.Join(names, ""))
	p := url.Values{}
	for _, name := range names {
		p.Set(name, "")
	}
	if got := twilio.Sign(token, callback, p); got != base64.StdEncoding.EncodeToString(want.Sum(nil)) {
		t.Errorf("names are not in the order of %q", names)
	}
}
