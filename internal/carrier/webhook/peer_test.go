package webhook_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/webhook"
	"codeword/internal/message"
	"codeword/test/peers"
)

// The questions to test/peers/webhook.js.
type (
	toSign struct {
		Secret    string `json:"secret"`
		ID        string `json:"id"`
		Timestamp int64  `json:"timestamp"`
		Payload   string `json:"payload"`
	}
	toVerify struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Payload string            `json:"payload"`
	}
	questions struct {
		Sign   []toSign   `json:"sign"`
		Verify []toVerify `json:"verify"`
	}
	answers struct {
		Signatures []string `json:"signatures"`
		Verified   []bool   `json:"verified"`
	}
)

func randomSecret(t *testing.T, r *mathrand.Rand) string {
	t.Helper()
	raw := make([]byte, 24+r.IntN(41))
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(raw)
}

// randomText is up to 80 characters of all kinds.
func randomText(r *mathrand.Rand) string {
	alphabet := []rune("aZ09 .@#<>&'\"\\/\n\té中한🙂\u2028\u0000")
	text := make([]rune, r.IntN(80))
	for i := range text {
		text[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(text)
}

// TestPeerVerifiesWhatWeSign: npm's standardwebhooks takes our webhooks with
// either of two secrets, and not with a third, nor changed.
func TestPeerVerifiesWhatWeSign(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	var ask questions
	var want []bool
	for range 8 {
		s := newServer(t, carriertest.BehaviorAccept)
		first, second := randomSecret(t, r), randomSecret(t, r)
		cfg := config(s)
		cfg.Secrets = []carrier.Secret{carrier.Secret(first), carrier.Secret(second)}
		c := newCarrier(t, cfg)
		for range 40 {
			m := carriertest.Message(t, carriertest.Number)
			m.Text = message.Text(randomText(r))
			if _, err := c.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		for _, got := range s.Requests() {
			headers := map[string]string{}
			for name := range got.Header {
				headers[name] = got.Header.Get(name)
			}
			payload := string(got.Body)
			ask.Verify = append(ask.Verify,
				toVerify{first, headers, payload}, toVerify{second, headers, payload},
				toVerify{randomSecret(t, r), headers, payload}, toVerify{first, headers, payload + " "})
			want = append(want, true, true, false, false)
		}
	}
	var got answers
	peers.Call(t, "webhook.js", ask, &got)
	if fmt.Sprint(got.Verified) != fmt.Sprint(want) || len(want) != 8*40*4 {
		t.Errorf("%d verdicts, and not all as wanted", len(got.Verified))
	}
}

// TestWeVerifyWhatPeerSigns: reports that npm's standardwebhooks signs are
// believed, also with another signature before the right one.
func TestWeVerifyWhatPeerSigns(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3, 4))
	var ask questions
	for i := range 400 {
		payload, err := json.Marshal(map[string]any{"type": "message.inbound", "data": map[string]any{
			"from": carriertest.Number, "to": "+12125550101", "text": randomText(r),
		}})
		if err != nil {
			t.Fatal(err)
		}
		ask.Sign = append(ask.Sign, toSign{
			Secret: randomSecret(t, r), ID: fmt.Sprintf("evt_%d", i), Timestamp: t0.Unix() + int64(r.IntN(601)) - 300, Payload: string(payload),
		})
	}
	var got answers
	peers.Call(t, "webhook.js", ask, &got)
	if len(got.Signatures) != len(ask.Sign) {
		t.Fatalf("%d signatures", len(got.Signatures))
	}
	for i, q := range ask.Sign {
		c := newCarrier(t, webhook.Config{
			Name: "own", URL: "https://sms.example.com", Secrets: []carrier.Secret{carrier.Secret(q.Secret)},
			Now: func() time.Time { return t0.Truncate(time.Second) },
		})
		request := posted(t, q.ID, fmt.Sprint(q.Timestamp), got.Signatures[(i+1)%len(ask.Sign)]+" "+got.Signatures[i])
		if reports, err := c.ReadCallback(request, []byte(q.Payload)); err != nil || len(reports.Inbound) != 1 {
			t.Fatalf("%d: got %+v, %v", i, reports, err)
		}
		if _, err := c.ReadCallback(posted(t, q.ID, fmt.Sprint(q.Timestamp), got.Signatures[(i+1)%len(ask.Sign)]), []byte(q.Payload)); err == nil {
			t.Errorf("%d: believed another one's signature", i)
		}
	}
}
