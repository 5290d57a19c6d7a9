package aws

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"codeword/internal/carrier"
)

const (
	// maxCertificates bounds the cache. SNS uses one certificate in a region for
	// about a year.
	maxCertificates = 8
	// minKey is the least size of a key, in bits.
	minKey = 2048
	// maxFetched bounds what is read of an answer, in bytes.
	maxFetched = 64 << 10
	// maxWaiting bounds how many wait for a certificate at a time. Each holds a
	// place among the requests that are worked on, and anybody who knows the topic
	// can be one of them while SNS does not answer.
	maxWaiting = 32
	// fetchTimeout is less than the 15 s after which SNS tries again.
	fetchTimeout = 5 * time.Second
)

// certificates gets and keeps the certificates that SNS signs with. What makes
// them authentic is TLS to the endpoint of SNS: the files hold the leaf alone,
// so a chain cannot be built from them.
type certificates struct {
	client *http.Client
	now    func() time.Time
	// pace bounds how often somebody who names certificates that do not exist
	// can make us ask for one.
	pace *rate.Limiter
	// waiting is held by those who want a certificate, turn by the one of them who
	// fetches.
	waiting, turn chan struct{}

	mu   sync.Mutex
	kept map[string]*x509.Certificate
}

func newCertificates(client *http.Client, now func() time.Time) *certificates {
	return &certificates{
		client:  client,
		now:     now,
		pace:    rate.NewLimiter(1, 5),
		waiting: make(chan struct{}, maxWaiting),
		turn:    make(chan struct{}, 1),
		kept:    make(map[string]*x509.Certificate),
	}
}

// key returns the public key of the certificate at a URL, which the caller has
// checked.
func (c *certificates) key(ctx context.Context, url string) (*rsa.PublicKey, error) {
	if cert := c.find(url); cert != nil {
		return rsaKey(cert)
	}
	select {
	case c.waiting <- struct{}{}:
		defer func() { <-c.waiting }()
	default:
		return nil, errors.New("aws: too many wait for a certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("aws: waiting for a certificate: %w", ctx.Err())
	}
	if cert := c.find(url); cert != nil { // somebody else got it meanwhile
		return rsaKey(cert)
	}
	if !c.pace.AllowN(c.now(), 1) {
		return nil, errors.New("aws: too many unknown certificates")
	}
	raw, err := fetch(ctx, c.client, url)
	if err != nil {
		return nil, fmt.Errorf("aws: getting the certificate of SNS: %w", err)
	}
	cert, err := parseCertificate(raw)
	if err != nil {
		return nil, err
	}
	if now := c.now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil, fmt.Errorf("%w: the certificate is not valid now", carrier.ErrForged)
	}
	c.keep(url, cert)
	return rsaKey(cert)
}

// find returns a certificate that is kept and valid now.
func (c *certificates) find(url string) *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	cert := c.kept[url]
	if now := c.now(); cert == nil || now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return nil
	}
	return cert
}

// keep makes room by dropping the certificate that ends first.
func (c *certificates) keep(url string, cert *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.kept[url]; !ok && len(c.kept) >= maxCertificates {
		var oldest string
		for u, k := range c.kept {
			if oldest == "" || k.NotAfter.Before(c.kept[oldest].NotAfter) {
				oldest = u
			}
		}
		delete(c.kept, oldest)
	}
	c.kept[url] = cert
}

func parseCertificate(raw []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%w: no certificate at its URL", carrier.ErrForged)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: no certificate at its URL", carrier.ErrForged)
	}
	if _, err := rsaKey(cert); err != nil {
		return nil, err
	}
	return cert, nil
}

func rsaKey(cert *x509.Certificate) (*rsa.PublicKey, error) {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < minKey {
		return nil, fmt.Errorf("%w: the certificate has no RSA key of %d bits", carrier.ErrForged, minKey)
	}
	return key, nil
}

// withoutRedirects returns a client that goes where it is sent and no further.
func withoutRedirects(client *http.Client) *http.Client {
	own := http.Client{}
	if client != nil {
		own = *client
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if own.Timeout == 0 {
		own.Timeout = fetchTimeout
	}
	return &own
}

// fetch gets a URL; anything but 200 and a small body is an error.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxFetched+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxFetched:
		return nil, errors.New("the answer is too long")
	}
	return body, nil
}
