package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/addresstest"
)

// step is one scripted answer; an error when status is 0.
type step struct {
	status int
	code   api.Code
	wait   int // Retry-After in seconds
	err    error
}

var (
	errCut  = io.ErrUnexpectedEOF
	errDial = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
	errRead = &net.OpError{Op: "read", Net: "tcp", Err: errors.New("reset")}
)

// script is a RoundTripper that plays steps; the last one stays.
type script struct {
	steps []step
	keys  []string
	at    []time.Duration
	begin time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	now := s.steps[min(len(s.at), len(s.steps)-1)]
	s.at = append(s.at, time.Since(s.begin))
	s.keys = append(s.keys, r.Header.Get(api.HeaderIdempotencyKey))
	if r.Body != nil {
		_ = r.Body.Close()
	}
	if now.status == 0 {
		return nil, now.err
	}
	body := `{"phoneId":"p","sessionJwt":"a.b.c","sessionId":"s"}`
	if now.status != 200 {
		body = problem(now.code, "")
	}
	resp := &http.Response{StatusCode: now.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
	if now.wait > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(now.wait))
	}
	return resp, nil
}

func TestRetries(t *testing.T) {
	ok := step{status: 200}
	busy := step{status: 503, code: api.CodeUnavailable, wait: 2}
	running := step{status: 409, code: api.CodeInProgressIdempotencyKey, wait: 1}
	for _, tc := range []struct {
		name           string
		steps          []step
		send, auth     int           // tries
		sendOK, authOK bool          // outcome
		atLeast        time.Duration // of send
	}{
		{"fine", []step{ok}, 1, 1, true, true, 0},
		{"cut", []step{{err: errCut}, {err: errRead}, ok}, 3, 1, true, false, 100 * time.Millisecond},
		{"cut for good", []step{{err: errCut}}, 4, 1, false, false, 0},
		{"refused", []step{{err: errDial}, ok}, 2, 2, true, true, 50 * time.Millisecond},
		{"refused, then cut", []step{{err: errDial}, {err: errCut}, ok}, 3, 2, true, false, 0},
		{"busy", []step{busy, busy, ok}, 3, 1, true, false, 4 * time.Second},
		{"busy for long", []step{{status: 503, code: api.CodeUnavailable, wait: 31}, ok}, 1, 1, false, false, 0},
		{"running", []step{running, ok}, 2, 1, true, false, time.Second},
		{"another conflict", []step{{status: 409, code: "OTHER"}, ok}, 1, 1, false, false, 0},
		{"proxy", []step{{status: 502}, {status: 504}, {status: 503}, ok}, 4, 1, true, false, 0},
		{"limit", []step{{status: 429, code: api.CodeExceedsLimitSMS, wait: 1}, ok}, 1, 1, false, false, 0},
		{"fault", []step{{status: 500, code: api.CodeInternal}, ok}, 1, 1, false, false, 0},
		{"refusal", []step{{status: 401, code: api.CodeInvalidClientSecret}, ok}, 1, 1, false, false, 0},
		{"other body", []step{{status: 422, code: api.CodeInvalidIdempotencyKey}, ok}, 1, 1, false, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, c := scripted(t, tc.steps)
				_, err := c.Send(t.Context(), phone)
				if len(s.at) != tc.send || (err == nil) != tc.sendOK {
					t.Errorf("send: %d tries, %v; want %d, success %v", len(s.at), err, tc.send, tc.sendOK)
				}
				if took := time.Since(s.begin); took < tc.atLeast || took > tc.atLeast+3*time.Second {
					t.Errorf("send took %v, want little more than %v", took, tc.atLeast)
				}
				for _, key := range s.keys {
					if key == "" || key != s.keys[0] {
						t.Errorf("keys %q, want one for all tries", s.keys)
					}
				}
				s, c = scripted(t, tc.steps)
				_, err = c.Authenticate(t.Context(), "p", "123456")
				if len(s.at) != tc.auth || (err == nil) != tc.authOK {
					t.Errorf("authenticate: %d tries, %v; want %d, success %v", len(s.at), err, tc.auth, tc.authOK)
				}
				s, c = scripted(t, tc.steps)
				if _, err = c.Session(t.Context()); len(s.at) != tc.send || (err == nil) != tc.sendOK {
					t.Errorf("session: %d tries, %v; want %d, success %v", len(s.at), err, tc.send, tc.sendOK)
				}
			})
		})
	}
}

func scripted(t *testing.T, steps []step) (*script, *client.Client) {
	t.Helper()
	s := &script{steps: steps, begin: time.Now()}
	return s, build(t, client.Config{
		BaseURL: "https://otp.example.com", ClientID: id, ClientSecret: secret, HTTPClient: &http.Client{Transport: s},
	})
}

func TestContextEndsWaiting(t *testing.T) {
	busy := []step{{status: 503, code: api.CodeUnavailable, wait: 5}}
	synctest.Test(t, func(t *testing.T) {
		s, c := scripted(t, busy)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		_, err := c.Send(ctx, phone)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, api.CodeUnavailable) || time.Since(s.begin) != 2*time.Second {
			t.Errorf("got %v after %v", err, time.Since(s.begin))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, c := scripted(t, busy)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		_, err := c.Send(ctx, phone)
		if !errors.Is(err, api.CodeUnavailable) || time.Since(s.begin) != 0 {
			t.Errorf("got %v after %v, want the answer at once: the wait outlasts the caller", err, time.Since(s.begin))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s, c := scripted(t, []step{{err: context.Canceled}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Send(ctx, phone); !errors.Is(err, context.Canceled) || len(s.at) > 1 {
			t.Errorf("got %v after %d tries of an ended context", err, len(s.at))
		}
	})
}

// cut ends the connection once a part of an answer was written.
func cut(t *testing.T, w http.ResponseWriter, part string) {
	t.Helper()
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = buf.WriteString(part)
	_ = buf.Flush()
	_ = conn.Close()
}

// TestCutConnections works on real connections: whatever part of the answer
// was lost, send gets through with one key and an attempt is made once.
func TestCutConnections(t *testing.T) {
	for _, part := range []string{
		"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"phoneId\":",
	} {
		var tries atomic.Int32
		keys := make(chan string, 16)
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if r.URL.Path == api.PathSend {
				keys <- r.Header.Get(api.HeaderIdempotencyKey)
			}
			if tries.Add(1) < 3 {
				cut(t, w, part)
				return
			}
			reply(w, 200, `{"phoneId":"p","phoneMask":"0000"}`)
		})
		if _, err := c.Send(t.Context(), phone); err != nil || tries.Load() != 3 {
			t.Errorf("%q: send after %d tries: %v", part, tries.Load(), err)
		}
		if a, b, d := <-keys, <-keys, <-keys; a != b || b != d {
			t.Errorf("%q: keys %s %s %s", part, a, b, d)
		}
		tries.Store(0)
		if _, err := c.Authenticate(t.Context(), "p", "123456"); err == nil || tries.Load() != 1 {
			t.Errorf("%q: authenticate: %d tries, %v", part, tries.Load(), err)
		}
	}
}

func TestHang(t *testing.T) {
	var tries atomic.Int32
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done() // until the client hangs up
			return
		}
		reply(w, 200, `{"phoneId":"p","phoneMask":"0000"}`)
	}, func(cfg *client.Config) { cfg.AttemptTimeout = 100 * time.Millisecond })
	if _, err := c.Send(t.Context(), phone); err != nil || tries.Load() != 2 {
		t.Errorf("send: %d tries, %v", tries.Load(), err)
	}
	tries.Store(0)
	if _, err := c.Authenticate(t.Context(), "p", "1"); !errors.Is(err, context.DeadlineExceeded) || tries.Load() != 1 {
		t.Errorf("authenticate: %d tries, %v", tries.Load(), err)
	}
}

func TestEndlessAnswer(t *testing.T) {
	for _, status := range []int{200, 400} {
		gone := make(chan struct{})
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			defer close(gone)
			w.WriteHeader(status)
			for page := make([]byte, 32<<10); ; {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		})
		_, err := c.Send(t.Context(), phone)
		if e, ok := errors.AsType[*client.Error](err); status == 200 && !errors.Is(err, client.ErrBadAnswer) || status == 400 && (!ok || e.Status != 400) {
			t.Errorf("%d: got %v", status, err)
		}
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Errorf("%d: the client still reads", status)
		}
	}
}

func TestRedirectIsRefused(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed with %v", r.Header)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		given := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
		tries := 0
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			tries++
			http.Redirect(w, r, other.URL, status)
		}, func(cfg *client.Config) { cfg.HTTPClient = given })
		_, err := c.Send(t.Context(), phone)
		if e, ok := errors.AsType[*client.Error](err); !errors.Is(err, client.ErrRedirect) || !ok || e.Status != status || tries != 1 {
			t.Errorf("%d: got %v after %d tries", status, err, tries)
		}
		if given.CheckRedirect(nil, nil) != nil {
			t.Error("the caller's client was changed")
		}
	}
}

func TestCertificateIsNotRetried(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came through") }))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	defer srv.Close()
	var dials atomic.Int32
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	c := build(t, client.Config{
		BaseURL: srv.URL, ClientID: id, ClientSecret: secret, InitialWait: time.Millisecond, HTTPClient: &http.Client{Transport: tr},
	})
	if _, err := c.Send(t.Context(), phone); err == nil || dials.Load() != 1 {
		t.Errorf("got %v after %d dials", err, dials.Load())
	}
}

// TestDeadPort: nothing was sent, so that even an attempt is repeated.
func TestDeadPort(t *testing.T) {
	var dials atomic.Int32
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	c := build(t, client.Config{
		BaseURL: "http://" + addresstest.Refusing, ClientID: id, ClientSecret: secret, InitialWait: time.Millisecond, HTTPClient: &http.Client{Transport: tr},
	})
	if _, err := c.Authenticate(t.Context(), "p", "123456"); err == nil || dials.Load() != client.DefaultMaxTries {
		t.Errorf("got %v after %d dials", err, dials.Load())
	}
}
