package smpp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/carrier/smpp"
)

// identity makes a certificate for a host, valid until then, and a file that
// tells to trust it.
func identity(t *testing.T, host string, until time.Time) (cert tls.Certificate, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caFile
}

// TestTLSVerifies: who cannot prove to be the carrier does not get as much as
// the bind, which has the password.
func TestTLSVerifies(t *testing.T) {
	good, trusted := identity(t, "smsc.example", time.Now().Add(time.Hour))
	other, trustedOther := identity(t, "other.example", time.Now().Add(time.Hour))
	old, trustedOld := identity(t, "smsc.example", time.Now().Add(-time.Hour))
	for name, tc := range map[string]struct {
		cert         tls.Certificate
		version      uint16
		ca, hostname string
		want         string // nothing for success
	}{
		"fine":                 {cert: good, ca: trusted},
		"another name is told": {cert: other, ca: trustedOther, hostname: "other.example"},
		"wrong host":           {cert: other, ca: trustedOther, want: "other.example"},
		"expired":              {cert: old, ca: trustedOld, want: "expired"},
		"unknown authority":    {cert: good, ca: trustedOther, want: "unknown authority"},
		"the system's":         {cert: good, want: "certificate"},
		"TLS 1.1":              {cert: good, ca: trusted, version: tls.VersionTLS11, want: "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			var bound atomic.Bool
			server := &tls.Config{Certificates: []tls.Certificate{tc.cert}, MinVersion: tls.VersionTLS10, MaxVersion: tc.version}
			listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
			if err != nil {
				t.Fatal(err)
			}
			var smsc sync.WaitGroup
			smsc.Go(func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				c := &peer{Conn: conn}
				if p, err := c.receive(); err == nil {
					bound.Store(true)
					_ = c.answer(p, 0, "SMSC\x00") // the client's view is what counts
					_ = c.loop(accept)
				}
			})
			cfg := config(newNetwork(t))
			cfg.TLS, cfg.CAFile, cfg.ServerName = true, tc.ca, tc.hostname
			cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
			}
			c, err := smpp.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(c.Check(t.Context()), listener.Close())
			smsc.Wait()
			switch {
			case tc.want == "" && (err != nil || !bound.Load()):
				t.Errorf("got %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || bound.Load()):
				t.Errorf("got %v, bound %t, want %q", err, bound.Load(), tc.want)
			}
		})
	}
}
