package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TLS starts a server that takes encrypted connections alone, from clients with a
// certificate, and returns the engine's URL and the files of the parameters cacert,
// cert and key.
func TLS(tb testing.TB) (url, ca, cert, key string) {
	tb.Helper()
	Need(tb)
	ca, cert, key = certificate(tb)
	port := freePort(tb)
	plain := freePort(tb) // for this package's own calls
	start(tb, plain, "tls-port "+strconv.Itoa(port), "tls-ca-cert-file "+ca, "tls-cert-file "+cert, "tls-key-file "+key)
	return "rediss://127.0.0.1:" + strconv.Itoa(port), ca, cert, key
}

// certificate makes one for the loopback address that is its own authority.
func certificate(tb testing.TB) (ca, cert, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redistest"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		tb.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	return write("ca.pem", "CERTIFICATE", signed), write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", raw)
}
