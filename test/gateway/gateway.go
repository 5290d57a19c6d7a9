// Package gateway is the other side of a webhook carrier, for tests.
package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// CodeOf finds the code in a text.
var CodeOf = regexp.MustCompile(`^[0-9]{6}\b`)

// Gateway is the other side of a webhook carrier, as docs/webhook.md describes
// it: it checks our signature, takes messages, and reports what became of them.
type Gateway struct {
	tb     testing.TB
	server *httptest.Server
	secret string // without "whsec_", decoded

	mu     sync.Mutex
	answer func(w http.ResponseWriter, m Message)
	got    []Message
}

// Message is a message that the gateway was handed.
type Message struct {
	ID         string    `json:"id"`
	To         string    `json:"to"`
	Text       string    `json:"text"`
	ValidUntil time.Time `json:"validUntil"`
	// At is when it was handed over.
	At time.Time `json:"-"`
}

// New starts a gateway that takes every message under the reference
// "ref-ID".
func New(tb testing.TB) *Gateway {
	tb.Helper()
	g := &Gateway{tb: tb, secret: rand.Text(), answer: Take}
	g.server = httptest.NewServer(g)
	tb.Cleanup(g.server.Close)
	return g
}

// Take takes the message under the reference "ref-ID".
func Take(w http.ResponseWriter, m Message) { _, _ = fmt.Fprintf(w, `{"id": "ref-%s"}`, m.ID) }

// Refuse answers that the message is not taken, for a reason of the carrier.
func Refuse(reason string) func(http.ResponseWriter, Message) {
	return func(w http.ResponseWriter, _ Message) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error": %q}`, reason)
	}
}

// Vanish closes the connection without an answer: nobody knows whether the
// message was taken.
func Vanish(http.ResponseWriter, Message) { panic(http.ErrAbortHandler) }

// Answers sets what the gateway does with messages from now on.
func (g *Gateway) Answers(f func(w http.ResponseWriter, m Message)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = f
}

// URL is the gateway's address.
func (g *Gateway) URL() string { return g.server.URL }

// Route is the gateway's entry in a carriers file, with further settings.
func (g *Gateway) Route(name string, priority int, settings string) string {
	return fmt.Sprintf("  - {name: %s, priority: %d, %s webhook: {url: %q, secrets: [%q]}}\n",
		name, priority, settings, g.server.URL+"/messages?to=phones", "whsec_"+base64.StdEncoding.EncodeToString([]byte(g.secret)))
}

// Sign is the arithmetic of Standard Webhooks 1.0.0.
func Sign(secret, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, id+"."+timestamp+"."+body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Sign signs a report as the gateway does.
func (g *Gateway) Sign(id, timestamp, body string) string { return Sign(g.secret, id, timestamp, body) }

// ServeHTTP implements [http.Handler].
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.tb.Errorf("gateway: %v", err)
		return
	}
	id, timestamp := r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp")
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		g.tb.Errorf("gateway: timestamp %q", timestamp)
	}
	if got := r.Header.Get("Webhook-Signature"); got != g.Sign(id, timestamp, string(body)) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string  `json:"type"`
		Data Message `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		g.tb.Errorf("gateway: %v", err)
		return
	}
	if event.Type != "message.send" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if event.Data.ID != id {
		g.tb.Errorf("gateway: webhook-id %s for message %s", id, event.Data.ID)
	}
	event.Data.At = time.Now()
	g.mu.Lock()
	g.got = append(g.got, event.Data)
	answer := g.answer
	g.mu.Unlock()
	answer(w, event.Data)
}

// To returns what was handed over for a number, in order.
func (g *Gateway) To(number string) []Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Message
	for _, m := range g.got {
		if m.To == number {
			out = append(out, m)
		}
	}
	return out
}

// Codes are the messages to a number that bring codes.
func (g *Gateway) Codes(number string) []Message {
	return slices.DeleteFunc(g.To(number), func(m Message) bool { return !CodeOf.MatchString(m.Text) })
}

// Replies are the messages to a number that bring no codes.
func (g *Gateway) Replies(number string) []Message {
	return slices.DeleteFunc(g.To(number), func(m Message) bool { return CodeOf.MatchString(m.Text) })
}

// Await waits for the first code to a number.
func (g *Gateway) Await(number string) Message {
	g.tb.Helper()
	waittest.Until(g.tb, "a code at the gateway", func() bool { return len(g.Codes(number)) > 0 })
	return g.Codes(number)[0]
}

// Delivered is the receipt of a message that has arrived.
func Delivered(ref string) string { return ReceiptOf(ref, "delivered", "") }

// Failed is the receipt of a message that has not.
func Failed(ref, reason string) string { return ReceiptOf(ref, "failed", reason) }

// ReceiptOf is a receipt with a status and a reason as docs/webhook.md has them.
func ReceiptOf(ref, status, reason string) string {
	return fmt.Sprintf(`{"type": "message.receipt", "data": {"id": %q, "status": %q, "reason": %q}}`, ref, status, reason)
}

// Inbound is a message from a phone.
func Inbound(from, text string) string {
	return fmt.Sprintf(`{"type": "message.inbound", "data": {"from": %q, "to": "+18885550100", "text": %q}}`, from, text)
}

// Report posts a report for a route, signed now, and wants it to be taken.
func (g *Gateway) Report(s *testserver.Endpoint, route, body string) {
	g.tb.Helper()
	if status := g.Post(s, route, body, time.Now()); status != http.StatusNoContent {
		g.tb.Errorf("%s: answered %d", body, status)
	}
}

// Post posts a report for a route, signed at that time, and returns the status of the answer.
func (g *Gateway) Post(s *testserver.Endpoint, route, body string, at time.Time) (status int) {
	g.tb.Helper()
	id, timestamp := rand.Text(), strconv.FormatInt(at.Unix(), 10)
	return PostSigned(g.tb, s, route, body, id, timestamp, g.Sign(id, timestamp, body))
}

// PostSigned posts a report with that signature.
func PostSigned(tb testing.TB, s *testserver.Endpoint, route, body, id, timestamp, signature string) (status int) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, s.URL+"/v1/carriers/"+route+"/events", strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", timestamp)
	r.Header.Set("Webhook-Signature", signature)
	resp, err := s.HTTP.Do(r)
	if err != nil {
		tb.Error(err) // may be called by a gateway's handler
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
