package carriers_test

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
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// gateway is the other side of a webhook carrier, as docs/webhook.md describes
// it: it checks our signature, takes messages, and reports what became of them.
type gateway struct {
	tb     testing.TB
	server *httptest.Server
	secret string // without "whsec_", decoded

	mu     sync.Mutex
	answer func(w http.ResponseWriter, m posted)
	got    []posted
}

// posted is a message that the gateway was handed.
type posted struct {
	ID         string    `json:"id"`
	To         string    `json:"to"`
	Text       string    `json:"text"`
	ValidUntil time.Time `json:"validUntil"`
	at         time.Time
}

// newGateway starts a gateway that takes every message under the reference
// "ref-ID".
func newGateway(tb testing.TB) *gateway {
	tb.Helper()
	g := &gateway{tb: tb, secret: rand.Text(), answer: take}
	g.server = httptest.NewServer(g)
	tb.Cleanup(g.server.Close)
	return g
}

// take, refuse, and vanish are what a gateway may do with a message.
func take(w http.ResponseWriter, m posted) { _, _ = fmt.Fprintf(w, `{"id": "ref-%s"}`, m.ID) }

func refuse(reason string) func(http.ResponseWriter, posted) {
	return func(w http.ResponseWriter, _ posted) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error": %q}`, reason)
	}
}

// vanish closes the connection without an answer: nobody knows whether the
// message was taken.
func vanish(http.ResponseWriter, posted) { panic(http.ErrAbortHandler) }

// answers sets what the gateway does with messages from now on.
func (g *gateway) answers(f func(w http.ResponseWriter, m posted)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = f
}

// route is the gateway's entry in a carriers file, with further settings.
func (g *gateway) route(name string, priority int, settings string) string {
	return fmt.Sprintf("  - {name: %s, priority: %d, %s webhook: {url: %q, secrets: [%q]}}\n",
		name, priority, settings, g.server.URL+"/messages?to=phones", "whsec_"+base64.StdEncoding.EncodeToString([]byte(g.secret)))
}

// sign is the arithmetic of Standard Webhooks 1.0.0.
func sign(secret, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, id+"."+timestamp+"."+body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	if got := r.Header.Get("Webhook-Signature"); got != sign(g.secret, id, timestamp, string(body)) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string `json:"type"`
		Data posted `json:"data"`
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
	event.Data.at = time.Now()
	g.mu.Lock()
	g.got = append(g.got, event.Data)
	answer := g.answer
	g.mu.Unlock()
	answer(w, event.Data)
}

// to returns what was handed over for a number, in order.
func (g *gateway) to(number string) []posted {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []posted
	for _, m := range g.got {
		if m.To == number {
			out = append(out, m)
		}
	}
	return out
}

// codes are the messages to a number that bring codes, replies the others.
func (g *gateway) codes(number string) []posted {
	return slices.DeleteFunc(g.to(number), func(m posted) bool { return !codeOf.MatchString(m.Text) })
}

func (g *gateway) replies(number string) []posted {
	return slices.DeleteFunc(g.to(number), func(m posted) bool { return codeOf.MatchString(m.Text) })
}

// await waits for the first code to a number.
func (g *gateway) await(number string) posted {
	g.tb.Helper()
	eventually(g.tb, "a code at the gateway", func() bool { return len(g.codes(number)) > 0 })
	return g.codes(number)[0]
}

// delivered, failed and inbound are reports.
func delivered(ref string) string { return receiptOf(ref, "delivered", "") }

func failed(ref, reason string) string { return receiptOf(ref, "failed", reason) }

func receiptOf(ref, status, reason string) string {
	return fmt.Sprintf(`{"type": "message.receipt", "data": {"id": %q, "status": %q, "reason": %q}}`, ref, status, reason)
}

func inbound(from, text string) string {
	return fmt.Sprintf(`{"type": "message.inbound", "data": {"from": %q, "to": "+18885550100", "text": %q}}`, from, text)
}

// report posts a report for a route, signed now, and wants it to be taken.
func (g *gateway) report(s *service, route, body string) {
	g.tb.Helper()
	if status := g.post(s, route, body, time.Now()); status != http.StatusNoContent {
		g.tb.Errorf("%s: answered %d", body, status)
	}
}

func (g *gateway) post(s *service, route, body string, at time.Time) (status int) {
	g.tb.Helper()
	id, timestamp := rand.Text(), strconv.FormatInt(at.Unix(), 10)
	return postSigned(s, route, body, id, timestamp, sign(g.secret, id, timestamp, body))
}

func postSigned(s *service, route, body, id, timestamp, signature string) (status int) {
	s.tb.Helper()
	r, err := http.NewRequestWithContext(s.tb.Context(), http.MethodPost, s.URL+"/v1/carriers/"+route+"/events", strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", timestamp)
	r.Header.Set("Webhook-Signature", signature)
	resp, err := s.HTTP.Do(r)
	if err != nil {
		s.tb.Error(err) // may be called by a gateway's handler
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
