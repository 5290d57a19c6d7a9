package tracing

import (
	"sync"

	"go.opentelemetry.io/otel/trace"

	"codeword/internal/store"
)

// maxOrigins is how many messages are remembered with the spans of their requests.
const maxOrigins = 4096

// origins knows which request each of the latest messages came from: those of this
// process whose requests are traced. It forgets the oldest.
type origins struct {
	mu   sync.Mutex
	of   map[store.MessageID]trace.SpanContext
	ring []store.MessageID
	next int
}

func newOrigins() *origins { return &origins{of: make(map[store.MessageID]trace.SpanContext)} }

func (o *origins) put(id store.MessageID, from trace.SpanContext) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.ring) < maxOrigins {
		o.ring = append(o.ring, id)
	} else {
		delete(o.of, o.ring[o.next])
		o.ring[o.next] = id
		o.next = (o.next + 1) % maxOrigins
	}
	o.of[id] = from
}

func (o *origins) get(id store.MessageID) (trace.SpanContext, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from, ok := o.of[id]
	return from, ok
}
