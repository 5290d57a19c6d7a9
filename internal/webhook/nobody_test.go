package webhook

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/tenant"
)

// crowded is an emitter among 10,000 endpoints, none of which is the client's. It fails
// the test when it looks at whom a message went to.
func crowded(tb testing.TB) (e *Emitter, sent func()) {
	tb.Helper()
	all := make([]Endpoint, 10_000)
	for i := range all {
		all[i] = Endpoint{ID: store.NewEndpointID(), Client: fmt.Sprint("client-", i/maxEndpoints), URL: "https://example.com/"}
	}
	body, err := json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	mem := newMemory()
	mem.doc = store.Document{Name: document, Revision: 1, Body: body}
	registry := NewRegistry(RegistryConfig{Documents: mem})
	if err := registry.Load(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	e, err = NewEmitter(EmitterConfig{
		Registry: registry, Queue: mem, Now: time.Now,
		Mask:   func(*store.Message) string { tb.Error("the number was opened"); return "" },
		Client: func(string) *tenant.Client { tb.Error("the client was asked for"); return nil },
	})
	if err != nil {
		tb.Fatal(err)
	}
	m := &store.Message{ID: store.NewMessageID(), Client: client}
	o := &store.Outcome{ID: m.ID, Status: store.MessageSent}
	return e, func() { e.Outcome(m, o) }
}

// TestNobodyAsks: a client without endpoints does not pay for those of others.
func TestNobodyAsks(t *testing.T) {
	e, sent := crowded(t)
	if n := testing.AllocsPerRun(100, sent); n != 0 {
		t.Errorf("%v allocations for an event that nobody wants", n)
	}
	m := store.Message{ID: store.NewMessageID(), Client: client, Status: store.MessageDelivered}
	e.cfg.Messages = &recorder{messages: map[store.MessageID]store.Message{m.ID: m}}
	if _, ok, err := e.settled(t.Context(), m.ID); ok || err != nil {
		t.Errorf("told of a receipt: %t, %v", ok, err)
	}
}

func BenchmarkNobodyAsks(b *testing.B) {
	_, sent := crowded(b)
	b.ReportAllocs()
	for b.Loop() {
		sent()
	}
}
