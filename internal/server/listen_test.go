package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/otp"
	"codeword/internal/server"
	"codeword/internal/waittest"
)

// listen starts a Listener over a server with fakes and returns its address.
func listen(t *testing.T, change func(*server.ListenConfig)) (string, *fakeOTP, *server.Listener) {
	t.Helper()
	domain := &fakeOTP{}
	s, err := server.New(server.Config{Clients: fakeClients{}, OTP: domain, Sessions: &fakeSessions{}, Health: &fakeHealth{}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := server.ListenConfig{Handler: s.Handler(), Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	l, err := server.NewListener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- l.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waittest.Patience)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return ln.Addr().String(), domain, l
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(waittest.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// closedByServer waits for the server to close the connection.
func closedByServer(t *testing.T, c net.Conn) string {
	t.Helper()
	rest, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the server keeps the connection")
	}
	return string(rest)
}

func rawSend(body string) string {
	return "POST " + api.PathSend + " HTTP/1.1\r\nHost: x\r\nratio-client-id: " + testID + "\r\nratio-client-secret: " + testSecret +
		"\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
}

func short(c *server.ListenConfig) {
	c.ReadHeaderTimeout, c.ReadTimeout = 100*time.Millisecond, 200*time.Millisecond
}

func TestSlowAndSilentConnectionsAreClosed(t *testing.T) {
	addr, domain, _ := listen(t, short)
	for name, begun := range map[string]string{
		"silent":      "",
		"slow line":   "POST /v1/auth",
		"slow header": "POST " + api.PathSend + " HTTP/1.1\r\nHost: x\r\nratio-client-id: cl",
		"slow body":   strings.TrimSuffix(rawSend(goodSend), "}"),
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, addr)
			write(t, c, begun)
			if got := closedByServer(t, c); strings.Contains(got, " 200 ") {
				t.Errorf("answered %q", got)
			}
		})
	}
	if len(domain.sent) != 0 {
		t.Errorf("%d sends, and none was whole", len(domain.sent))
	}
	t.Run("idle after an answer", func(t *testing.T) {
		addr, domain, _ := listen(t, func(c *server.ListenConfig) { c.IdleTimeout = 150 * time.Millisecond })
		c := dial(t, addr)
		write(t, c, rawSend(goodSend))
		if got := closedByServer(t, c); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
			t.Errorf("answered %q", got)
		}
		if len(domain.sent) != 1 {
			t.Errorf("%d sends, want the one that was whole", len(domain.sent))
		}
	})
}

func TestHugeHeadersAreRefused(t *testing.T) {
	addr, domain, _ := listen(t, nil)
	c := dial(t, addr)
	// The server may stop reading before all was written.
	_, _ = io.WriteString(c, strings.Replace(rawSend(goodSend), "Host: x", "Host: x\r\nX: "+strings.Repeat("x", 64<<10), 1))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || len(domain.sent) != 0 {
		t.Errorf("%d, %d sends", resp.StatusCode, len(domain.sent))
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	addr, domain, _ := listen(t, nil)
	domain.send = func(_ context.Context, in otp.SendRequest) (otp.SendResult, error) {
		return otp.SendResult{PhoneID: "id", PhoneMask: in.PhoneNumber[len(in.PhoneNumber)-4:]}, nil
	}
	c := dial(t, addr)
	var requests strings.Builder
	for i := range 5 {
		requests.WriteString(rawSend(fmt.Sprintf(`{"phoneNumber":"+1650253000%d"}`, i)))
	}
	write(t, c, requests.String())
	r := bufio.NewReader(c)
	for i := range 5 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want := fmt.Sprintf(`"000%d"`, i); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("answer %d is %s, want %s; %v", i, body, want, err)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	addr, _, _ := listen(t, func(c *server.ListenConfig) { c.MaxConnections = 1 })
	first := dial(t, addr)
	write(t, first, rawSend(goodSend))
	if resp, err := http.ReadResponse(bufio.NewReader(first), nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	second := dial(t, addr) // by the system, not yet by the server
	write(t, second, rawSend(goodSend))
	if err := second.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := second.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes for a connection too many", n)
	}
	_ = first.Close()
	if err := second.SetReadDeadline(time.Now().Add(waittest.Patience)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(second), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	addr, domain, l := listen(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	domain.send = func(context.Context, otp.SendRequest) (otp.SendResult, error) {
		close(entered)
		<-release
		return otp.SendResult{PhoneID: "id", PhoneMask: "0000"}, nil
	}
	c := dial(t, addr)
	write(t, c, rawSend(goodSend))
	<-entered
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.Shutdown(t.Context()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	// New connections are refused once the shutdown began.
	for deadline := time.Now().Add(waittest.Patience); ; {
		probe, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			break
		}
		_ = probe.Close()
		if time.Now().After(deadline) {
			t.Fatal("still accepting")
		}
	}
	close(release)
	if got := closedByServer(t, c); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("answered %q", got)
	}
	wg.Wait()
}

// writePair makes a self-signed certificate with a name, in files.
func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "first")
	certs, err := server.LoadCertificates(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	addr, _, _ := listen(t, func(c *server.ListenConfig) { c.Certificates = certs })
	served := func() string {
		t.Helper()
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName //nolint:forcetypeassert // of a tls.Dialer
	}
	if got := served(); got != "first" {
		t.Errorf("serves %q", got)
	}

	t.Run("HTTP/2", func(t *testing.T) {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+addr+api.PathSend, strings.NewReader(goodSend))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Ratio-Client-Id": {testID}, "Ratio-Client-Secret": {testSecret}, "Content-Type": {"application/json"}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != 200 || resp.Header.Get("Request-Id") == "" {
			t.Errorf("%s %d %v", resp.Proto, resp.StatusCode, resp.Header)
		}
	})

	t.Run("old versions are refused", func(t *testing.T) {
		old := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		if c, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", addr); err == nil {
			_ = c.Close()
			t.Error("TLS 1.1 was accepted")
		}
	})

	t.Run("reload", func(t *testing.T) {
		writePair(t, dir, "second")
		if got := served(); got != "first" {
			t.Errorf("serves %q before the reload", got)
		}
		if err := certs.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := served(); got != "second" {
			t.Errorf("serves %q after the reload", got)
		}
		if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := certs.Reload(); err == nil {
			t.Error("a broken certificate was taken")
		}
		if got := served(); got != "second" {
			t.Errorf("serves %q after a failed reload", got)
		}
		if _, err := server.LoadCertificates(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err == nil {
			t.Error("a broken certificate was loaded")
		}
	})
}

func TestOddRequestLinesGetOurAnswers(t *testing.T) {
	addr, domain, _ := listen(t, nil)
	for line, status := range map[string]int{
		"OPTIONS * HTTP/1.1":                                         404,
		"OPTIONS " + api.PathSend + " HTTP/1.1":                      405,
		"CONNECT x:443 HTTP/1.1":                                     404,
		"CONNECT " + api.PathSend + " HTTP/1.1":                      405,
		"TRACE " + api.PathAuthenticate + " HTTP/1.1":                405,
		"GET " + api.PathAuthenticate + "?otp=123456 HTTP/1.0":       405,
		"POST http://elsewhere.example" + api.PathSend + " HTTP/1.1": 401,
		"POST /v1/auth/otp/sms%3Asend HTTP/1.1":                      401, // an escaped colon is a colon
		"POST /v1/auth/otp%2Fsms:send HTTP/1.1":                      404, // an escaped slash is none
		"POST /v1/auth/otp/sms:send%00 HTTP/1.1":                     404,
		"POST /v1//auth/otp/sms:send HTTP/1.1":                       404,
		"POST /docs/../v1/auth/otp/sms:send HTTP/1.1":                404,
	} {
		c := dial(t, addr)
		write(t, c, line+"\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != status || resp.Header.Get("Request-Id") == "" || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v, want %d", line, resp.StatusCode, resp.Header, status)
		}
	}
	if len(domain.sent)+len(domain.tried) > 0 {
		t.Error("one of them had an effect")
	}
}
