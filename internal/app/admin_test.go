package app_test

import (
	"bufio"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/internal/clocktest"
)

// TestAdminConnections: who opens connection after connection, without a login, does not
// take all that the process may have, and when they go others get in.
func TestAdminConnections(t *testing.T) {
	d, err := startDev(t, filepath.Join(t.TempDir(), "data"), clocktest.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)))
	if err != nil {
		t.Fatal(err)
	}
	const most = 512
	var open []net.Conn
	answered := make(chan error, most+1)
	for range most + 1 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(d.AdminURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
		go func() {
			_, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
			if err == nil {
				_, err = http.ReadResponse(bufio.NewReader(conn), nil)
			}
			answered <- err
		}()
	}
	for range most {
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-answered:
		t.Fatalf("one more was answered: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = open[0].Close()
	if err := <-answered; err != nil {
		t.Errorf("after others have gone: %v", err)
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
