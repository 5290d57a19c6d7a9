package overload_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/waittest"
)

const (
	drainSends = 300
	drainLimit = 20 * time.Second // as the contract says
)

// TestTermination ends a server with SIGTERM while it works: requests that had
// begun are answered, new ones are not taken, it exits with 0, and each message
// that was accepted has been delivered or is still queued.
func TestTermination(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	p := launch(t, "dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data)
	env := map[string]string{}
	p.eventually("dev.env appears", func() bool {
		raw, err := os.ReadFile(filepath.Join(data, "dev.env"))
		for line := range strings.Lines(string(raw)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			env[name] = value
		}
		return err == nil
	})
	host := strings.TrimPrefix(env["CODEWORD_URL"], "http://")
	c, err := client.New(client.Config{
		BaseURL: env["CODEWORD_URL"], ClientID: env["CODEWORD_LIVE_CLIENT_ID"],
		ClientSecret: client.Secret(env["CODEWORD_LIVE_CLIENT_SECRET"]), MaxTries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range drainSends {
		if _, err := c.Send(t.Context(), number(i)); err != nil {
			t.Fatal(err)
		}
	}
	slow := beginSend(t, host, env)
	p.signal(syscall.SIGTERM)
	began := time.Now()
	p.eventually("it takes no new requests", func() bool { return !isReady(t, env["CODEWORD_URL"]) })
	finishSend(t, slow)
	if code := p.exit(drainLimit + waittest.Slack*time.Second); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	took := time.Since(began)
	total := count(t, data, "SELECT COUNT(*) FROM messages")
	done := count(t, data, "SELECT COUNT(*) FROM messages WHERE status IN (2, 3)")
	waiting := count(t, data, "SELECT COUNT(*) FROM messages WHERE status = 1 AND due_at IS NOT NULL")
	if total != drainSends+1 || done+waiting != total {
		t.Errorf("%d messages were accepted: %d are in the log, %d delivered, %d queued", drainSends+1, total, done, waiting)
	}
	t.Logf("overload: SIGTERM → exit 0 after %s with a request in flight; of %d messages %d were delivered and %d kept",
		took.Round(time.Millisecond), total, done, waiting)
}

// beginSend sends a request without the last byte of its body.
func beginSend(t *testing.T, host string, env map[string]string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	body := fmt.Sprintf(`{"phoneNumber":"%s"`, number(drainSends))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		api.PathSend, api.HeaderClientID, env["CODEWORD_LIVE_CLIENT_ID"], api.HeaderClientSecret, env["CODEWORD_LIVE_CLIENT_SECRET"],
		len(body)+1, body)
	if err != nil {
		t.Fatal(err)
	}
	// net/http must have seen the header before the end comes: the answer to
	// another request on a later connection shows that it had its turn.
	for range 3 {
		isReady(t, "http://"+host)
	}
	return conn
}

// finishSend sends the last byte and wants a 200.
func finishSend(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := io.WriteString(conn, "}"); err != nil {
		t.Fatalf("the request in flight was cut off: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("the request in flight was not answered: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the request in flight: %s", resp.Status)
	}
}

// isReady asks on a connection of its own.
func isReady(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+api.PathReady, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: waittest.Patience}).Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
