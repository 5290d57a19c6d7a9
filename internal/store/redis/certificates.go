package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
)

// certificates are the files that a URL names.
type certificates struct {
	roots     *x509.CertPool
	cert, key string
}

// authorities reads a file of PEM certificates.
func (c *certificates) authorities(path string) error {
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	c.roots = x509.NewCertPool()
	if !c.roots.AppendCertsFromPEM(raw) {
		return errors.New("no certificate")
	}
	return nil
}

// into makes a configuration use them.
func (c *certificates) into(cfg *tls.Config) []error {
	cfg.RootCAs = c.roots
	if c.cert == "" && c.key == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return []error{errors.New("redis: the parameters cert and key do not name the PEM files of a certificate and its key")}
	}
	cfg.Certificates = []tls.Certificate{pair}
	return nil
}
