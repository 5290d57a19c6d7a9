package smpp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"codeword/internal/carrier/smpp"
	"codeword/internal/waittest"
)

func TestValidateNamesEveryField(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	octet := 256
	for name, tc := range map[string]struct {
		change func(*smpp.Config)
		want   []string // the fields that are named, in any order
	}{
		"fine":    {func(*smpp.Config) {}, nil},
		"empty":   {func(c *smpp.Config) { *c = smpp.Config{} }, []string{"name", "address", "system-id", "source"}},
		"no port": {func(c *smpp.Config) { c.Address = "smsc.example" }, []string{"address"}},
		"port 0":  {func(c *smpp.Config) { c.Address = "smsc.example:0" }, []string{"address"}},
		"URL":     {func(c *smpp.Config) { c.Address = "smpp://smsc.example:2775" }, []string{"address"}},
		"NUL":     {func(c *smpp.Config) { c.SystemID = "a\x00b" }, []string{"system-id"}},
		"long id": {func(c *smpp.Config) { c.SystemID = strings.Repeat("a", 16) }, []string{"system-id"}},
		"modes": {func(c *smpp.Config) {
			c.Bind, c.LongMessages, c.MessageIDFormat, c.DefaultAlphabet = "x", "x", "x", "x"
		}, []string{"bind", "long-messages", "message-id-format", "default-alphabet"}},
		"numbers":  {func(c *smpp.Config) { c.Connections, c.Window, c.MaxSegments = -1, -1, 11 }, []string{"connections", "window", "max-segments"}},
		"times":    {func(c *smpp.Config) { c.EnquireInterval, c.ResponseTimeout, c.ReconnectMax = 1, 1, 1 }, []string{"enquire-interval", "response-timeout", "reconnect-max"}},
		"octets":   {func(c *smpp.Config) { c.SourceTON, c.SourceNPI, c.DestTON, c.DestNPI = &octet, &octet, &octet, &octet }, []string{"source-ton", "source-npi", "dest-ton", "dest-npi"}},
		"name":     {func(c *smpp.Config) { c.Source = "MuchTooLongName" }, []string{"source"}},
		"CA":       {func(c *smpp.Config) { c.CAFile = "x" }, []string{"tls"}},
		"no CA":    {func(c *smpp.Config) { c.TLS, c.CAFile = true, junk+"x" }, []string{"ca-file"}},
		"junk CA":  {func(c *smpp.Config) { c.TLS, c.CAFile = true, junk }, []string{"ca-file"}},
		"statuses": {func(c *smpp.Config) { c.StatusReasons = map[string]string{"0x": "opted_out", "0x400": "nonsense"} }, []string{"status-reasons", "status-reasons"}},
		"receipts": {func(c *smpp.Config) { c.ReceiptReasons = map[string]string{"": "opted_out"} }, []string{"receipt-reasons"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(newNetwork(t))
			tc.change(&cfg)
			err := cfg.Validate()
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			if len(lines) != len(tc.want) {
				t.Fatalf("got %q, want %v", lines, tc.want)
			}
			for _, field := range tc.want {
				if !strings.Contains("\n"+err.Error(), "\n"+field+": ") {
					t.Errorf("%q does not name %s", lines, field)
				}
			}
			if _, newErr := smpp.New(cfg); (newErr == nil) != (err == nil) {
				t.Errorf("New says %v", newErr)
			}
		})
	}
}

// TestSenders: type of number and numbering plan follow from the sender.
func TestSenders(t *testing.T) {
	national, two := 2, 2
	for name, tc := range map[string]struct {
		change func(*smpp.Config)
		want   string
	}{
		"short code":  {func(c *smpp.Config) { c.Source = "12345" }, "3 0 12345 1 1 16502530000"},
		"long number": {func(c *smpp.Config) { c.Source = "+18005550100" }, "1 1 18005550100 1 1 16502530000"},
		"no plus":     {func(c *smpp.Config) { c.Source = "18005550100" }, "1 1 18005550100 1 1 16502530000"},
		"name":        {func(c *smpp.Config) { c.Source = "Acme" }, "5 0 Acme 1 1 16502530000"},
		"overridden":  {func(c *smpp.Config) { c.SourceTON, c.SourceNPI = &two, &two }, "2 2 12345 1 1 16502530000"},
		"national":    {func(c *smpp.Config) { c.DestTON = &national }, "3 0 12345 2 1 6502530000"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			bubble(t, tc.change, func(t *testing.T, c *smpp.Carrier, _ *network) {
				if _, err := c.Send(t.Context(), to(t)); err != nil {
					t.Fatal(err)
				}
				if got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			}, func(c *peer) error {
				return c.serve(func(c *peer, p pdu) error {
					s := readSubmit(t, p)
					got = fmt.Sprintf("%d %d %s %d %d %s", s.sourceTON, s.sourceNPI, s.source, s.destTON, s.destNPI, s.dest)
					return accept(c, p)
				})
			})
		})
	}
}

func TestConfigFromYAML(t *testing.T) {
	var cfg smpp.Config
	err := yaml.UnmarshalWithOptions([]byte(`
address: smsc.example:2775
system-id: codeword
password: hunter2
source: "12345"
source-ton: 6
bind: transmitter-receiver
enquire-interval: 15s
window: 10
status-reasons: {"0x0000040B": opted_out}
`), &cfg, yaml.Strict())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Name = "main"
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if cfg.EnquireInterval != 15*time.Second || string(cfg.Password) != "hunter2" || *cfg.SourceTON != 6 {
		t.Errorf("got %+v", cfg)
	}
	if text := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(text, "hunter2") {
		t.Error("the password prints")
	}
}

// TestCheck: what doctor says of each way to be refused.
func TestCheck(t *testing.T) {
	status := func(n uint32) func(*peer) error {
		return func(c *peer) error {
			p, err := c.receive()
			if err != nil {
				return err
			}
			return c.answer(p, n, "")
		}
	}
	for name, tc := range map[string]struct {
		script func(*peer) error
		want   string // nothing for success
	}{
		"fine": {func(c *peer) error { return c.serve(accept) }, ""},
		"receipts in between": {func(c *peer) error {
			if _, err := c.bound(); err != nil {
				return err
			}
			if err := c.send(deliver(1, "16502530000", esmReceipt, 0, "id:1 stat:DELIVRD")); err != nil {
				return err
			}
			return c.loop(accept)
		}, ""},
		"wrong password":    {status(0x0E), "bind_transceiver refused with ESME_RINVPASWD (0x0E): wrong password"},
		"unknown system-id": {status(0x0F), "ESME_RINVSYSID"},
		"bound already":     {status(0x05), "ESME_RALYBND"},
		"vendor's status":   {status(0x401), "status 0x00000401"},
		"hangs up":          {func(c *peer) error { _, err := c.receive(); return err }, "no answer to bind_transceiver"},
		"silent":            {func(c *peer) error { _, _ = c.receive(); time.Sleep(time.Minute); return nil }, "no answer to bind_transceiver"},
		"another protocol": {func(c *peer) error {
			_, _ = c.receive()
			_, err := c.Write([]byte("220 smtp.example ESMTP ready\r\n"))
			return err
		}, "malformed PDU"},
		"another command": {func(c *peer) error { _, _ = c.receive(); return c.send(pdu{command: cmdEnquire}) }, "is this an SMPP port?"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, tc.script)
			cfg := config(n)
			cfg.ResponseTimeout = waittest.Patience
			if name == "silent" {
				cfg.ResponseTimeout = 200 * time.Millisecond
			}
			c, err := smpp.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Check(t.Context())
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error quotes the password")
			}
		})
	}
	t.Run("refused connection", func(t *testing.T) {
		n := newNetwork(t)
		n.refuse.Store(true)
		c, err := smpp.New(config(n))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot connect: connection refused") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Check(ctx); err == nil {
			t.Error("checked with a context that has ended")
		}
	})
}
