package overload_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// TestServeCheckReportsAllErrors gives a configuration in which everything is
// wrong, and wants to hear of all of it, with exit code 2.
func TestServeCheckReportsAllErrors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "codeword.yaml")
	write(t, path, `
database: "mysql:x"
keyset: /nonexistent/keyset.json
listen: nowhere
admin-listen: neither
admin-token: short
public-url: ftp://example.com/
tls-cert: /nonexistent/cert.pem
tls-key: /nonexistent/key.pem
max-in-flight: 0
max-connections: 0
keep-messages: 1s
keep-events: 1s
keep-rollups: 1s
signing-key-life: 1s
drain-timeout: 0s
trusted-proxies: [here]
`)
	p := launch(t, "serve", "--config", path, "--check")
	if code := p.exit(waittest.Patience); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	said := p.stderr.String()
	for _, what := range []string{
		"database:", "keyset", "listen:", "admin-listen:", "admin-token:", "public-url:", "tls-cert", "max-in-flight:",
		"max-connections:", "keep-messages:", "keep-events:", "keep-rollups:", "signing-key-life:", "drain-timeout:", "trusted-proxies:",
	} {
		if !strings.Contains(said, what) {
			t.Errorf("nothing is said about %s", what)
		}
	}
	if strings.Contains(said, "short") {
		t.Error("the admin token is repeated")
	}
}

// TestServeWithTLS runs "codeword serve" with a certificate, over HTTP/2 and
// HTTP/1.1, refuses TLS 1.1, exchanges the certificate with SIGHUP while a
// connection stays open, keeps the good one when the new one is bad, and ends.
func TestServeWithTLS(t *testing.T) {
	t.Parallel()
	site := newSite(t)
	roots := x509.NewCertPool()
	roots.AddCert(site.writeCertificate(t, "first"))
	p := launch(t, "serve", "--config", site.config)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	h := &http.Client{Transport: transport, Timeout: waittest.Patience}
	p.eventually("it is ready", func() bool { return get(h, site.url+"/readyz") == "HTTP/2.0 200" })
	c, err := client.New(client.Config{BaseURL: site.url, ClientID: site.client.ID, ClientSecret: client.Secret(site.client.Secret), HTTPClient: h})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), number(0)); err != nil {
		t.Errorf("send over HTTP/2: %v", err)
	}
	one := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}}, DisableKeepAlives: true}}
	if got := get(one, site.url+"/healthz"); got != "HTTP/1.1 200" {
		t.Errorf("HTTP/1.1: %s", got)
	}
	versions(t, site.address, roots)

	roots.AddCert(site.writeCertificate(t, "second"))
	if name := served(t, site.address, roots); name != "first" {
		t.Errorf("before SIGHUP it serves %q", name)
	}
	p.signal(syscall.SIGHUP)
	p.eventually("the new certificate", func() bool { return served(t, site.address, roots) == "second" })
	if got := get(h, site.url+"/healthz"); got != "HTTP/2.0 200" {
		t.Errorf("the connection from before: %s", got)
	}
	write(t, site.cert, "no certificate")
	p.signal(syscall.SIGHUP)
	p.eventually("a complaint", func() bool { return strings.Contains(p.stderr.String(), "not reloaded") })
	if name := served(t, site.address, roots); name != "second" {
		t.Errorf("after a bad certificate it serves %q", name)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(waittest.Patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// site is what an operator prepares.
type site struct {
	dir, config, cert, key string
	address, url           string
	client                 testserver.Credentials
}

func newSite(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{
		dir: dir, config: filepath.Join(dir, "codeword.yaml"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
		address: freeAddress(t),
	}
	s.url = "https://" + s.address
	keyset, database := filepath.Join(dir, "keyset.json"), "sqlite:"+filepath.Join(dir, "codeword.db")
	command(t, "keys", "init", "--keyset", keyset)
	command(t, "migrate", "--database", database, "--keyset", keyset)
	made := command(t, "client", "create", "--database", database, "--keyset", keyset, "--name", "shop", "--live", "--json")
	if err := json.Unmarshal(made, &s.client); err != nil {
		t.Fatal(err)
	}
	write(t, s.config, strings.Join([]string{
		"database: " + database, "keyset: " + keyset, "listen: " + s.address, "admin-listen: " + freeAddress(t),
		"admin-token: " + strings.Repeat("t", 32), "public-url: " + s.url, "tls-cert: " + s.cert, "tls-key: " + s.key, "",
	}, "\n"))
	return s
}

// writeCertificate puts a new self-signed pair in the place of the old one.
func (s *site) writeCertificate(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, s.key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// versions shakes hands with one version of TLS at a time.
func versions(t *testing.T, address string, roots *x509.CertPool) {
	t.Helper()
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := dial(t, address, &tls.Config{RootCAs: roots, MinVersion: version, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v, want it taken: %t", tls.VersionName(version), err, want)
		}
	}
}

// served is the name in the certificate that a new connection gets.
func served(t *testing.T, address string, roots *x509.CertPool) string {
	t.Helper()
	conn, err := dial(t, address, &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func dial(t *testing.T, address string, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// get returns protocol and status, or what went wrong.
func get(h *http.Client, url string) string {
	resp, err := h.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	return strings.Join([]string{resp.Proto, resp.Status[:3]}, " ")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs the binary to its end and returns what it prints.
func command(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testserver.Binary(t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("codeword %s: %v\n%s", args[0], err, stderr.Bytes())
	}
	return out
}
