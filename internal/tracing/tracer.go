package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"codeword/internal/fault"
)

// Config is what a Tracer needs beside its settings.
type Config struct {
	Version string
	Log     *slog.Logger
	Metrics Metrics
}

// Tracer makes spans. Its methods never wait for the receiver.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	requests *origins
}

// exportTimeout is how long one batch may take, with all its repetitions.
const exportTimeout = 10 * time.Second

// New returns a Tracer that exports to the settings' endpoint. The exporter reads the
// other variables of the environment itself.
func New(ctx context.Context, s Settings, cfg Config) (*Tracer, error) {
	// The SDK would write to stderr what it finds wrong, values and all.
	otel.SetLogger(logr.Discard())
	client, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	from, err := resource.New(
		ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "codeword"), attribute.String("service.version", cfg.Version)),
		resource.WithFromEnv(),
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithResource(from),
		sdk.WithSampler(newSampler(s)),
		sdk.WithBatcher(&exporter{SpanExporter: client, metrics: cfg.Metrics, log: cfg.Log}, sdk.WithExportTimeout(exportTimeout)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("codeword", trace.WithInstrumentationVersion(cfg.Version)), requests: newOrigins()}, nil
}

// Shutdown exports what is left, as long as ctx lets it.
func (t *Tracer) Shutdown(ctx context.Context) error { return t.provider.Shutdown(ctx) }

// Step begins a span within the one of ctx; nothing without one that is recorded. end
// takes what came of it.
func (t *Tracer) Step(ctx context.Context, name string, attrs ...attribute.KeyValue) (_ context.Context, end func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithAttributes(attrs...))
	return ctx, func(err error) {
		fail(span, err)
		span.End()
	}
}

// fail notes what an error is: its text may quote what a caller wrote. A refusal is what
// a step is there for, and no error of the span.
func fail(span trace.Span, err error) {
	var f *fault.Error
	switch {
	case err == nil:
	case errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable:
		span.SetAttributes(attribute.String("codeword.outcome", "refused"))
	case errors.As(err, &f) && f.Kind == fault.Unavailable:
		span.SetStatus(codes.Error, "unavailable")
	default:
		span.SetStatus(codes.Error, "failed")
	}
}
