package aws_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/aws"
)

const (
	host      = "sns.us-east-1.amazonaws.com"
	topicARN  = "arn:aws:sns:us-east-1:123456789012:sms-events"
	certURL   = "https://" + host + "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
	confirmAt = "https://" + host + "/?Action=ConfirmSubscription&TopicArn=" + topicARN + "&Token=2336412f37"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sns stands in for Amazon SNS: it signs, and serves its certificate.
type sns struct {
	key    *rsa.PrivateKey
	client *http.Client
	// files are served by request URI; others are 404.
	mu      sync.Mutex
	files   map[string]string
	fetched []string
	clock   atomic.Int64
}

func newKey(tb testing.TB) *rsa.PrivateKey {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// certificate is self-signed and valid for a day around t0.
func certificate(tb testing.TB, key *rsa.PrivateKey, from time.Time) []byte {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    from,
		NotAfter:     from.Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func encode(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func newSNS(tb testing.TB) *sns {
	tb.Helper()
	s := &sns{key: newKey(tb)}
	s.clock.Store(t0.UnixNano())
	der := certificate(tb, s.key, t0.Add(-12*time.Hour))
	s.files = map[string]string{
		strings.TrimPrefix(certURL, "https://"+host):   encode(der),
		strings.TrimPrefix(confirmAt, "https://"+host): "<ConfirmSubscriptionResponse/>",
	}
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: s.key}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	tb.Cleanup(server.Close)
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: s.now},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	return s
}

func (s *sns) now() time.Time { return time.Unix(0, s.clock.Load()) }

func (s *sns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetched = append(s.fetched, r.RequestURI)
	file, ok := s.files[r.RequestURI]
	switch {
	case !ok:
		http.NotFound(w, r)
	case strings.HasPrefix(file, "https://"):
		http.Redirect(w, r, file, http.StatusFound)
	default:
		_, _ = w.Write([]byte(file))
	}
}

func (s *sns) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.fetched...)
}

func (s *sns) carrier(tb testing.TB) *aws.Carrier {
	tb.Helper()
	c, err := aws.New(aws.Config{
		Name: "aws", Region: "us-east-1", AccessKeyID: "AKID", SecretAccessKey: "secret",
		TopicARN: topicARN, SNS: s.client, Now: s.now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// post is a message of SNS; values are those of its JSON document.
type post map[string]string

func notification(text string) post {
	return post{
		"Type":             "Notification",
		"MessageId":        "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
		"TopicArn":         topicARN,
		"Message":          text,
		"Timestamp":        "2026-03-01T11:59:58.655Z",
		"SignatureVersion": "2",
		"SigningCertURL":   certURL,
		"UnsubscribeURL":   "https://" + host + "/?Action=Unsubscribe",
	}
}

func subscription() post {
	p := notification("You have chosen to subscribe to the topic.\nTo confirm the subscription, visit the SubscribeURL.")
	p["Type"], p["Token"], p["SubscribeURL"] = "SubscriptionConfirmation", "2336412f37", confirmAt
	return p
}

func (p post) with(name, value string) post {
	p[name] = value
	return p
}

// sign signs as the developer guide says, spelled out for each type.
func (p post) sign(tb testing.TB, key *rsa.PrivateKey) post {
	tb.Helper()
	text := "Message\n" + p["Message"] + "\nMessageId\n" + p["MessageId"] + "\n"
	if p["Type"] == "Notification" {
		if subject, ok := p["Subject"]; ok {
			text += "Subject\n" + subject + "\n"
		}
		text += "Timestamp\n" + p["Timestamp"] + "\n"
	} else {
		text += "SubscribeURL\n" + p["SubscribeURL"] + "\nTimestamp\n" + p["Timestamp"] + "\nToken\n" + p["Token"] + "\n"
	}
	text += "TopicArn\n" + p["TopicArn"] + "\nType\n" + p["Type"] + "\n"
	hash, sum := crypto.SHA256, sha256.Sum256([]byte(text))
	digest := sum[:]
	if p["SignatureVersion"] == "1" {
		old := sha1.Sum([]byte(text))
		hash, digest = crypto.SHA1, old[:]
	}
	signature, err := rsa.SignPKCS1v15(nil, key, hash, digest)
	if err != nil {
		tb.Fatal(err)
	}
	p["Signature"] = base64.StdEncoding.EncodeToString(signature)
	return p
}

func (p post) body(tb testing.TB) []byte {
	tb.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func request(tb testing.TB, contentType string) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/v1/carriers/aws/events", http.NoBody)
	r.Header.Set("Content-Type", contentType)
	return r
}

func read(tb testing.TB, c *aws.Carrier, body []byte) (carrier.Reports, error) {
	tb.Helper()
	return c.ReadCallback(request(tb, "text/plain; charset=UTF-8"), body)
}
