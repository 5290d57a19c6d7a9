package smpp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/smpp"
	"codeword/internal/waittest"
	"codeword/test/peers"
)

// npmServer is test/peers/smpp-server.js at work.
type npmServer struct {
	*peers.Process
	address string
}

// npmReport is what it says of itself.
type npmReport struct {
	Received, Taken, Destinations, Duplicates, Messages, Doubled int
	Throttled, Refused, Dropped, Binds, Sessions, MaxOutstanding int
	ReceiptsSent, ReceiptsAcked, ReceiptsRefused                 int
}

func startNPM(t *testing.T, options map[string]any) npmServer {
	t.Helper()
	raw, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	p := peers.Start(t, "smpp-server.js", string(raw))
	var first struct{ Port int }
	if err := json.Unmarshal([]byte(p.Line()), &first); err != nil {
		t.Fatal(err)
	}
	return npmServer{p, fmt.Sprintf("127.0.0.1:%d", first.Port)}
}

func (s npmServer) report(t *testing.T) npmReport {
	t.Helper()
	s.Tell("report")
	var r npmReport
	if err := json.Unmarshal([]byte(s.Line()), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func npmConfig(s npmServer) smpp.Config {
	return smpp.Config{Name: "npm", Address: s.address, SystemID: "codeword", Password: "hunter2", Source: "12345"}
}

// runNPM runs a carrier and waits for its connections.
func runNPM(t *testing.T, cfg smpp.Config) *smpp.Carrier {
	t.Helper()
	c, _ := start(t, cfg)
	eventually(t, func() bool { return c.Connected() == max(cfg.Connections, 1) })
	return c
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smsc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", rawKey)
}

// TestNPMServer goes through the whole life of messages with an SMSC that is
// not ours, over each kind of connection and each form of receipt.
func TestNPMServer(t *testing.T) {
	cert, key := certificate(t)
	plain := map[string]any{}
	secure := map[string]any{"cert": cert, "key": key}
	for name, tc := range map[string]struct {
		server map[string]any
		more   map[string]any
		change func(*smpp.Config)
	}{
		"receipts by text": {plain, map[string]any{"receipts": "text"}, nil},
		"receipts by parameters, TLS": {secure, map[string]any{"receipts": "tlv", "idFormat": "hex"}, func(c *smpp.Config) {
			c.TLS, c.CAFile = true, cert
		}},
		"two connections, hex and decimal": {plain, map[string]any{
			"receipts": "text", "idFormat": "hex", "receiptIdFormat": "decimal", "version": false,
		}, func(c *smpp.Config) { c.Bind, c.MessageIDFormat = smpp.BindTransmitterReceiver, smpp.IDsHex }},
	} {
		t.Run(name, func(t *testing.T) {
			options := map[string]any{"systemId": "codeword", "password": "hunter2", "emit": true}
			for _, m := range []map[string]any{tc.server, tc.more} {
				for k, v := range m {
					options[k] = v
				}
			}
			server := startNPM(t, options)
			reported := make(chan carrier.Reports, 10)
			cfg := npmConfig(server)
			cfg.Sink = func(_ context.Context, r carrier.Reports) error { reported <- r; return nil }
			if tc.change != nil {
				tc.change(&cfg)
			}
			c := runNPM(t, cfg)
			eventually(t, func() bool { // with two connections the receiver may come later
				return server.report(t).Binds == map[string]int{smpp.BindTransmitterReceiver: 2, "": 1}[cfg.Bind]
			})
			receipt, err := c.Send(t.Context(), to(t))
			if err != nil {
				t.Fatal(err)
			}
			if line, want := server.Line(), `{"to":"16502530000","text":"123456 is your Acme verification code. Don't share it.","coding":0}`; line != want {
				t.Errorf("got %s, want %s", line, want)
			}
			want := carrier.DeliveryReceipt{Ref: receipt.Ref, Status: carrier.ReceiptDelivered}
			if r := next(t, reported); len(r.Receipts) != 1 || r.Receipts[0] != want {
				t.Errorf("got %+v, want %+v", r, want)
			}
			server.Tell(`{"mo":{"from":"16502530000","to":"12345","text":"STOP"}}`)
			if r := next(t, reported); len(r.Inbound) != 1 || string(r.Inbound[0].Text) != "STOP" || r.Inbound[0].From.E164() != "+16502530000" {
				t.Errorf("got %+v", r)
			}
			if err := c.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func next(t *testing.T, c <-chan carrier.Reports) carrier.Reports {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(waittest.Patience):
		t.Fatal("nothing was reported")
		return carrier.Reports{}
	}
}

func TestNPMServerRefuses(t *testing.T) {
	cert, key := certificate(t)
	other, _ := certificate(t)
	server := startNPM(t, map[string]any{"systemId": "codeword", "password": "other"})
	secure := startNPM(t, map[string]any{"cert": cert, "key": key})
	for name, tc := range map[string]struct {
		server npmServer
		change func(*smpp.Config)
		want   string
	}{
		"password":     {server, func(*smpp.Config) {}, "ESME_RINVPASWD"},
		"system-id":    {server, func(c *smpp.Config) { c.SystemID = "nobody" }, "ESME_RINVSYSID"},
		"no TLS there": {server, func(c *smpp.Config) { c.TLS = true }, "TLS handshake"},
		"untrusted":    {secure, func(c *smpp.Config) { c.TLS, c.CAFile = true, other }, "TLS handshake"},
		"another name": {secure, func(c *smpp.Config) { c.TLS, c.CAFile, c.ServerName = true, cert, "smsc.example" }, "smsc.example"},
		"TLS there":    {secure, func(*smpp.Config) {}, "no answer to bind_transceiver"},
		"nobody there": {npmServer{address: "127.0.0.1:1"}, func(*smpp.Config) {}, "cannot connect"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := npmConfig(tc.server)
			cfg.ResponseTimeout = waittest.Patience
			if name == "TLS there" { // and no answer to anybody else
				cfg.ResponseTimeout = 3 * time.Second
			}
			tc.change(&cfg)
			c, err := smpp.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// blast sends n messages to n numbers with so many workers. A message that
// failed as Retryable is sent again when again is true. It returns how often
// each reason came, and how many messages were taken.
func blast(t *testing.T, c *smpp.Carrier, n, workers int, again bool) (reasons map[string]int, taken int) {
	t.Helper()
	reasons = map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var i atomic.Int64
	for range workers {
		wg.Go(func() {
			for {
				k := i.Add(1)
				if k > int64(n) {
					return
				}
				m := carriertest.Message(t, fmt.Sprintf("+1650253%04d", k%10_000))
				for {
					ctx, cancel := context.WithTimeout(t.Context(), waittest.Patience)
					_, err := c.Send(ctx, m)
					cancel()
					e := carrier.Classify(err)
					mu.Lock()
					if e == nil {
						taken++
					} else {
						reasons[e.Reason]++
					}
					mu.Unlock()
					if e == nil || e.Class != carrier.Retryable || !again {
						break
					}
					if e.Reason == carrier.ReasonUnavailable {
						eventually(t, func() bool { return c.Connected() > 0 })
					}
				}
			}
		})
	}
	wg.Wait()
	return reasons, taken
}

// TestTenThousand sends 10,000 messages at a window of 100 to an SMSC that
// throttles now and then: none is lost, none doubled, and all receipts come.
func TestTenThousand(t *testing.T) {
	const n = 10_000
	server := startNPM(t, map[string]any{"receipts": "text", "throttleEvery": 1500})
	var receipts atomic.Int64
	cfg := npmConfig(server)
	cfg.Window = 100
	cfg.Sink = func(_ context.Context, r carrier.Reports) error {
		receipts.Add(int64(len(r.Receipts)))
		return nil
	}
	c := runNPM(t, cfg)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	reasons, taken := blast(t, c, n, 256, true)
	took := time.Since(begun)
	runtime.GC()
	runtime.ReadMemStats(&after)
	eventually(t, func() bool { return receipts.Load() == n })
	r := server.report(t)
	t.Logf("%d messages in %v, %.0f/s, %d B and %.1f allocations each, heap %d KiB; %v; %+v", n, took, n/took.Seconds(),
		(after.TotalAlloc-before.TotalAlloc)/n, float64(after.Mallocs-before.Mallocs)/n, after.HeapAlloc>>10, reasons, r)
	if taken != n || r.Taken != n || r.Destinations != n || r.Duplicates != 0 {
		t.Errorf("%d taken by our count, %+v", taken, r)
	}
	if r.Throttled == 0 || reasons[carrier.ReasonThrottled] != r.Throttled || len(reasons) != 1 {
		t.Errorf("reasons %v, %d throttled", reasons, r.Throttled)
	}
}

// TestWindowAtNPM: a slow SMSC sees a full window, and never more.
func TestWindowAtNPM(t *testing.T) {
	server := startNPM(t, map[string]any{"respDelayMs": 50})
	cfg := npmConfig(server)
	cfg.Window = 20
	c := runNPM(t, cfg)
	if reasons, taken := blast(t, c, 200, 64, false); taken != 200 {
		t.Errorf("%d taken, %v", taken, reasons)
	}
	if r := server.report(t); r.MaxOutstanding != 20 {
		t.Errorf("%d messages without an answer at most, want 20", r.MaxOutstanding)
	}
}

// TestDisconnectMidWindow cuts connections under load: what is sent again was
// never taken, what may be on its way is not sent again, and the rest arrives.
func TestDisconnectMidWindow(t *testing.T) {
	const n = 2000
	server := startNPM(t, map[string]any{"respDelayMs": 5, "dropAfter": 401})
	cfg := npmConfig(server)
	cfg.Window, cfg.Connections = 50, 2
	c := runNPM(t, cfg)
	reasons, taken := blast(t, c, n, 128, true)
	r := server.report(t)
	t.Logf("%d taken, %v; %+v", taken, reasons, r)
	unknown := reasons[carrier.ReasonConnectionLost]
	if taken+unknown != n || unknown == 0 || r.Dropped == 0 {
		t.Errorf("%d taken and %d unknown of %d", taken, unknown, n)
	}
	if r.Duplicates != 0 || r.Taken < taken || r.Taken > taken+unknown {
		t.Errorf("the SMSC took %d, %d twice", r.Taken, r.Duplicates)
	}
}

// TestSurvivesKill: the SMSC dies, and its log has every message that was
// acknowledged.
func TestSurvivesKill(t *testing.T) {
	log := filepath.Join(t.TempDir(), "taken")
	// So slow that it is killed long before the last message.
	server := startNPM(t, map[string]any{"log": log, "respDelayMs": 50})
	c := runNPM(t, npmConfig(server))
	done := make(chan int)
	go func() {
		_, taken := blast(t, c, 9_000, 64, false)
		done <- taken
	}()
	eventually(t, func() bool { return server.report(t).Taken > 500 })
	begun := time.Now()
	server.Kill()
	taken := <-done
	if took := time.Since(begun); took > waittest.Slack*5*time.Second {
		t.Errorf("the rest took %v to fail", took)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(b), "\n"); lines < taken || taken == 0 || taken == 9_000 {
		t.Errorf("%d acknowledged, %d in the log", taken, lines)
	}
}
