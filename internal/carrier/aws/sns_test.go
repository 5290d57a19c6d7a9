package aws_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/aws"
)

// What the service finds in a carrier by its type.
var (
	_ carrier.Checker  = (*aws.Carrier)(nil)
	_ carrier.Callback = (*aws.Carrier)(nil)
)

func TestReceipts(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	event := func(kind string) string {
		return `{"eventType":"` + kind + `","eventTimestamp":1729099299998,"isFinal":false,"messageId":"m-1"}`
	}
	at := time.UnixMilli(1729099299998)
	tests := []struct {
		name, text string
		want       carrier.DeliveryReceipt
	}{
		{
			"documented, delivered", fixture(t, "delivered.json"),
			carrier.DeliveryReceipt{Ref: "9539975a-e71f-45f3-b496-8d98dc098a77", Status: carrier.ReceiptDelivered, At: at},
		},
		{
			"documented, successful and final", fixture(t, "successful.json"),
			carrier.DeliveryReceipt{Ref: "862a8790-60c0-4430-9b2b-658bdexample", Status: carrier.ReceiptDelivered, At: time.UnixMilli(1686975103470)},
		},
		{"not final", event("TEXT_SUCCESSFUL"), carrier.DeliveryReceipt{Ref: "m-1", Status: carrier.ReceiptAccepted, At: at}},
		{"sent", event("TEXT_SENT"), carrier.DeliveryReceipt{Ref: "m-1", Status: carrier.ReceiptAccepted, At: at}},
		{"queued", event("TEXT_QUEUED"), carrier.DeliveryReceipt{Ref: "m-1", Status: carrier.ReceiptAccepted, At: at}},
		{"pending", event("TEXT_PENDING"), carrier.DeliveryReceipt{Ref: "m-1", Status: carrier.ReceiptAccepted, At: at}},
		{"invalid", event("TEXT_INVALID"), failed(carrier.ReasonInvalidNumber, at)},
		{"invalid message", event("TEXT_INVALID_MESSAGE"), failed(carrier.ReasonRejected, at)},
		{"unreachable", event("TEXT_UNREACHABLE"), failed(carrier.ReasonUnreachable, at)},
		{"carrier unreachable", event("TEXT_CARRIER_UNREACHABLE"), failed(carrier.ReasonUnreachable, at)},
		{"blocked", event("TEXT_BLOCKED"), failed(carrier.ReasonFiltered, at)},
		{"carrier blocked", event("TEXT_CARRIER_BLOCKED"), failed(carrier.ReasonFiltered, at)},
		{"spam", event("TEXT_SPAM"), failed(carrier.ReasonFiltered, at)},
		{"protect", event("TEXT_PROTECT_BLOCKED"), failed(carrier.ReasonMisconfigured, at)},
		{"too late", event("TEXT_TTL_EXPIRED"), failed(carrier.ReasonExpired, at)},
		{"unknown", event("TEXT_UNKNOWN"), failed(carrier.ReasonCarrierError, at)},
		{"no time", `{"eventType":"TEXT_INVALID","messageId":"m-1"}`, failed(carrier.ReasonInvalidNumber, time.Time{})},
		{
			"absurd time", `{"eventType":"TEXT_INVALID","messageId":"m-1","eventTimestamp":9000000000000000000}`,
			failed(carrier.ReasonInvalidNumber, time.Time{}),
		},
	}
	for _, tt := range tests {
		for _, version := range []string{"1", "2"} {
			t.Run(tt.name+" v"+version, func(t *testing.T) {
				reports, err := read(t, c, notification(tt.text).with("SignatureVersion", version).sign(t, s.key).body(t))
				if err != nil {
					t.Fatal(err)
				}
				if len(reports.Receipts) != 1 || len(reports.Inbound) != 0 {
					t.Fatalf("got %+v", reports)
				}
				got := reports.Receipts[0]
				if !got.At.Equal(tt.want.At) {
					t.Errorf("at %v, want %v", got.At, tt.want.At)
				}
				got.At = tt.want.At
				if got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
			})
		}
	}
	if got := s.requests(); len(got) != 1 {
		t.Errorf("the certificate was fetched more than once: %q", got)
	}
}

func failed(reason string, at time.Time) carrier.DeliveryReceipt {
	return carrier.DeliveryReceipt{Ref: "m-1", Status: carrier.ReceiptFailed, Reason: reason, At: at}
}

func TestInbound(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	reports, err := read(t, c, notification(fixture(t, "two-way.json")).sign(t, s.key).body(t))
	if err != nil || len(reports.Inbound) != 1 || len(reports.Receipts) != 0 {
		t.Fatalf("got %+v, %v", reports, err)
	}
	in := reports.Inbound[0]
	if in.From.E164() != "+14255550182" || in.To != "+12125550101" || string(in.Text) != "STOP" {
		t.Errorf("got %s, %s, %s", in.From.E164(), in.To, string(in.Text))
	}

	// Half an emoji is still a message.
	text := `{"originationNumber":"+14255550182","destinationNumber":"+12125550101","messageBody":"STOP \ud83d","inboundMessageId":"1"}`
	if reports, err = read(t, c, notification(text).sign(t, s.key).body(t)); err != nil || len(reports.Inbound) != 1 {
		t.Errorf("half an emoji: got %+v, %v", reports, err)
	}
	text = `{"originationNumber":"+4915112345678","destinationNumber":"+12125550101","messageBody":"STOP","inboundMessageId":"1"}`
	if reports, err = read(t, c, notification(text).sign(t, s.key).body(t)); err != nil || len(reports.Inbound) != 0 {
		t.Errorf("a foreign phone: got %+v, %v", reports, err)
	}
}

// TestRefused: who is not SNS, or not our topic, is not believed.
func TestRefused(t *testing.T) {
	s := newSNS(t)
	evil := newKey(t)
	s.files["/old.pem"] = encode(certificate(t, s.key, t0.Add(-48*time.Hour)))
	s.files["/next.pem"] = encode(certificate(t, s.key, t0.Add(48*time.Hour)))
	s.files["/page.pem"] = "<html>"
	s.files["/broken.pem"] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	delivered := fixture(t, "delivered.json")
	signed := func(change func(post)) []byte {
		p := notification(delivered)
		if change != nil {
			change(p)
		}
		return p.sign(t, s.key).body(t)
	}
	certAt := func(url string) []byte { return signed(func(p post) { p["SigningCertURL"] = url }) }
	at := func(d time.Duration) []byte {
		return signed(func(p post) { p["Timestamp"] = t0.Add(d).Format("2006-01-02T15:04:05.000Z") })
	}
	changed := func(name, value string) []byte {
		return notification(delivered).sign(t, s.key).with(name, value).body(t)
	}
	tests := []struct {
		name string
		body []byte
		want error
	}{
		{"another key", notification(delivered).sign(t, evil).body(t), carrier.ErrForged},
		{"changed message", changed("Message", `{"eventType":"TEXT_INVALID","messageId":"m-1"}`), carrier.ErrForged},
		{"changed time", changed("Timestamp", "2026-03-01T12:00:00.000Z"), carrier.ErrForged},
		{"added subject", changed("Subject", "x"), carrier.ErrForged},
		{"empty subject", changed("Subject", ""), carrier.ErrForged},
		{"version 1 with a hash of version 2", changed("SignatureVersion", "1"), carrier.ErrForged},
		{"version 3", changed("SignatureVersion", "3"), carrier.ErrForged},
		{"no version", changed("SignatureVersion", ""), carrier.ErrForged},
		{"no signature", changed("Signature", ""), carrier.ErrForged},
		{"bad base64", changed("Signature", "!!!"), carrier.ErrForged},
		{"another type", changed("Type", "SubscriptionConfirmation"), carrier.ErrForged},
		{"unknown type", changed("Type", "Whatever"), carrier.ErrForged},
		{"another topic", signed(func(p post) { p["TopicArn"] += "-2" }), carrier.ErrForged},
		{"no topic", signed(func(p post) { p["TopicArn"] = "" }), carrier.ErrForged},
		{"line end in the id", signed(func(p post) { p["MessageId"] = "1\nTimestamp\nx" }), carrier.ErrForged},

		{"certificate over http", certAt("http" + strings.TrimPrefix(certURL, "https")), carrier.ErrForged},
		{"certificate host with a tail", certAt("https://sns.us-east-1.amazonaws.com.evil.com/a.pem"), carrier.ErrForged},
		{"certificate host with a head", certAt("https://evil-sns.us-east-1.amazonaws.com/a.pem"), carrier.ErrForged},
		{"certificate host as user", certAt("https://" + host + "@evil.com/a.pem"), carrier.ErrForged},
		{"certificate in a bucket", certAt("https://sns.s3-us-west-2.amazonaws.com/a.pem"), carrier.ErrForged},
		{"certificate of another region", certAt("https://sns.us-west-2.amazonaws.com/a.pem"), carrier.ErrForged},
		{"certificate port", certAt("https://" + host + ":444/a.pem"), carrier.ErrForged},
		{"certificate from an API call", certAt("https://" + host + "/?Action=GetEndpointAttributes&x=.pem"), carrier.ErrForged},
		{"certificate with a query", certAt(certURL + "?"), carrier.ErrForged},
		{"certificate path", certAt("https://" + host + "/a/../b.pem"), carrier.ErrForged},
		{"certificate name", certAt("https://" + host + "/a.pem.txt"), carrier.ErrForged},
		{"huge certificate URL", certAt("https://" + host + "/" + strings.Repeat("a", 1<<16) + ".pem"), carrier.ErrForged},
		{"no certificate URL", certAt(""), carrier.ErrForged},
		{"expired certificate", certAt("https://" + host + "/old.pem"), carrier.ErrForged},
		{"certificate not valid yet", certAt("https://" + host + "/next.pem"), carrier.ErrForged},
		{"no certificate there", certAt("https://" + host + "/page.pem"), carrier.ErrForged},
		{"broken certificate", certAt("https://" + host + "/broken.pem"), carrier.ErrForged},

		{"as old as a last try", at(-time.Hour), nil},
		{"stale", at(-time.Hour - 6*time.Minute), carrier.ErrStale},
		{"ancient", at(-365 * 24 * time.Hour), carrier.ErrStale},
		{"a little ahead", at(4 * time.Minute), nil},
		{"future", at(6 * time.Minute), carrier.ErrStale},
		{"no time", signed(func(p post) { p["Timestamp"] = "" }), carrier.ErrMalformed},
		{"strange time", signed(func(p post) { p["Timestamp"] = "yesterday" }), carrier.ErrMalformed},

		{"empty", nil, carrier.ErrForged},
		{"not JSON", []byte("Type=Notification"), carrier.ErrForged},
		{"array", []byte("[]"), carrier.ErrForged},
		{"null", []byte("null"), carrier.ErrForged},
		{"huge", []byte(`{"Type":"` + strings.Repeat("x", 64<<10)), carrier.ErrForged},
		{"deep", []byte(strings.Repeat("[", 64<<10)), carrier.ErrForged},
		{"key twice", append([]byte(`{"Type":"Notification",`), signed(nil)[1:]...), carrier.ErrForged},
		{"invalid UTF-8", append([]byte("{\"x\":\"\xff\","), signed(nil)[1:]...), carrier.ErrForged},
		{"bytes after the document", append(signed(nil), '{'), carrier.ErrForged},

		{"no JSON inside", signed(func(p post) { p["Message"] = "Hello" }), carrier.ErrMalformed},
		{"nothing inside", signed(func(p post) { p["Message"] = "{}" }), carrier.ErrMalformed},
		{"wrong types inside", signed(func(p post) { p["Message"] = `{"eventType":7}` }), carrier.ErrMalformed},
		{"key twice inside", signed(func(p post) { p["Message"] = `{"eventType":"TEXT_SENT","eventType":"TEXT_SENT"}` }), carrier.ErrMalformed},
		{"event without id", signed(func(p post) { p["Message"] = `{"eventType":"TEXT_SENT"}` }), carrier.ErrMalformed},
		{
			"event with a huge id",
			signed(func(p post) {
				p["Message"] = `{"eventType":"TEXT_SENT","messageId":"` + strings.Repeat("x", 129) + `"}`
			}),
			carrier.ErrMalformed,
		},
		{
			"no sender",
			signed(func(p post) { p["Message"] = `{"inboundMessageId":"1","originationNumber":"STOP"}` }),
			carrier.ErrMalformed,
		},
		{"another event", signed(func(p post) { p["Message"] = `{"eventType":"VOICE_ANSWERED"}` }), nil},
		{"the end of the subscription", subscription().with("Type", "UnsubscribeConfirmation").sign(t, s.key).body(t), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.requests())
			reports, err := read(t, s.carrier(t), tt.body)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err != nil && len(reports.Receipts)+len(reports.Inbound) != 0 {
				t.Errorf("reports along with the error: %+v", reports)
			}
			if made := s.requests()[before:]; len(made) > 1 {
				t.Errorf("made %d requests: %q", len(made), made)
			}
		})
	}
}

// TestContentTypeIsNotLookedAt: SNS sends JSON as text/plain unless told
// otherwise, and what counts is the signature.
func TestContentTypeIsNotLookedAt(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	for _, kind := range []string{"", "application/json", "text/plain; charset=UTF-8", "image/png"} {
		body := notification(fixture(t, "delivered.json")).with("Subject", "About a message").sign(t, s.key).body(t)
		reports, err := c.ReadCallback(request(t, kind), body)
		if err != nil || len(reports.Receipts) != 1 {
			t.Errorf("%q: got %+v, %v", kind, reports, err)
		}
	}
	raw := request(t, "text/plain")
	raw.Header.Set("x-amz-sns-rawdelivery", "true")
	if _, err := c.ReadCallback(raw, []byte(fixture(t, "delivered.json"))); !errors.Is(err, carrier.ErrForged) {
		t.Errorf("raw delivery: got %v", err)
	}
}

func TestNoTopicConfigured(t *testing.T) {
	s := newSNS(t)
	c, err := aws.New(aws.Config{Name: "aws", Region: "us-east-1", AccessKeyID: "AKID", SecretAccessKey: "secret", SNS: s.client, Now: s.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{topicARN, ""} {
		body := notification(fixture(t, "delivered.json")).with("TopicArn", topic).sign(t, s.key).body(t)
		if _, err := read(t, c, body); !errors.Is(err, carrier.ErrForged) || len(s.requests()) != 0 {
			t.Errorf("got %v, %d requests", err, len(s.requests()))
		}
	}
}

func TestSubscription(t *testing.T) {
	tests := []struct {
		name, url string
		want      error
		confirmed bool
	}{
		{"confirmed", confirmAt, nil, true},
		{"another host", "https://sns.us-east-1.amazonaws.com.evil.com/?Action=ConfirmSubscription&TopicArn=" + topicARN, carrier.ErrMalformed, false},
		{"another action", strings.Replace(confirmAt, "ConfirmSubscription", "Unsubscribe", 1), carrier.ErrMalformed, false},
		{"two actions", confirmAt + "&Action=Unsubscribe", carrier.ErrMalformed, false},
		{"another topic", strings.Replace(confirmAt, "sms-events", "other", 1), carrier.ErrMalformed, false},
		{"over http", "http" + strings.TrimPrefix(confirmAt, "https"), carrier.ErrMalformed, false},
		{"none", "", carrier.ErrMalformed, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSNS(t)
			reports, err := read(t, s.carrier(t), subscription().with("SubscribeURL", tt.url).sign(t, s.key).body(t))
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || len(reports.Receipts) != 0 {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if confirmed := len(s.requests()) == 2; confirmed != tt.confirmed {
				t.Errorf("requests %q", s.requests())
			}
		})
	}
	// What is not signed by SNS is not followed at all.
	s := newSNS(t)
	if _, err := read(t, s.carrier(t), subscription().sign(t, newKey(t)).body(t)); !errors.Is(err, carrier.ErrForged) || len(s.requests()) != 1 {
		t.Errorf("forged: got %v, requests %q", err, s.requests())
	}
}

// TestNotJustNow: when SNS cannot be reached, the message is neither believed
// nor called forged, so that it is answered with a 5xx and comes again.
func TestNotJustNow(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	file := strings.TrimPrefix(certURL, "https://"+host)
	pem := s.files[file]
	s.files["/elsewhere.pem"] = pem
	body := notification(fixture(t, "delivered.json")).sign(t, s.key).body(t)
	for _, answer := range []string{"", "https://" + host + "/elsewhere.pem", strings.Repeat("x", 64<<10+1)} {
		if s.files[file] = answer; answer == "" {
			delete(s.files, file)
		}
		_, err := read(t, c, body)
		if err == nil || errors.Is(err, carrier.ErrForged) || errors.Is(err, carrier.ErrStale) || errors.Is(err, carrier.ErrMalformed) {
			t.Errorf("%.20q: got %v", answer, err)
		}
	}
	s.files[file] = pem
	if _, err := read(t, c, body); err != nil {
		t.Errorf("once SNS is back: %v", err)
	}
	if got := s.requests(); len(got) != 4 {
		t.Errorf("requests %q: a redirect was followed", got)
	}
}

// TestCertificateEnds: a certificate that was fetched serves until it expires.
func TestCertificateEnds(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	post := func() error {
		_, err := read(t, c, notification(fixture(t, "delivered.json")).
			with("Timestamp", s.now().Format(time.RFC3339)).sign(t, s.key).body(t))
		return err
	}
	if err := post(); err != nil {
		t.Fatal(err)
	}
	s.clock.Store(t0.Add(11 * time.Hour).UnixNano())
	if err := post(); err != nil || len(s.requests()) != 1 {
		t.Errorf("before its end: %v, %d requests", err, len(s.requests()))
	}
	s.clock.Store(t0.Add(13 * time.Hour).UnixNano())
	if err := post(); err == nil {
		t.Error("believed a certificate that has expired")
	}
}

// TestUnknownCertificatesAreRare: naming certificates that do not exist makes us
// ask for a few of them, and does not disturb those that we have.
func TestUnknownCertificatesAreRare(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	good := notification(fixture(t, "delivered.json")).sign(t, s.key).body(t)
	if _, err := read(t, c, good); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		body := notification("x").with("SigningCertURL", "https://"+host+"/"+strings.Repeat("a", i+1)+".pem").sign(t, s.key).body(t)
		wg.Go(func() {
			if _, err := read(t, c, body); err == nil {
				t.Error("believed")
			}
			if _, err := read(t, c, good); err != nil {
				t.Errorf("a good one, meanwhile: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(s.requests()); n > 6 {
		t.Errorf("made %d requests", n)
	}
}

// TestFewWait: while SNS does not answer, most of those who name certificates
// that do not exist are sent away at once.
func TestFewWait(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	s.mu.Lock() // from here on it does not answer
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	away := make(chan error, 100)
	for i := range cap(away) {
		body := notification("x").with("SigningCertURL", "https://"+host+"/"+strings.Repeat("a", i+1)+".pem").sign(t, s.key).body(t)
		all.Go(func() {
			_, err := c.ReadCallback(request(t, "").WithContext(ctx), body)
			away <- err
		})
	}
	for range cap(away) - 40 {
		if err := <-away; err == nil || ctx.Err() != nil {
			t.Errorf("got %v", err)
		}
	}
	cancel()
	s.mu.Unlock()
	all.Wait()
}

// TestManyAtOnce: messages that arrive together share one fetch.
func TestManyAtOnce(t *testing.T) {
	s := newSNS(t)
	c := s.carrier(t)
	body := notification(fixture(t, "delivered.json")).sign(t, s.key).body(t)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := read(t, c, body); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// FuzzReadCallback: nothing that SNS did not sign is believed.
func FuzzReadCallback(f *testing.F) {
	s := newSNS(f)
	c := s.carrier(f)
	if _, err := read(f, c, notification(fixture(f, "delivered.json")).sign(f, s.key).body(f)); err != nil {
		f.Fatal(err)
	}
	evil := newKey(f)
	f.Add(notification(fixture(f, "delivered.json")).sign(f, evil).body(f))
	f.Add(subscription().sign(f, evil).body(f))
	f.Add([]byte(`{"Type":"Notification","TopicArn":"` + topicARN + `","SignatureVersion":"1","Signature":"AAAA","SigningCertURL":"` + certURL + `"}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if reports, err := read(t, c, body); err == nil {
			t.Errorf("believed: %+v", reports)
		}
	})
}

// FuzzMessage: whatever is inside a signed notification makes sense or is
// refused.
func FuzzMessage(f *testing.F) {
	s := newSNS(f)
	c := s.carrier(f)
	for _, name := range []string{"delivered.json", "successful.json", "two-way.json"} {
		f.Add(fixture(f, name))
	}
	f.Add(`{"eventType":"TEXT_TTL_EXPIRED","messageId":"1","eventTimestamp":-1}`)
	f.Add(`{"inboundMessageId":"1","originationNumber":"+16502530000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "")
		reports, err := read(t, c, notification(text).sign(t, s.key).body(t))
		if err != nil && !errors.Is(err, carrier.ErrMalformed) {
			t.Fatal(err)
		}
		for _, r := range reports.Receipts {
			if r.Ref == "" || len(r.Ref) > 128 || (r.Status == carrier.ReceiptFailed) != (r.Reason != "") {
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
