package tracing

import (
	"crypto/rand"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// How many traces a second callers can ask for by the sampled flag of a traceparent,
// beyond what the sampler would take anyway.
const (
	wishesPerSecond = 10
	wishesAtOnce    = 50
)

// sampler decides what is traced. What runs within a span follows it. A caller's flag
// is a wish that is granted a few times a second: callers are servers of clients, and
// whoever reaches the listener could have everything traced otherwise. Nor does the
// caller's trace id decide, which it could choose to be below any ratio.
type sampler struct {
	own     sdk.Sampler
	parents bool
	wishes  *rate.Limiter
}

func newSampler(s Settings) *sampler {
	return &sampler{
		own:     sdk.TraceIDRatioBased(s.ratio),
		parents: strings.HasPrefix(s.sampler, parentPrefix),
		wishes:  rate.NewLimiter(wishesPerSecond, wishesAtOnce),
	}
}

// Description implements sdk.Sampler.
func (s *sampler) Description() string { return "codeword{" + s.own.Description() + "}" }

// ShouldSample implements sdk.Sampler. A message is traced if its request was.
func (s *sampler) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(p.ParentContext)
	switch {
	case parent.IsValid() && !parent.IsRemote():
		return verdict(parent.IsSampled())
	case parent.IsValid():
		if s.parents && !parent.IsSampled() {
			return verdict(false)
		}
		if s.parents && s.wishes.Allow() {
			return verdict(true)
		}
		_, _ = rand.Read(p.TraceID[:]) // never fails
	}
	for _, l := range p.Links {
		if l.SpanContext.IsSampled() {
			return verdict(true)
		}
	}
	return verdict(s.own.ShouldSample(p).Decision == sdk.RecordAndSample)
}

// verdict has no tracestate: a caller's would be kept, and sent on, with every span.
func verdict(yes bool) sdk.SamplingResult {
	if yes {
		return sdk.SamplingResult{Decision: sdk.RecordAndSample}
	}
	return sdk.SamplingResult{Decision: sdk.Drop}
}
