// Package traces_test holds the server's traces against an OTLP receiver, and against
// receivers that fail, as an operator would set them up.
package traces_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"codeword/api"
	"codeword/internal/addresstest"
	"codeword/internal/leaktest"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

var number = testserver.Number(73)

// endLimit is how long an exporter that gets no answer may hold up the server's end.
const endLimit = 12 * time.Second

const (
	callerTrace = "0af7651916cd43dd8448eb211c80319c"
	callerSpan  = "b7ad6b7169203331"
)

// receiver is an OTLP endpoint that keeps what it is told.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	spans   []*tracepb.Span
	service string
	headers http.Header
	path    string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err != nil {
			t.Error(err)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.headers, r.path = req.Header, req.URL.Path
		for _, from := range in.GetResourceSpans() {
			for _, a := range from.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					r.service = a.GetValue().GetStringValue()
				}
			}
			for _, scope := range from.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// named returns the spans of that name.
func (r *receiver) named(name string) (out []*tracepb.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.GetName() == name {
			out = append(out, s)
		}
	}
	return out
}

// await waits for a span of that name.
func (r *receiver) await(t *testing.T, name string) {
	t.Helper()
	waittest.Until(t, "a span called "+name, func() bool { return len(r.named(name)) > 0 })
}

// one returns the only span of that name.
func (r *receiver) one(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	found := r.named(name)
	if len(found) != 1 {
		var names []string
		for _, s := range r.spans {
			names = append(names, s.GetName())
		}
		t.Fatalf("%d spans are called %q, want one of %q", len(found), name, names)
	}
	return found[0]
}

func attribute(s *tracepb.Span, key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			if v := a.GetValue().GetStringValue(); v != "" {
				return v
			}
			return fmt.Sprint(a.GetValue().GetIntValue())
		}
	}
	return ""
}

// withParent adds a traceparent to every request.
type withParent struct {
	base  http.RoundTripper
	value string
}

func (p withParent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("traceparent", p.value)
	r.Header.Set("tracestate", "vendor=hostile")
	return p.base.RoundTrip(r)
}

// signIn sends a code, waits for what meanwhile waits for, and uses the code.
func signIn(t *testing.T, s *testserver.Server, traceparent string, meanwhile func()) (phoneID, code string) {
	t.Helper()
	plain := s.HTTP.Transport
	s.HTTP.Transport = withParent{plain, traceparent}
	defer func() { s.HTTP.Transport = plain }()
	c := s.Client(s.Live)
	sent, err := c.Send(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	code = s.Code(number)
	meanwhile()
	if _, err := c.Authenticate(t.Context(), sent.PhoneID, code); err != nil {
		t.Fatal(err)
	}
	return sent.PhoneID, code
}

// TestTree signs somebody in and checks what the receiver was told: the tree of the
// request, the message's own trace, and nothing that is nobody's business.
func TestTree(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := testserver.Start(t, testserver.Options{Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_EXPORTER_OTLP_HEADERS=x-tenant=acme%20ltd", "OTEL_SERVICE_NAME=otp-east",
		"OTEL_BSP_SCHEDULE_DELAY=20",
	}})
	phoneID, code := signIn(t, s, "00-"+callerTrace+"-"+callerSpan+"-01", func() { r.await(t, "deliver message") })
	s.Stop()

	request := r.one(t, "POST "+api.PathSend)
	if got := hex.EncodeToString(request.GetTraceId()); got != callerTrace {
		t.Errorf("the request is of trace %s, want the caller's", got)
	}
	if got := hex.EncodeToString(request.GetParentSpanId()); got != callerSpan {
		t.Errorf("the request's parent is %s, want the caller's span", got)
	}
	for key, want := range map[string]string{
		"http.route": api.PathSend, "http.request.method": "POST", "http.response.status_code": "200",
	} {
		if got := attribute(request, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	for _, name := range []string{"line_type", "captcha", "store start_challenge"} {
		step := r.one(t, name)
		if string(step.GetParentSpanId()) != string(request.GetSpanId()) || string(step.GetTraceId()) != string(request.GetTraceId()) {
			t.Errorf("%s is not within the request", name)
		}
	}
	confirm := r.one(t, "POST "+api.PathAuthenticate)
	for _, name := range []string{"store attempt", "bearer mint"} {
		if step := r.one(t, name); string(step.GetParentSpanId()) != string(confirm.GetSpanId()) {
			t.Errorf("%s is not within the request", name)
		}
	}

	message := r.one(t, "deliver message")
	if len(message.GetParentSpanId()) != 0 || string(message.GetTraceId()) == string(request.GetTraceId()) {
		t.Error("the message's trace is not its own")
	}
	id := attribute(message, "codeword.message.id")
	if id == "" || attribute(r.one(t, "store start_challenge"), "codeword.message.id") != id && attribute(request, "codeword.message.id") != id {
		t.Errorf("the message %q is not the request's", id)
	}
	// Another node knows the request by the id alone.
	if links := message.GetLinks(); !testserver.Shared() && (len(links) != 1 || string(links[0].GetTraceId()) != string(request.GetTraceId())) {
		t.Errorf("links are %v, want one to the request", links)
	}
	if call := r.one(t, "send inbox"); string(call.GetParentSpanId()) != string(message.GetSpanId()) || call.GetKind() != tracepb.Span_SPAN_KIND_CLIENT {
		t.Error("the carrier's call is not a client's span within the message")
	}

	if r.service != "otp-east" || r.headers.Get("X-Tenant") != "acme ltd" || r.path != "/v1/traces" {
		t.Errorf("service %q, headers %v, path %q", r.service, r.headers, r.path)
	}
	r.private(t, code, phoneID, s.Live.Secret)
	if !strings.Contains(s.Log(), `"trace_id":"`+callerTrace+`"`) {
		t.Error("the request's log line does not name the trace")
	}
}

// private checks that no span holds the code or any of the secrets, nor a number.
func (r *receiver) private(t *testing.T, code string, secrets ...string) {
	t.Helper()
	for _, s := range r.spans {
		text := s.String()
		if leaktest.Tells(text, code) {
			t.Errorf("a span tells the code %q: %s", code, text)
		}
		for _, secret := range append(secrets, number[1:], "hostile") {
			if strings.Contains(text, secret) {
				t.Errorf("a span tells %q: %s", secret, text)
			}
		}
	}
}

// TestCallerCannotForceSampling has a caller ask for more traces than it gets, and one
// whose traceparent is no use.
func TestCallerCannotForceSampling(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := testserver.Start(t, testserver.Options{Env: []string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + r.URL + "/in", "OTEL_TRACES_SAMPLER=parentbased_always_off",
	}})
	get := func(parents ...string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+api.PathJWKS, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Traceparent"] = parents
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	wish := "00-" + callerTrace + "-" + callerSpan + "-01"
	const twiceTrace = "0123456789abcdef0123456789abcdef"
	twice := "00-" + twiceTrace + "-" + callerSpan + "-01"
	for _, hostile := range [][]string{nil, {""}, {"00-x"}, {strings.Repeat("0", 4000)}, {twice, twice}, {"00-" + callerTrace + "-" + callerSpan + "-00"}} {
		get(hostile...)
	}
	begun := time.Now()
	const asked = 400
	for range asked {
		get(wish)
	}
	most := 50 + 10*int(time.Since(begun)/time.Second+1)
	s.Stop()
	if got := len(r.named("GET " + api.PathJWKS)); got == 0 || got > most*max(1, len(s.Nodes())) || got >= asked {
		t.Errorf("%d of %d requests were traced, want some and at most %d", got, asked, most)
	}
	for _, span := range r.named("GET " + api.PathJWKS) {
		if hex.EncodeToString(span.GetTraceId()) == twiceTrace {
			t.Error("a traceparent that came twice was taken")
		}
	}
	if r.path != "/in" {
		t.Errorf("spans went to %q, want the path as given", r.path)
	}
}

// TestFailingReceiver has receivers that refuse, hang, or are not there; requests and
// the end of the server go on as ever.
func TestFailingReceiver(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-hang
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hang) })
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat("no\n", 100_000))
	}))
	t.Cleanup(refusing.Close)
	for name, url := range map[string]string{"refuses": refusing.URL, "hangs": hanging.URL, "is gone": "http://" + addresstest.Refusing} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testserver.Start(t, testserver.Options{Env: []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_BSP_SCHEDULE_DELAY=10",
			}})
			signIn(t, s, "", func() {})
			begun := time.Now()
			s.Stop()
			if took := time.Since(begun); took > waittest.Slack*endLimit {
				t.Errorf("the server took %v to end", took)
			}
			log := s.Log()
			if n := strings.Count(log, "traces do not arrive"); n > len(s.Nodes()) || name == "refuses" && n == 0 {
				t.Errorf("%d lines say that traces do not arrive, want one a minute", n)
			}
			for line := range strings.Lines(log) {
				if len(line) > 2000 {
					t.Errorf("a line of the log has %d bytes", len(line))
				}
			}
		})
	}
}
