package server

import (
	"errors"
	"net/http"
	"strings"

	"codeword/api"
	"codeword/internal/carrier"
)

// maxCallbacks is how many callbacks are worked on at a time, those included
// whose body is still on its way: anybody may begin one and let us keep what
// came of it.
const maxCallbacks = 1024

// carrierEvents is POST /v1/carriers/{route}/events. Anybody may call it, so
// nothing is done before the carrier has found its signature good.
func (s *Server) carrierEvents() handle {
	prefix, suffix, _ := strings.Cut(api.PathCarrierEvents, "{route}")
	return func(x *exchange) error {
		name := strings.TrimSuffix(strings.TrimPrefix(x.r.URL.Path, prefix), suffix)
		if s.cfg.Callbacks == nil {
			return notFound()
		}
		callback, ok := s.cfg.Callbacks.Callback(name)
		if !ok {
			return notFound()
		}
		x.carrier = name
		defer s.callbacks.Add(-1)
		if s.callbacks.Add(1) > maxCallbacks {
			// Otherwise net/http waits for the body before it answers.
			x.w.Header()["Connection"] = []string{"close"}
			return errOverload
		}
		if err := x.readBody(api.MaxCallbackBytes); err != nil {
			return err
		}
		result, err := s.takeCallback(x, name, callback)
		s.metrics.callbacks.WithLabelValues(name, result).Inc()
		if err != nil {
			return err
		}
		x.acknowledge()
		return nil
	}
}

// The results of a callback, for the metrics.
const (
	callbackTaken     = "taken"
	callbackForged    = "forged"
	callbackStale     = "stale"
	callbackMalformed = "malformed"
	callbackFailed    = "failed"
)

// takeCallback reads a callback and hands on what it reports. The caller learns
// nothing of why a signature is not believed, and the log nothing of what a
// carrier says is wrong with a body, since that may quote it.
func (s *Server) takeCallback(x *exchange, route string, callback carrier.Callback) (result string, err error) {
	reports, err := callback.ReadCallback(x.r, x.body)
	if err == nil {
		err = s.cfg.Intake.Handle(x.r.Context(), route, reports)
		if err == nil {
			return callbackTaken, nil
		}
		if !errors.Is(err, carrier.ErrMalformed) {
			return callbackFailed, err
		}
	}
	refusal := &problem{status: http.StatusUnauthorized, code: api.CodeInvalidSignature, challenge: challengeCarrier}
	switch {
	case errors.Is(err, carrier.ErrMalformed):
		return callbackMalformed, &problem{status: http.StatusBadRequest, code: api.CodeInvalidBody, cause: carrier.ErrMalformed}
	case errors.Is(err, carrier.ErrStale):
		refusal.cause = carrier.ErrStale
		return callbackStale, refusal
	case errors.Is(err, carrier.ErrForged):
		refusal.cause = carrier.ErrForged
		return callbackForged, refusal
	default:
		// The carrier could not tell, for want of a certificate, say.
		return callbackFailed, &problem{
			status: http.StatusServiceUnavailable, code: api.CodeUnavailable, retryAfter: 1,
			cause: errors.New("carrier: callback could not be checked"),
		}
	}
}

var (
	xmlType = []string{"text/xml"}
	// emptyTwiML says that there is nothing to reply.
	emptyTwiML = []byte("<Response/>")
)

// acknowledge tells the carrier that its report is durable. Twilio, the one that
// sends forms, reads the answer to an incoming message as TwiML and raises error
// 12300 for anything but XML; the others want any 2xx.
func (x *exchange) acknowledge() {
	media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		x.answer(http.StatusNoContent, nil)
		return
	}
	h := x.w.Header()
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	h["Content-Type"] = xmlType
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(emptyTwiML) // a failed write means that the caller is gone
}
