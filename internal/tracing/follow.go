package tracing

import (
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

const messageKey = attribute.Key("codeword.message.id")

// Request begins the span of a request to a route, by the semantic conventions for HTTP
// servers. What the request tells beyond the route and the method stays out: a path or
// a header may hold anything. The caller's traceparent is the parent; its tracestate
// and baggage are ignored.
//
// The id is that of the trace, and end nil, as server.Config.Trace has them.
func (t *Tracer) Request(r *http.Request, route string) (_ context.Context, id string, end func(status int, code, client, request string)) {
	ctx := r.Context()
	// One that comes twice is none (W3C Trace Context, section 3.2).
	if values := r.Header["Traceparent"]; len(values) == 1 {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": values[0]})
	}
	method := knownMethod(r.Method)
	ctx, span := t.tracer.Start(
		ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route)),
	)
	if !span.IsRecording() {
		return ctx, "", nil
	}
	return ctx, span.SpanContext().TraceID().String(), func(status int, code, client, request string) {
		span.SetAttributes(attribute.Int("http.response.status_code", status), attribute.String("codeword.request.id", request))
		if code != "" {
			span.SetAttributes(attribute.String("codeword.error.code", code))
		}
		if client != "" {
			span.SetAttributes(attribute.String("codeword.client.id", client))
		}
		if status >= http.StatusInternalServerError {
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// knownMethod is the method as the conventions want it; one that nobody knows is _OTHER.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "_OTHER"
}

// Queued notes that the request of ctx queued a message, so that the message's trace
// can be linked to the request's.
func (t *Tracer) Queued(ctx context.Context, id store.MessageID) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(messageKey.String(id.String()))
	t.requests.put(id, span.SpanContext())
}

// Message begins the trace of a claimed message, linked to its request where this
// process took that and still knows.
func (t *Tracer) Message(ctx context.Context, m *store.Message) (context.Context, func(*store.Outcome)) {
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			messageKey.String(m.ID.String()), attribute.String("codeword.client.id", m.Client),
			attribute.Int("codeword.message.claims", m.Claims),
			attribute.Int64("codeword.message.created_at_ms", m.CreatedAt.UnixMilli()),
		),
	}
	if from, ok := t.requests.get(m.ID); ok {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	ctx, span := t.tracer.Start(ctx, "deliver message", options...)
	return ctx, func(o *store.Outcome) {
		span.SetAttributes(attribute.String("codeword.message.status", o.Status.String()))
		if o.Route != "" {
			span.SetAttributes(attribute.String("codeword.route", o.Route))
		}
		if o.Error != "" {
			span.SetAttributes(attribute.String("codeword.message.reason", o.Error))
		}
		if o.Status == store.MessageFailed {
			span.SetStatus(codes.Error, o.Error)
		}
		span.End()
	}
}

// Call begins the span of a carrier's call. The carrier is told nothing of it.
func (t *Tracer) Call(ctx context.Context, route string) (context.Context, func(*carrier.Error)) {
	ctx, span := t.tracer.Start(
		ctx, "send "+route, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("codeword.route", route)),
	)
	return ctx, func(failure *carrier.Error) {
		if failure != nil {
			span.SetAttributes(attribute.String("error.type", failure.Reason))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Webhook begins the trace of an attempt to deliver a webhook. The receiver is told
// nothing of it.
func (t *Tracer) Webhook(ctx context.Context, d *store.WebhookDelivery) (context.Context, func(*store.WebhookOutcome)) {
	ctx, span := t.tracer.Start(
		ctx, "webhook POST", trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("http.request.method", http.MethodPost),
			attribute.String("codeword.event.id", d.Event.String()), attribute.Int("http.request.resend_count", d.Attempts),
		),
	)
	return ctx, func(o *store.WebhookOutcome) {
		if o.Status != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", o.Status))
		}
		if o.Error != "" {
			span.SetAttributes(attribute.String("error.type", o.Error))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
