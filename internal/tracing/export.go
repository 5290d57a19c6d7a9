package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// complainEvery is how often a line of the log says that spans do not arrive.
const complainEvery = time.Minute

// maxComplaint bounds what is quoted of the receiver's answer, in bytes.
const maxComplaint = 300

// Metrics are called as spans leave, or fail to.
type Metrics struct {
	Exported func(n int)
	Failed   func(n int)
}

// exporter counts what the real one does and says now and then that it fails. The
// processor before it holds a bounded queue and drops what does not fit.
type exporter struct {
	sdk.SpanExporter
	metrics Metrics
	log     *slog.Logger
	last    atomic.Int64 // Unix nanoseconds of the last complaint
}

// ExportSpans implements sdk.SpanExporter. It hides the error, which the SDK would
// write into a log of its own.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		e.metrics.Exported(len(spans))
		return nil
	}
	e.metrics.Failed(len(spans))
	last, now := e.last.Load(), time.Now().UnixNano()
	if (last == 0 || now-last >= int64(complainEvery)) && e.last.CompareAndSwap(last, now) {
		text := err.Error()
		e.log.WarnContext(ctx, "traces do not arrive", "spans", len(spans), "error", text[:min(len(text), maxComplaint)])
	}
	return nil
}
