package rest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/addresstest"
	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/rest"
	"codeword/internal/waittest"
)

func post(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := rest.NewRequest(http.MethodPost, url, "application/json", `{"text":"hello"}`)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnswer(t *testing.T) {
	for _, http1 := range []bool{true, false} {
		s := carriertest.NewServer(t, carriertest.BehaviorAccept, carriertest.ServerConfig{HTTP1: http1})
		c := rest.New(rest.Config{TLS: s.TLS()})
		a, err := c.Do(t.Context(), post(t, s.URL+"/messages?x=1"))
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != http.StatusCreated || !a.OK() || string(a.Body) != "{\"id\": \"1\"}\n" || a.Header.Get("X-Kind") != "fixture" {
			t.Errorf("got %+v", a)
		}
		r := s.Requests()[0]
		if r.URL != "/messages?x=1" || string(r.Body) != `{"text":"hello"}` || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("the server got %+v", r)
		}
	}
}

// TestFaults: whatever happens, the error tells whether the request may have
// arrived, over both versions of HTTP.
func TestFaults(t *testing.T) {
	tests := []struct {
		behavior carriertest.Behavior
		class    carrier.Class
		reason   string
		received int
	}{
		{carriertest.BehaviorCutBefore, carrier.Retryable, carrier.ReasonUnavailable, 0},
		{carriertest.BehaviorCutAfter, carrier.Unknown, carrier.ReasonConnectionLost, 1},
		{carriertest.BehaviorSlow, carrier.Unknown, carrier.ReasonTimeout, 1},
		{carriertest.BehaviorFlood, carrier.Unknown, carrier.ReasonGarbage, 1},
	}
	for _, http1 := range []bool{true, false} {
		for _, tt := range tests {
			t.Run(tt.behavior.String(), func(t *testing.T) {
				s := carriertest.NewServer(t, tt.behavior, carriertest.ServerConfig{HTTP1: http1})
				c := rest.New(rest.Config{TLS: s.TLS()})
				limit := waittest.Patience
				if tt.behavior == carriertest.BehaviorSlow {
					limit = 2 * time.Second // enough for the request to be there
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				_, err := c.Do(ctx, post(t, s.URL))
				e := carrier.Classify(err)
				if e.Class != tt.class || e.Reason != tt.reason {
					t.Errorf("got %v %s (%v), want %v %s", e.Class, e.Reason, e.Cause, tt.class, tt.reason)
				}
				if got := s.Received(); got != tt.received {
					t.Errorf("received %d times, want %d", got, tt.received)
				}
			})
		}
	}
}

func TestUnreachable(t *testing.T) {
	_, err := rest.New(rest.Config{}).Do(t.Context(), post(t, "http://"+addresstest.Refusing))
	if e := carrier.Classify(err); e.Class != carrier.Retryable || e.Reason != carrier.ReasonUnavailable {
		t.Errorf("got %v %s", e.Class, e.Reason)
	}
}

// TestUntrusted: nothing is written to a server that cannot prove its name.
func TestUntrusted(t *testing.T) {
	s := carriertest.NewServer(t, carriertest.BehaviorAccept, carriertest.ServerConfig{})
	_, err := rest.New(rest.Config{}).Do(t.Context(), post(t, s.URL))
	if e := carrier.Classify(err); e.Class != carrier.Retryable || s.Received() != 0 {
		t.Errorf("got %v %s, received %d", e.Class, e.Reason, s.Received())
	}
}

// TestEndedWhileConnecting tells a provider that cannot be reached in time from
// a send that was called off. The listener accepts and says nothing.
func TestEndedWhileConnecting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	c := rest.New(rest.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = c.Do(ctx, post(t, "https://"+l.Addr().String()))
	if e := carrier.Classify(err); e.Class != carrier.Retryable || e.Reason != carrier.ReasonUnavailable {
		t.Errorf("deadline: got %v %s", e.Class, e.Reason)
	}
	(<-accepted).Close()

	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		conn := <-accepted
		cancel()
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}()
	_, err = c.Do(ctx, post(t, "https://"+l.Addr().String()))
	if e := carrier.Classify(err); e.Class != carrier.Retryable || e.Reason != carrier.ReasonCanceled {
		t.Errorf("cancel: got %v %s", e.Class, e.Reason)
	}
}

// TestCutMidAnswer: the status came, the rest did not.
func TestCutMidAnswer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id":`)
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	_, err := rest.New(rest.Config{}).Do(t.Context(), post(t, s.URL))
	if e := carrier.Classify(err); e.Class != carrier.Unknown || e.Reason != carrier.ReasonConnectionLost {
		t.Errorf("got %v %s (%v)", e.Class, e.Reason, e.Cause)
	}
}

// TestRedirect: a message, and our credentials, go where the operator said and
// nowhere else.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			elsewhere.Add(1)
			return
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	a, err := rest.New(rest.Config{}).Do(t.Context(), post(t, s.URL+"/"))
	if err != nil {
		t.Fatal(err)
	}
	if e := a.Failure(time.Now(), nil); e.Reason != carrier.ReasonMisconfigured || elsewhere.Load() != 0 {
		t.Errorf("got %s, %d requests elsewhere", e.Reason, elsewhere.Load())
	}
}

// TestNeverTwice closes connections, idle and busy, at random moments: no
// request that was read arrives again, and those reported as retryable were
// never read.
func TestNeverTwice(t *testing.T) {
	var mu sync.Mutex
	read := make(map[string]int)
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		read[r.Header.Get("X-Id")]++
		mu.Unlock()
		switch n.Add(1) % 5 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.Header().Set("Connection", "close")
		}
	}))
	s.Config.SetKeepAlivesEnabled(true)
	defer s.Close()
	c := rest.New(rest.Config{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				r := post(t, s.URL)
				id := string(rune('A'+w)) + string(rune('a'+i))
				r.Header.Set("X-Id", id)
				_, err := c.Do(t.Context(), r)
				if i%10 == 9 {
					s.CloseClientConnections()
				}
				mu.Lock()
				if e := carrier.Classify(err); e != nil && e.Class == carrier.Retryable && read[id] != 0 {
					t.Errorf("%s arrived, and counts as not sent: %v", id, e.Cause)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, times := range read {
		if times > 1 {
			t.Errorf("%s arrived %d times", id, times)
		}
	}
}

func TestCanceledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := rest.New(rest.Config{}).Do(ctx, post(t, "http://127.0.0.1:1"))
	if e := carrier.Classify(err); e.Class != carrier.Retryable || e.Reason != carrier.ReasonCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v %s", e.Class, e.Reason)
	}
}
