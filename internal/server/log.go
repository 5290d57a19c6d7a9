package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// log writes the one event of a request. Nothing in it is taken from the
// request as it came, but for a harmless request-id of the caller. The record is
// made by hand to spare the search for the calling line, which is always this.
func (x *exchange) log(took time.Duration) {
	level := slog.LevelInfo
	switch {
	case x.status >= http.StatusInternalServerError && x.status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case x.status == http.StatusServiceUnavailable:
		level = slog.LevelWarn
	case x.route.vital:
		level = slog.LevelDebug
	}
	ctx := context.Background() // the request's may be canceled, its event is due all the same
	handler := x.s.log.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	var space [13]slog.Attr
	attrs := append(
		space[:0],
		slog.String("method", knownMethod(x.r.Method)),
		slog.String("route", x.route.pattern),
		slog.Int("status", x.status),
		slog.Int64("duration_us", took.Microseconds()),
		slog.String("request_id", x.id),
	)
	if x.traceID != "" {
		attrs = append(attrs, slog.String("trace_id", x.traceID))
	}
	if x.code != "" {
		attrs = append(attrs, slog.String("code", string(x.code)))
	}
	if x.client != nil {
		attrs = append(attrs, slog.String("client", x.client.ID))
	}
	if x.carrier != "" {
		attrs = append(attrs, slog.String("carrier_route", x.carrier))
	}
	if x.mask != "" {
		attrs = append(attrs, slog.String("phone_mask", x.mask))
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("detail", x.cause.Error()))
	}
	if x.notes != "" {
		attrs = append(attrs, slog.String("notes", x.notes))
	}
	if id := clientRequestID(x.r.Header); id != "" {
		attrs = append(attrs, slog.String("client_request_id", id))
	}
	record := slog.NewRecord(x.start, level, "request", 0)
	record.AddAttrs(attrs...)
	_ = handler.Handle(ctx, record) // where the log itself fails there is nowhere to say so
}

// knownMethod keeps what callers make up out of the log.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return "other"
}
