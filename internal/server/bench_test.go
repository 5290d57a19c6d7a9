package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/api"
	"codeword/internal/otp"
	"codeword/internal/server"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// instantOTP costs nothing, so that what is measured is the edge.
type instantOTP struct{}

func (instantOTP) Send(context.Context, otp.SendRequest) (otp.SendResult, error) {
	return otp.SendResult{PhoneID: testPhone, PhoneMask: "1234"}, nil
}

func (instantOTP) Authenticate(context.Context, otp.AuthenticateRequest) (store.Session, error) {
	return store.Session{}, nil
}

func (instantOTP) PhoneID(*tenant.Client, store.PhoneID) string { return testPhone }

// oneClient is a registry whose lookup costs nothing.
type oneClient struct{ client *tenant.Client }

func (c oneClient) Authenticate(string, string) (*tenant.Client, error) { return c.client, nil }

// sink is a response writer that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkHandler measures the edge alone: no net/http, no domain, no store.
func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct {
		name, path, body string
		log              slog.Handler
		inFlight         int
		status           int
	}{
		{"send", api.PathSend, goodSend, slog.NewJSONHandler(io.Discard, nil), 0, 200},
		{"send/nolog", api.PathSend, goodSend, slog.DiscardHandler, 0, 200},
		{"authenticate", api.PathAuthenticate, goodAuth, slog.NewJSONHandler(io.Discard, nil), 0, 200},
		{"refused", api.PathSend, "{}", slog.NewJSONHandler(io.Discard, nil), 0, 400},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := server.New(server.Config{
				Clients: oneClient{&tenant.Client{ID: testID, Settings: tenant.Defaults()}}, OTP: instantOTP{},
				Sessions: &fakeSessions{}, Health: &fakeHealth{}, Registry: prometheus.NewRegistry(), Log: slog.New(c.log),
			})
			if err != nil {
				b.Fatal(err)
			}
			h := s.Handler()
			req, err := http.NewRequestWithContext(b.Context(), "POST", "http://x"+c.path, nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header = http.Header{
				"Ratio-Client-Id": {testID}, "Ratio-Client-Secret": {testSecret}, "Content-Type": {"application/json"},
			}
			w := &sink{header: http.Header{}}
			body := strings.NewReader(c.body)
			req.Body, req.ContentLength = io.NopCloser(body), int64(len(c.body))
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(c.body)
				clear(w.header)
				h.ServeHTTP(w, req)
			}
			if w.status != c.status {
				b.Fatalf("status %d", w.status)
			}
		})
	}
}

// BenchmarkShed measures the refusal of a full gate.
func BenchmarkShed(b *testing.B) {
	entered, release := make(chan struct{}), make(chan struct{})
	blocking := &fakeOTP{send: func(context.Context, otp.SendRequest) (otp.SendResult, error) {
		close(entered)
		<-release
		return otp.SendResult{}, nil
	}}
	s, err := server.New(server.Config{
		Clients: fakeClients{}, OTP: blocking, Sessions: &fakeSessions{}, Health: &fakeHealth{},
		MaxInFlight: 1, Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	request := func() *http.Request {
		req, err := http.NewRequestWithContext(b.Context(), "POST", "http://x"+api.PathSend, strings.NewReader(goodSend))
		if err != nil {
			b.Fatal(err)
		}
		req.Header = http.Header{
			"Ratio-Client-Id": {testID}, "Ratio-Client-Secret": {testSecret}, "Content-Type": {"application/json"},
		}
		return req
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handler().ServeHTTP(&sink{header: http.Header{}}, request())
	}()
	<-entered
	req, w := request(), &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		s.Handler().ServeHTTP(w, req)
	}
	if w.status != http.StatusServiceUnavailable {
		b.Fatalf("status %d", w.status)
	}
	close(release)
	<-done
}
