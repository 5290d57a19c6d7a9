package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"codeword/api"
	"codeword/internal/session"
	"codeword/internal/tenant"
)

// exchange is one request on its way through the server, what its log line will
// tell, and the buffers it needs. It is pooled: nothing may keep it, or a slice
// of its buffers, beyond the call.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	id    string
	start time.Time
	route *route
	// admitted: a place at the gate is held.
	admitted bool

	client    *tenant.Client
	principal *session.Principal
	// device is what the request tells of the end user's device, read once.
	device fingerprint
	// carrier is the route that a callback claims to be of; it is one of ours.
	carrier string

	// What the answer was; status is zero until there is one.
	status int
	code   api.Code
	cause  error
	mask   string
	notes  string
	// shed: refused by a full gate.
	shed bool

	// traceID and traced are what Config.Trace gave.
	traceID string
	traced  TraceEnd

	body []byte
	out  []byte
	doc  document
}

// maxKept bounds the buffers that an exchange takes back to the pool. Bodies
// are far smaller, and a rare large one must not stay in memory for good.
const maxKept = 4 << 10

// reset forgets everything but the buffers.
func (x *exchange) reset() {
	body, out, doc := x.body[:0], x.out[:0], x.doc
	if cap(body) > maxKept {
		body = nil
	}
	if cap(out) > maxKept {
		out = nil
	}
	*x = exchange{body: body, out: out, doc: doc}
}

// serve is the outermost step.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	x, ok := s.pool.Get().(*exchange)
	if !ok {
		x = new(exchange)
	}
	x.s, x.w, x.r, x.start, x.route = s, w, r, s.now(), s.nowhere
	x.id = newRequestID(x.start)
	w.Header()["Request-Id"] = []string{x.id}
	if len(r.TransferEncoding) > 0 {
		// A request with both Transfer-Encoding and Content-Length may hide
		// another one; net/http goes on reading. RFC 9112 section 6.3 wants the
		// connection closed. No caller of this API has a reason to use chunks.
		w.Header()["Connection"] = []string{"close"}
	}
	defer x.finish()
	if x.admitted = s.gate.enter(); !x.admitted && !isVital(r.URL.Path) {
		x.fail(errOverload)
		return
	}
	if x.route = s.match(r); x.route == s.nowhere {
		x.fail(notFound())
		return
	}
	x.trace()
	x.route.ServeHTTP(x, x.r)
}

// trace begins to follow the request. Those that come every few seconds and tell nothing
// are not followed.
func (x *exchange) trace() {
	if x.s.cfg.Trace == nil || x.route.vital {
		return
	}
	var ctx context.Context
	ctx, x.traceID, x.traced = x.s.cfg.Trace(x.r, x.route.pattern)
	x.r = x.r.WithContext(ctx)
}

// endTrace tells what came of the request.
func (x *exchange) endTrace() {
	if x.traced == nil {
		return
	}
	var client string
	if x.client != nil {
		client = x.client.ID
	}
	x.traced(x.status, string(x.code), client, x.id)
}

// finish runs whatever happened: it answers for a panic, gives the place at the
// gate back, counts, logs, and returns the exchange to the pool.
func (x *exchange) finish() {
	s := x.s
	abort := false
	if p := recover(); p != nil {
		abort = x.recovered(p)
	}
	if x.admitted {
		s.gate.leave()
	}
	took := s.now().Sub(x.start)
	x.endTrace()
	s.metrics.observe(x.route, x.status, x.code, took)
	if x.shed {
		s.shed.note(s.log, x.start)
	} else {
		x.log(took)
	}
	x.reset()
	s.pool.Put(x)
	if abort {
		// The answer was begun, so that only breaking the connection tells the
		// caller it is not whole.
		panic(http.ErrAbortHandler)
	}
}

// recovered turns a panic into one logged 500, and reports whether it came too
// late for that.
func (x *exchange) recovered(p any) (abort bool) {
	err, ok := p.(error)
	if ok && errors.Is(err, http.ErrAbortHandler) {
		x.cause = err
		return true
	}
	cause := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	if x.status != 0 {
		x.status, x.code, x.cause = http.StatusInternalServerError, api.CodeInternal, cause
		return true
	}
	x.fail(&problem{status: http.StatusInternalServerError, code: api.CodeInternal, cause: cause})
	return false
}

// Header implements [http.ResponseWriter].
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader implements [http.ResponseWriter].
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 && status >= http.StatusOK {
		x.status = status
	}
	x.w.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.w.Write(b)
}

// Unwrap serves [http.ResponseController].
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// Values of headers that are the same on every answer. They are shared between
// requests and never written to.
var (
	jsonType = []string{api.ContentTypeJSON}
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
)

// answer writes a JSON document. The headers are set by their canonical names,
// which spares the lookups of Header.Set.
func (x *exchange) answer(status int, body []byte) {
	h := x.w.Header()
	h["X-Content-Type-Options"] = noSniff
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = noStore
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		x.WriteHeader(status)
		return
	}
	h["Content-Type"] = jsonType
	x.WriteHeader(status)
	// A failed write means that the caller is gone; there is nobody to tell.
	_, _ = x.Write(body)
}
