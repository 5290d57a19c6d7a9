package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPanicAfterTheAnswerBeganBreaksIt: half an answer must not look whole.
func TestPanicAfterTheAnswerBeganBreaksIt(t *testing.T) {
	var log bytes.Buffer
	s, err := New(Config{
		Clients: struct{ Clients }{}, OTP: struct{ OTP }{}, Sessions: struct{ Sessions }{}, Health: struct{ Health }{},
		Log: slog.New(slog.NewJSONHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.register([]endpoint{{http.MethodGet, "/late", func(x *exchange) error {
		x.Header().Set("Content-Length", "100")
		_, _ = x.Write([]byte("begun"))
		panic("late")
	}}})
	ts := httptest.NewServer(s.Handler())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+"/late", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the answer looks whole")
	}
	ts.Close() // the log is complete now
	if !strings.Contains(log.String(), "panic: late") || !strings.Contains(log.String(), `"status":500`) {
		t.Errorf("log: %s", log.String())
	}
	if n := s.gate.in.Load(); n != 0 {
		t.Errorf("%d places at the gate are still held", n)
	}
}
