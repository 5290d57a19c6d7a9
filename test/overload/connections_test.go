package overload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	lazy = 1000
	// lazyLimit is longer than the server waits for a header (5 s) or a body (10 s).
	lazyLimit = waittest.Slack * 10 * time.Second
)

// TestLazyConnections holds a thousand connections that say nothing, a part of
// a header, a header byte by byte, or half a body. Others are served as if they
// were not there, and the server hangs up on every one of them.
func TestLazyConnections(t *testing.T) {
	t.Parallel()
	server := testserver.Start(t, testserver.Options{})
	host := strings.TrimPrefix(server.URL, "http://")
	halfBody := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		api.PathSend, api.HeaderClientID, server.Live.ID, api.HeaderClientSecret, server.Live.Secret)
	kinds := []string{"", "POST /v1/auth/otp/sms:send HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nX-Slow: ", halfBody}
	conns := make([]net.Conn, lazy)
	for i := range conns {
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		conns[i] = conn
		if _, err := io.WriteString(conn, kinds[i%len(kinds)]); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go trickle(ctx, conns)
	began := time.Now()
	median, slowest := normalService(t, server)
	if median > waittest.Slack*250*time.Millisecond {
		t.Errorf("beside %d lazy connections a send takes %s", lazy, median)
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			if err := hungUp(conn, began.Add(lazyLimit)); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	all.Wait()
	t.Logf("overload: beside %d lazy connections sends took %s, %s at most; the server had hung up on all of them after %s",
		lazy, median.Round(time.Microsecond), slowest.Round(time.Microsecond), time.Since(began).Round(100*time.Millisecond))
}

// trickle sends one more byte of a header now and then, as slow-loris does.
func trickle(ctx context.Context, conns []net.Conn) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		for i := 2; i < len(conns); i += 4 {
			_, _ = conns[i].Write([]byte("x")) // fails once the server has hung up
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// normalService sends 200 times, one after the other.
func normalService(t *testing.T, s *testserver.Server) (median, slowest time.Duration) {
	t.Helper()
	c := s.Client(s.Live)
	took := make([]time.Duration, 200)
	for i := range took {
		began := time.Now()
		if _, err := c.Send(t.Context(), number(i)); err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)-1]
}

// hungUp waits until the other side has closed, whatever it says before.
func hungUp(conn net.Conn, deadline time.Time) error {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("still open after %s", lazyLimit)
	}
	return nil // closed or reset
}
