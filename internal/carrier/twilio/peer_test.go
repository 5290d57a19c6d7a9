package twilio_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"codeword/internal/carrier/twilio"
	"codeword/test/peers"
)

// signedRequest is one request as Twilio's library takes it.
type signedRequest struct {
	URL       string     `json:"url"`
	Params    url.Values `json:"params"`
	Signature string     `json:"signature"`
}

// verdict is what Twilio's library makes of a request.
type verdict struct {
	// Signature is its own, Valid whether ours passes.
	Signature string `json:"signature"`
	Valid     bool   `json:"valid"`
}

// TestAgainstTwilioLibrary: Twilio's own library computes the same signatures
// as we, takes ours, and signs callbacks that we take.
func TestAgainstTwilioLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	requests := make([]signedRequest, 200)
	for i := range requests {
		r := generate(rng, i)
		r.Signature = twilio.Sign(token, r.URL, r.Params)
		requests[i] = r
	}
	var verdicts []verdict
	peers.Call(t, "twilio.js", map[string]any{"token": token, "requests": requests}, &verdicts)
	if len(verdicts) != len(requests) {
		t.Fatalf("%d verdicts", len(verdicts))
	}
	for i, r := range requests {
		if v := verdicts[i]; v.Signature != r.Signature || !v.Valid {
			t.Errorf("%s %q: ours %s, theirs %s, valid %v", r.URL, r.Params, r.Signature, v.Signature, v.Valid)
		}
		cfg := config()
		base, query, _ := strings.Cut(r.URL, "?")
		cfg.CallbackURL = base
		if query != "" && i%2 == 0 {
			cfg.CallbackURL = r.URL // configured with its query
		}
		if query != "" {
			query = "?" + query
		}
		body := r.Params.Encode()
		c := newCarrier(t, cfg)
		in := request(query, form, verdicts[i].Signature, body)
		if _, err := c.ReadCallback(in, []byte(body)); err != nil {
			t.Errorf("%s %q: %v", r.URL, r.Params, err)
		}
		body += "&Extra=1"
		if _, err := c.ReadCallback(in, []byte(body)); err == nil {
			t.Errorf("%s %q: passes with a parameter more", r.URL, r.Params)
		}
	}
}

// generate makes a status callback with all that is awkward about forms.
func generate(rng *rand.Rand, i int) signedRequest {
	hosts := []string{"otp.example.com", "otp.example.com:8443", "otp.example.com:443", "[2001:db8::7]:9000", "OTP.example.com"}
	queries := []string{"", "", "?a=1", "?b=%20x&a=%C3%A9", "?q=it%27s&x=a+b"}
	words := []string{
		"", " ", "plain", "a b+c&d=e%", "naïve", "日本語", "🙂", "\uff5e", "line\r\nbreak", "'\"<>", strings.Repeat("long ", 50),
	}
	p := params()
	for range rng.IntN(6) {
		name := fmt.Sprintf("%s%d", []string{"Media", "media", "Ärger", "x-", "_"}[rng.IntN(5)], rng.IntN(20))
		for range 1 + rng.IntN(3) {
			p.Add(name, words[rng.IntN(len(words))])
		}
	}
	scheme := "https://"
	if i%10 == 9 {
		scheme = "http://"
	}
	return signedRequest{URL: scheme + hosts[rng.IntN(len(hosts))] + "/v1/carriers/main/events" + queries[rng.IntN(len(queries))], Params: p}
}
