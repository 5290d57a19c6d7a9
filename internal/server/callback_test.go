package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"codeword/api"
	"codeword/internal/carrier"
	"codeword/internal/fault"
	"codeword/internal/server"
)

// signed is what the fake carrier takes for its signature.
const signed = "X-Fake-Signature: good"

// fakeCarriers know the routes "main", whose carrier reports over HTTP, and
// "silent", whose carrier does not. They keep what was handed in.
type fakeCarriers struct {
	mu    sync.Mutex
	taken map[string]int // by route and reference
	bytes int
	err   error
}

func (f *fakeCarriers) Callback(route string) (carrier.Callback, bool) {
	if route != "main" {
		return nil, false
	}
	return f, true
}

// ReadCallback takes a list of references, a line each.
func (f *fakeCarriers) ReadCallback(r *http.Request, body []byte) (reports carrier.Reports, err error) {
	f.mu.Lock()
	f.bytes += len(body)
	f.mu.Unlock()
	switch r.Header.Get("X-Fake-Signature") {
	case "good":
	case "old":
		return reports, fmt.Errorf("of +16502530000: %w", carrier.ErrStale)
	case "unsure":
		return reports, errors.New("no certificate for +16502530000")
	case "panic":
		panic("index out of range")
	default:
		return reports, fmt.Errorf("of +16502530000: %w", carrier.ErrForged)
	}
	for line := range strings.Lines(string(body)) {
		if line == "nonsense" {
			return carrier.Reports{}, fmt.Errorf("%s +16502530000: %w", line, carrier.ErrMalformed)
		}
		reports.Receipts = append(reports.Receipts, carrier.DeliveryReceipt{Ref: strings.TrimSpace(line), Status: carrier.ReceiptDelivered})
	}
	return reports, nil
}

func (f *fakeCarriers) Handle(_ context.Context, route string, r carrier.Reports) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.taken == nil {
		f.taken = map[string]int{}
	}
	for _, d := range r.Receipts {
		f.taken[route+" "+d.Ref]++
	}
	return nil
}

func (f *fakeCarriers) count(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken[key]
}

var mainEvents = api.CarrierEventsPath("main")

func TestCallbacks(t *testing.T) {
	f := newFixture(t, nil)
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		err                      error
		status                   int
		code                     api.Code
		result                   string
	}{
		{"JSON", "POST", mainEvents, "ref-1", []string{signed}, nil, 204, "", "taken"},
		{"plain text", "POST", mainEvents, "ref-2", []string{signed, "-Content-Type", "Content-Type: text/plain; charset=UTF-8"}, nil, 204, "", "taken"},
		{"no media type", "POST", mainEvents, "ref-3", []string{signed, "-Content-Type"}, nil, 204, "", "taken"},
		{"form", "POST", mainEvents, "ref-4", []string{signed, "-Content-Type", form + "; charset=utf-8"}, nil, 200, "", "taken"},
		{"nothing to tell", "POST", mainEvents, "", []string{signed}, nil, 204, "", "taken"},
		{"no client credentials", "POST", mainEvents, "ref-5", []string{signed, "-Ratio-Client-Id", "-Ratio-Client-Secret"}, nil, 204, "", "taken"},
		{"as large as may be", "POST", mainEvents, strings.Repeat("x", api.MaxCallbackBytes), []string{signed}, nil, 204, "", "taken"},

		{"not signed", "POST", mainEvents, "ref-6", nil, nil, 401, api.CodeInvalidSignature, "forged"},
		{"forged", "POST", mainEvents, "ref-6", []string{"X-Fake-Signature: bad"}, nil, 401, api.CodeInvalidSignature, "forged"},
		{"stale", "POST", mainEvents, "ref-6", []string{"X-Fake-Signature: old"}, nil, 401, api.CodeInvalidSignature, "stale"},
		{"malformed", "POST", mainEvents, "nonsense", []string{signed}, nil, 400, api.CodeInvalidBody, "malformed"},
		{"malformed for the intake", "POST", mainEvents, "ref-6", []string{signed}, fmt.Errorf("too many: %w", carrier.ErrMalformed), 400, api.CodeInvalidBody, "malformed"},
		{"not to be checked now", "POST", mainEvents, "ref-6", []string{"X-Fake-Signature: unsure"}, nil, 503, api.CodeUnavailable, "failed"},
		{"store down", "POST", mainEvents, "ref-6", []string{signed}, fault.New(fault.Unavailable, "disk is full"), 503, api.CodeUnavailable, "failed"},
		{"broken", "POST", mainEvents, "ref-6", []string{signed}, errors.New("odd"), 500, api.CodeInternal, "failed"},
		{"panic", "POST", mainEvents, "ref-6", []string{"X-Fake-Signature: panic"}, nil, 500, api.CodeInternal, ""},

		{"too large", "POST", mainEvents, strings.Repeat("x", api.MaxCallbackBytes+1), []string{signed}, nil, 413, api.CodeInvalidBody, ""},
		{"compressed", "POST", mainEvents, "ref-6", []string{signed, "Content-Encoding: gzip"}, nil, 415, api.CodeInvalidBody, ""},
		{"unknown route", "POST", api.CarrierEventsPath("other"), "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"carrier without callbacks", "POST", api.CarrierEventsPath("silent"), "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"hostile route", "POST", api.CarrierEventsPath("main/../\x00"), "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"slash in the route", "POST", "/v1/carriers/ma%2Fin/events", "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"huge route", "POST", api.CarrierEventsPath(strings.Repeat("r", 8<<10)), "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"no route", "POST", "/v1/carriers//events", "ref-6", []string{signed}, nil, 404, api.CodeNotFoundEndpoint, ""},
		{"GET", "GET", mainEvents, "", []string{signed}, nil, 405, api.CodeMethodNotAllowed, ""},
		{"PUT on no route", "PUT", api.CarrierEventsPath("other"), "", []string{signed}, nil, 405, api.CodeMethodNotAllowed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.t, f.carriers.err = t, c.err
			before := results(t, f)
			got := f.do(c.method, c.path, c.body, c.headers...)
			if got.status != c.status || got.err.Code != c.code {
				t.Fatalf("%d %.200s, want %d %s", got.status, got.body, c.status, c.code)
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", got.header)
			}
			if (got.status == 401) != (got.header.Get("WWW-Authenticate") != "") || (got.status == 503) != (got.header.Get("Retry-After") != "") {
				t.Errorf("headers %v", got.header)
			}
			if got.status == 200 && (got.body != "<Response/>" || got.header.Get("Content-Type") != "text/xml") {
				t.Errorf("a form is answered %q, %s", got.body, got.header.Get("Content-Type"))
			}
			after := results(t, f)
			for _, name := range []string{"taken", "forged", "stale", "malformed", "failed"} {
				want := before[name]
				if name == c.result {
					want++
				}
				if after[name] != want {
					t.Errorf("%s callbacks: %v, want %v", name, after[name], want)
				}
			}
		})
	}
	for n := range 5 {
		if key := "main ref-" + strconv.Itoa(n+1); f.carriers.count(key) != 1 {
			t.Errorf("%s was taken %d times", key, f.carriers.count(key))
		}
	}
	if n := f.carriers.count("main ref-6"); n != 0 {
		t.Errorf("what was refused was taken %d times", n)
	}
	text := f.log.String()
	if strings.Contains(text, "6502530000") || strings.Contains(text, "nonsense") {
		t.Error("the log quotes a callback")
	}
	for _, want := range []string{`"carrier_route":"main"`, "forged callback", "stale callback", "malformed callback"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(text, `"carrier_route":"other"`) || strings.Contains(text, "rrrr") {
		t.Error("the log repeats what strangers made up")
	}
}

// results are the callbacks counted so far, by what became of them.
func results(t *testing.T, f *fixture) map[string]float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "codeword_carrier_callbacks_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["route"] != "main" {
				t.Errorf("a series for route %q", labels["route"])
			}
			out[labels["result"]] = m.GetCounter().GetValue()
		}
	}
	return out
}

// TestForgedAndStaleLookAlike: what is wrong with a signature is ours to know.
func TestForgedAndStaleLookAlike(t *testing.T) {
	f := newFixture(t, nil)
	forged := f.do("POST", mainEvents, "x", "X-Fake-Signature: bad")
	stale := f.do("POST", mainEvents, "x", "X-Fake-Signature: old")
	if forged.status != stale.status || forged.body != stale.body {
		t.Errorf("%d %s\n%d %s", forged.status, forged.body, stale.status, stale.body)
	}
}

// TestConcurrentCallbacks: bodies of requests that run at once do not mix, and
// a repeated callback is handed on as often as it comes.
func TestConcurrentCallbacks(t *testing.T) {
	f := newFixture(t, nil)
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			body := strings.Repeat("ref-"+strconv.Itoa(k)+"\n", 50*(k+1))
			for range 4 {
				if got := f.do("POST", mainEvents, body, signed); got.status != 204 {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	wg.Wait()
	for k := range 16 {
		if key := "main ref-" + strconv.Itoa(k); f.carriers.count(key) != 4*50*(k+1) {
			t.Errorf("%s: %d times", key, f.carriers.count(key))
		}
	}
	if len(f.carriers.taken) != 16 {
		t.Errorf("%d references, want 16", len(f.carriers.taken))
	}
}

// TestStrangersCostNoReading: the body of a callback to no route is not looked
// at, nor is there any route without collaborators.
func TestStrangersCostNoReading(t *testing.T) {
	f := newFixture(t, nil)
	f.do("POST", api.CarrierEventsPath("other"), strings.Repeat("x", 60<<10), signed)
	if f.carriers.bytes != 0 {
		t.Errorf("%d bytes were read", f.carriers.bytes)
	}
	f = newFixture(t, func(c *server.Config) { c.Callbacks, c.Intake = nil, nil })
	if got := f.do("POST", mainEvents, "x", signed); got.status != 404 || got.err.Code != api.CodeNotFoundEndpoint {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestCallbacksAreBounded: callbacks whose bodies do not come take no more than
// their share, and keep nobody else out.
func TestCallbacksAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	body, feed := io.Pipe()
	var begun, ended sync.WaitGroup
	for range 1024 {
		begun.Add(1)
		r := httptest.NewRequest(http.MethodPost, mainEvents, &slowBody{begun: begun.Done, rest: body})
		ended.Go(func() { f.server.Handler().ServeHTTP(httptest.NewRecorder(), r) })
	}
	begun.Wait()
	if got := f.do("POST", mainEvents, "ref-1", signed); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s", got.status, got.body)
	}
	if got := f.do("POST", api.PathSend, goodSend); got.status != 200 {
		t.Errorf("a send meanwhile: %d %s", got.status, got.body)
	}
	_ = feed.Close()
	ended.Wait()
	if got := f.do("POST", mainEvents, "ref-1", signed); got.status != 204 {
		t.Errorf("after them: %d %s", got.status, got.body)
	}
}

// slowBody tells when it is first read, and then has to be waited for.
type slowBody struct {
	begun func()
	rest  io.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.begun != nil {
		b.begun()
		b.begun = nil
	}
	return b.rest.Read(p)
}
