// Package providertest is a scripted counterpart for what asks a provider over HTTP:
// a server on this machine that answers as told, well or badly.
package providertest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Request is one that the server read to its end.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   string
}

// Form is the request's body as a form.
func (r *Request) Form(tb testing.TB) url.Values {
	tb.Helper()
	v, err := url.ParseQuery(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Answer is what the server does with a request.
type Answer func(w http.ResponseWriter, r *http.Request, over <-chan struct{})

// JSON answers with a status and a document.
func JSON(status int, body string) Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Redirect leads to another URL.
func Redirect(to string) Answer {
	return func(w http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	}
}

// Slow never answers.
func Slow() Answer {
	return func(_ http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}
}

// Cut ends the connection instead of an answer.
func Cut() Answer {
	return func(http.ResponseWriter, *http.Request, <-chan struct{}) { panic(http.ErrAbortHandler) }
}

// Flood begins as JSON may and goes on until the client has had enough.
func Flood() Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		_, err := io.WriteString(w, `{"x":"`)
		for n := 0; err == nil && n < 1<<12; n++ {
			_, err = io.WriteString(w, strings.Repeat("x", 16<<10))
		}
	}
}

// Garbage is a web page.
func Garbage() Answer {
	return func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
		_, _ = io.WriteString(w, "<html><body>It works!</body></html>")
	}
}

// Failures are the ways in which any provider may fail to answer, by name, with the
// reason that package carrier has for each. "slow" wants a deadline.
func Failures() map[string]struct {
	Answer Answer
	Reason string
} {
	type failure = struct {
		Answer Answer
		Reason string
	}
	return map[string]failure{
		"unauthorized": {JSON(http.StatusUnauthorized, `{}`), "misconfigured"},
		"forbidden":    {JSON(http.StatusForbidden, `{}`), "misconfigured"},
		"no such path": {JSON(http.StatusNotFound, `{}`), "misconfigured"},
		"too many":     {JSON(http.StatusTooManyRequests, `{}`), "throttled"},
		"broken":       {JSON(http.StatusInternalServerError, `{}`), "carrier_error"},
		"down":         {JSON(http.StatusServiceUnavailable, `{}`), "unavailable"},
		"slow":         {Slow(), "timeout"},
		"cut":          {Cut(), "connection_lost"},
		"flood":        {Flood(), "unexpected_answer"},
		"garbage":      {Garbage(), "unexpected_answer"},
		"empty":        {JSON(http.StatusOK, ``), "unexpected_answer"},
		"redirect":     {Redirect("http://127.0.0.1:1/"), "misconfigured"},
	}
}

// Server answers by its script. It may be used concurrently.
type Server struct {
	// URL is where it listens, over plain HTTP on loopback.
	URL string

	mu       sync.Mutex
	script   []Answer
	requests []Request
}

// New starts a server that gives the answers one after the other, the last of them
// again and again. It ends with the test.
func New(tb testing.TB, script ...Answer) *Server {
	tb.Helper()
	s := &Server{script: script}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next := s.next(r); next != nil {
			next(w, r, over)
		}
	}))
	tb.Cleanup(func() {
		close(over)
		server.CloseClientConnections()
		server.Close()
	})
	s.URL = server.URL
	return s
}

func (s *Server) next(r *http.Request) Answer {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Method: r.Method, URL: r.URL.String(), Header: r.Header.Clone(), Body: string(body)})
	next := s.script[0]
	if len(s.script) > 1 {
		s.script = s.script[1:]
	}
	return next
}

// Answer goes on with another script.
func (s *Server) Answer(script ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Requests are those so far, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}
