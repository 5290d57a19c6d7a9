package webhook

import (
	"context"
	"testing"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/store"
	"codeword/test/peers"
)

// TestPeerVerifies: npm's standardwebhooks believes what we post, with either secret
// while both sign, and nothing that was changed or signed with another.
func TestPeerVerifies(t *testing.T) {
	t.Parallel()
	b := newBed(t, newMemory(), time.Now)
	e, first := b.create("https://example.com/")
	_, other := b.create("https://example.com/other")
	second, err := b.registry.StartRotation(t.Context(), audittest.Operator, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = b.registry.Find(t.Context(), e.ID); err != nil {
		t.Fatal(err)
	}
	type question struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Payload string            `json:"payload"`
	}
	var ask struct {
		Verify []question `json:"verify"`
	}
	var want []bool
	for _, body := range []string{`{"type":"message.sent","data":{"clientId":"é\u2028\"<>&"}}`, `{}`, " {\n} "} {
		id := store.NewEventID()
		h := make(map[string][]string)
		if err := b.loop.sign(h, &e, &store.WebhookDelivery{Event: id, Endpoint: e.ID, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		headers := make(map[string]string)
		for name, values := range h {
			headers[name] = values[0]
		}
		old := map[string]string{}
		for name, value := range headers {
			old[name] = value
		}
		for name := range old {
			if name == "Webhook-Timestamp" {
				old[name] = "1700000000"
			}
		}
		for _, q := range []struct {
			question
			want bool
		}{
			{question{first, headers, body}, true},
			{question{second, headers, body}, true},
			{question{other, headers, body}, false},
			{question{first, headers, body + " "}, false},
			{question{first, old, body}, false},
		} {
			ask.Verify, want = append(ask.Verify, q.question), append(want, q.want)
		}
	}
	var got struct {
		Verified []bool `json:"verified"`
	}
	peers.Call(t, "webhook.js", ask, &got)
	if len(got.Verified) != len(want) {
		t.Fatalf("%d verdicts, want %d", len(got.Verified), len(want))
	}
	for i := range want {
		if got.Verified[i] != want[i] {
			t.Errorf("question %d: %v, want %v", i, got.Verified[i], want[i])
		}
	}
}

// TestNobodyElsesEvents: an event of a client goes to its endpoints and to those of all
// clients, and an event of nobody to no client's.
func TestNobodyElsesEvents(t *testing.T) {
	t.Parallel()
	b := newBed(t, newMemory(), time.Now)
	ids := make(map[string]store.EndpointID)
	for _, of := range []string{"", "client-a", "client-ab", "client-b"} {
		e, _, err := b.registry.Create(context.WithoutCancel(t.Context()), audittest.Operator, of, "https://example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[of] = e.ID
	}
	for event, want := range map[string][]string{"client-a": {"", "client-a"}, "client-ab": {"", "client-ab"}, "": {""}, "CLIENT-B": {""}} {
		got := b.registry.wanting(event, KindMessageSent)
		if len(got) != len(want) {
			t.Errorf("%q goes to %d endpoints, want %d", event, len(got), len(want))
			continue
		}
		for i := range want {
			if got[i] != ids[want[i]] {
				t.Errorf("%q goes to %s", event, got[i])
			}
		}
	}
}
