package tracing

import (
	"testing"

	"go.opentelemetry.io/otel/trace"

	"codeword/internal/store"
)

// TestOriginsAreBounded: of many messages the latest are known, and no more are kept.
func TestOriginsAreBounded(t *testing.T) {
	t.Parallel()
	o := newOrigins()
	var ids []store.MessageID
	for range 3 * maxOrigins {
		id := store.NewMessageID()
		ids = append(ids, id)
		o.put(id, trace.SpanContext{})
	}
	if len(o.of) != maxOrigins {
		t.Errorf("%d are kept, want %d", len(o.of), maxOrigins)
	}
	for i, id := range ids {
		if _, known := o.get(id); known != (i >= 2*maxOrigins) {
			t.Fatalf("message %d of %d: known %t", i, len(ids), known)
		}
	}
}
