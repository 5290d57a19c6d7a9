package carriertest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Server is the HTTPS counterpart of a carrier that speaks HTTP. It answers
// with the provider's documented answers, one readable file for each behavior.
type Server struct {
	// URL is where it listens.
	URL string

	tb       testing.TB
	cfg      ServerConfig
	tls      *tls.Config
	over     chan struct{}
	mu       sync.Mutex
	requests []Request
}

// ServerConfig is what a Server needs beyond its behavior.
type ServerConfig struct {
	// Dir has a file NAME.http for each behavior, as Behavior.String names it:
	// a status line, headers, an empty line and the body, each line ended as a
	// text file's are. Of cut-before, cut-after, slow and flood there are none;
	// without garbage.http, garbage is a web page. Default "testdata".
	Dir string
	// IsCheck tells requests of Check from those that send. They are answered
	// with check.http where a send would be accepted, and not counted as
	// received. Default: GET.
	IsCheck func(*http.Request) bool
	// HTTP1 turns HTTP/2 off.
	HTTP1 bool
}

// Request is one that the server read to its end.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
}

// NewServer starts a server with that behavior; it ends with the test.
func NewServer(tb testing.TB, b Behavior, cfg ServerConfig) *Server {
	tb.Helper()
	if cfg.Dir == "" {
		cfg.Dir = "testdata"
	}
	if cfg.IsCheck == nil {
		cfg.IsCheck = func(r *http.Request) bool { return r.Method == http.MethodGet }
	}
	s := &Server{tb: tb, cfg: cfg, over: make(chan struct{})}
	server := httptest.NewUnstartedServer(s.handler(b))
	server.EnableHTTP2 = !cfg.HTTP1
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if b == BehaviorCutBefore {
		server.Listener = hangUp{server.Listener}
	}
	server.StartTLS()
	tb.Cleanup(func() {
		close(s.over)
		server.CloseClientConnections()
		server.Close()
	})
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s.URL, s.tls = server.URL, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return s
}

// Answering returns a Server that gives one answer, a whole HTTP response, to
// each request to send.
func Answering(tb testing.TB, answer []byte) *Server {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, BehaviorAccept.String()+".http"), answer, 0o600); err != nil {
		tb.Fatal(err)
	}
	return NewServer(tb, BehaviorAccept, ServerConfig{Dir: dir})
}

// TLS returns a client's configuration that trusts the server.
func (s *Server) TLS() *tls.Config { return s.tls.Clone() }

// Received counts the requests to send that were read to their ends.
func (s *Server) Received() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// Requests returns the requests to send that were read to their ends, in order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

func (s *Server) handler(b Behavior) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		isCheck := s.cfg.IsCheck(r)
		s.note(r, body, isCheck)
		switch b {
		case BehaviorCutAfter:
			panic(http.ErrAbortHandler) // resets the stream, or the connection
		case BehaviorSlow:
			select {
			case <-s.over:
			case <-r.Context().Done():
			}
		case BehaviorFlood:
			flood(w)
		case BehaviorAccept:
			if isCheck {
				s.replay(w, "check")
				return
			}
			s.replay(w, b.String())
		default:
			s.replay(w, b.String())
		}
	})
}

func (s *Server) note(r *http.Request, body []byte, isCheck bool) {
	if isCheck {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Method: r.Method, URL: r.URL.String(), Header: r.Header.Clone(), Body: body})
}

const page = "HTTP/1.1 200 OK\nContent-Type: text/html\n\n<html><body>It works!</body></html>\n"

// replay answers with a fixture.
func (s *Server) replay(w http.ResponseWriter, name string) {
	raw, err := os.ReadFile(filepath.Join(s.cfg.Dir, name+".http"))
	if errors.Is(err, fs.ErrNotExist) && name == BehaviorGarbage.String() {
		raw, err = []byte(page), nil
	}
	if err != nil {
		s.tb.Errorf("carriertest: %v", err)
		panic(http.ErrAbortHandler)
	}
	head, body, _ := strings.Cut(string(raw), "\n\n")
	head = strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n"
	answer, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head)), nil) //nolint:bodyclose // it has none
	if err != nil {
		s.tb.Errorf("carriertest: %s.http: %v", name, err)
		panic(http.ErrAbortHandler)
	}
	for key, values := range answer.Header {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.WriteString(w, body)
}

// flood begins as JSON may and goes on until the client has had enough.
func flood(w http.ResponseWriter) {
	chunk := bytes.Repeat([]byte("x"), 16<<10)
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, `{"sid":"`)
	for n := 0; err == nil && n < 256<<20; n += len(chunk) {
		_, err = w.Write(chunk)
	}
}

// hangUp ends each connection at once.
type hangUp struct{ net.Listener }

func (l hangUp) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		_ = c.Close()
	}
}
