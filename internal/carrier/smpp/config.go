package smpp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeword/internal/carrier"
)

// The values of Config.Bind.
const (
	BindTransceiver         = "transceiver"
	BindTransmitterReceiver = "transmitter-receiver"
)

// The values of Config.LongMessages.
const (
	LongUDH     = "udh"
	LongPayload = "payload"
)

// The values of Config.MessageIDFormat.
const (
	IDsAsIs    = "as-is"
	IDsHex     = "hex"
	IDsDecimal = "decimal"
)

// The values of Config.DefaultAlphabet.
const (
	AlphabetGSM7   = "gsm-7"
	AlphabetLatin1 = "latin-1"
)

// Types of number and numbering plans (SMPP 3.4, sections 5.2.5 and 5.2.6).
const (
	tonInternational   = 1
	tonNational        = 2
	tonNetworkSpecific = 3
	tonAlphanumeric    = 5
	npiUnknown         = 0
	npiISDN            = 1
)

// The longest fields, without NUL. The standard allows a password of eight
// characters only (section 4.1.1); carriers hand out longer ones.
const (
	maxSystemID   = 15
	maxPassword   = 64
	maxSystemType = 12
	maxService    = 5
	maxAddress    = 20
	maxShortCode  = 8
	maxSenderName = 11
)

// Config says how to reach an SMSC. Address, SystemID, Source and Name are
// required; of the rest the zero value means the default.
type Config struct {
	// Address is host:port of the SMSC.
	Address string `yaml:"address"`
	// SystemID and Password are the account's; SystemType and ServiceType only
	// where the carrier names one.
	SystemID    string         `yaml:"system-id"`
	Password    carrier.Secret `yaml:"password"`
	SystemType  string         `yaml:"system-type"`
	ServiceType string         `yaml:"service-type"`
	// Bind is "transceiver", the default, or "transmitter-receiver" for two
	// connections, one each way.
	Bind string `yaml:"bind"`

	// TLS encrypts the connection. Without it everything, password and codes,
	// is open to the network: then use a private line or a VPN.
	TLS bool `yaml:"tls"`
	// CAFile has the certificates to trust, in PEM, instead of the system's.
	CAFile string `yaml:"ca-file"`
	// ServerName is what the certificate must be for. Default: the host of
	// Address.
	ServerName string `yaml:"server-name"`

	// Source is the sender: a number, a short code, or a name of up to 11
	// characters. SourceTON and SourceNPI follow from it: 1/1 for a number of
	// more than 8 digits, 3/0 for a short code, 5/0 for a name.
	Source    string `yaml:"source"`
	SourceTON *int   `yaml:"source-ton"`
	SourceNPI *int   `yaml:"source-npi"`
	// DestTON and DestNPI are those of the phones. Default 1/1, an international
	// number; with a TON of 2 numbers go without their country code.
	DestTON *int `yaml:"dest-ton"`
	DestNPI *int `yaml:"dest-npi"`

	// Connections is how many are kept, of each kind with transmitter-receiver.
	// Default 1.
	Connections int `yaml:"connections"`
	// Window is how many messages of one connection may be without an answer at
	// once; no more than the carrier allows. Default 50.
	Window int `yaml:"window"`
	// EnquireInterval is how long a connection is silent before it is tested.
	// Default 30 s.
	EnquireInterval time.Duration `yaml:"enquire-interval"`
	// ResponseTimeout is how long the SMSC may take to connect, to bind, and to
	// answer. Default 5 s.
	ResponseTimeout time.Duration `yaml:"response-timeout"`
	// ReconnectMax is the longest pause between two tries to connect; they begin
	// with a quarter of a second. Default 30 s.
	ReconnectMax time.Duration `yaml:"reconnect-max"`

	// MessageIDFormat is "as-is", the default, when receipts write message ids
	// as submit_sm_resp does; "hex" when submit_sm_resp is in hexadecimal and
	// receipts are in decimal; "decimal" for the opposite.
	MessageIDFormat string `yaml:"message-id-format"`
	// LongMessages is how a text of several SMS goes: "udh", the default, one
	// submit_sm each; "payload", one for all, which the SMSC cuts.
	LongMessages string `yaml:"long-messages"`
	// MaxSegments is the longest text taken, in SMS. Default 4.
	MaxSegments int `yaml:"max-segments"`
	// DefaultAlphabet is what data_coding 0 means to the SMSC: "gsm-7", the
	// default, or "latin-1".
	DefaultAlphabet string `yaml:"default-alphabet"`

	// StatusReasons says what command_status values of the carrier's own mean:
	// from "0x0000040B" to a reason of package carrier such as "opted_out".
	StatusReasons map[string]string `yaml:"status-reasons"`
	// ReceiptReasons does the same for the "err:" of receipts, and for
	// network_error_code in decimal.
	ReceiptReasons map[string]string `yaml:"receipt-reasons"`

	// Name is what Carrier.Name returns.
	Name string `yaml:"-"`
	// Now is the clock that message lives are counted by. Default time.Now.
	Now func() time.Time `yaml:"-"`
	// Sink takes receipts and messages from phones. Without one they are
	// acknowledged and dropped.
	Sink carrier.Sink `yaml:"-"`
	// Log gets what an operator should know. Default: discarded.
	Log *slog.Logger `yaml:"-"`
	// Dial makes the connections instead of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error) `yaml:"-"`
}

// Validate reports everything that is wrong, each line with the field's name.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// settings is a Config with defaults, and what follows from it.
type settings struct {
	Config
	source           address
	destTON, destNPI byte
	ids              idFormat
	statusReasons    map[status]string
	receiptReasons   map[string]string
	tls              *tls.Config // nil: plain
}

func (c Config) complete() (*settings, error) {
	s := &settings{Config: c}
	s.setDefaults()
	v := &problems{}
	v.text("name", s.Name, 1, 64)
	v.text("system-id", s.SystemID, 1, maxSystemID)
	v.text("password", string(s.Password), 0, maxPassword)
	v.text("system-type", s.SystemType, 0, maxSystemType)
	v.text("service-type", s.ServiceType, 0, maxService)
	v.oneOf("bind", s.Bind, BindTransceiver, BindTransmitterReceiver)
	v.oneOf("long-messages", s.LongMessages, LongUDH, LongPayload)
	v.oneOf("message-id-format", s.MessageIDFormat, IDsAsIs, IDsHex, IDsDecimal)
	v.oneOf("default-alphabet", s.DefaultAlphabet, AlphabetGSM7, AlphabetLatin1)
	v.count("connections", s.Connections, 100)
	v.count("window", s.Window, 10_000)
	v.count("max-segments", s.MaxSegments, 10)
	v.span("enquire-interval", s.EnquireInterval, time.Second, time.Hour)
	v.span("response-timeout", s.ResponseTimeout, 100*time.Millisecond, 5*time.Minute)
	v.span("reconnect-max", s.ReconnectMax, firstReconnect, time.Hour)
	s.ids = map[string]idFormat{IDsHex: idsHex, IDsDecimal: idsDecimal}[s.MessageIDFormat]
	s.destTON, s.destNPI = v.ton("dest-ton", s.DestTON, tonInternational), v.ton("dest-npi", s.DestNPI, npiISDN)
	s.readSource(v)
	s.readReasons(v)
	s.readAddress(v)
	return s, errors.Join(v.errs...)
}

func (s *settings) setDefaults() {
	orDefault(&s.Bind, BindTransceiver)
	orDefault(&s.LongMessages, LongUDH)
	orDefault(&s.MessageIDFormat, IDsAsIs)
	orDefault(&s.DefaultAlphabet, AlphabetGSM7)
	orDefault(&s.Connections, 1)
	orDefault(&s.Window, 50)
	orDefault(&s.MaxSegments, 4)
	orDefault(&s.EnquireInterval, 30*time.Second)
	orDefault(&s.ResponseTimeout, 5*time.Second)
	orDefault(&s.ReconnectMax, 30*time.Second)
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Sink == nil {
		s.Sink = func(context.Context, carrier.Reports) error { return nil }
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Dial == nil {
		s.Dial = (&net.Dialer{}).DialContext
	}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// readSource finds out what kind of sender Source is.
func (s *settings) readSource(v *problems) {
	digits, plus := strings.CutPrefix(s.Source, "+")
	number := digits != "" && strings.Trim(digits, "0123456789") == ""
	switch {
	case s.Source == "":
		v.add("source", "required")
	case number && !plus && len(digits) <= maxShortCode:
		s.source = address{tonNetworkSpecific, npiUnknown, digits}
	case number:
		s.source = address{tonInternational, npiISDN, digits}
		if len(digits) > 15 {
			v.add("source", "a number has at most 15 digits")
		}
	default:
		s.source = address{tonAlphanumeric, npiUnknown, s.Source}
		v.text("source", s.Source, 1, maxSenderName)
	}
	s.source.ton = v.ton("source-ton", s.SourceTON, s.source.ton)
	s.source.npi = v.ton("source-npi", s.SourceNPI, s.source.npi)
}

func (s *settings) readReasons(v *problems) {
	s.statusReasons = make(map[status]string, len(s.StatusReasons))
	for key, reason := range s.StatusReasons {
		n, err := strconv.ParseUint(key, 0, 32)
		if err != nil || n == 0 {
			v.add("status-reasons", fmt.Sprintf("%q is not a command_status such as 0x40B", key))
		}
		v.reason("status-reasons", reason)
		s.statusReasons[status(n)] = reason
	}
	s.receiptReasons = make(map[string]string, len(s.ReceiptReasons))
	for key, reason := range s.ReceiptReasons {
		if key == "" {
			v.add("receipt-reasons", "an empty error code")
		}
		v.reason("receipt-reasons", reason)
		s.receiptReasons[trimZeros(key)] = reason
	}
}

func (s *settings) readAddress(v *problems) {
	host, port, err := net.SplitHostPort(s.Address)
	switch n, perr := strconv.ParseUint(port, 10, 16); {
	case s.Address == "":
		v.add("address", "required")
	case err != nil || host == "" || perr != nil || n == 0:
		v.add("address", "not host:port")
	}
	if !s.TLS {
		if s.CAFile != "" || s.ServerName != "" {
			v.add("tls", "must be true for ca-file and server-name to count")
		}
		return
	}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.ServerName}
	if s.tls.ServerName == "" {
		s.tls.ServerName = host
	}
	if s.CAFile == "" {
		return
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		v.add("ca-file", err.Error())
		return
	}
	s.tls.RootCAs = x509.NewCertPool()
	if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
		v.add("ca-file", "no certificate in it")
	}
}

// problems gathers what is wrong with a Config.
type problems struct{ errs []error }

func (v *problems) add(field, text string) {
	v.errs = append(v.errs, errors.New(field+": "+text))
}

// text checks for printable ASCII of a length.
func (v *problems) text(field, s string, shortest, longest int) {
	switch {
	case len(s) < shortest:
		v.add(field, "required")
	case len(s) > longest:
		v.add(field, fmt.Sprintf("longer than %d characters", longest))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		v.add(field, "not printable ASCII")
	}
}

func (v *problems) oneOf(field, s string, choices ...string) {
	if !slices.Contains(choices, s) {
		v.add(field, fmt.Sprintf("%q is none of %s", s, strings.Join(choices, ", ")))
	}
}

func (v *problems) count(field string, n, largest int) {
	if n < 1 || n > largest {
		v.add(field, fmt.Sprintf("not from 1 to %d", largest))
	}
}

func (v *problems) span(field string, d, shortest, longest time.Duration) {
	if d < shortest || d > longest {
		v.add(field, fmt.Sprintf("not from %v to %v", shortest, longest))
	}
}

// ton returns an octet that may be set.
func (v *problems) ton(field string, n *int, otherwise byte) byte {
	if n == nil {
		return otherwise
	}
	if *n < 0 || *n > 255 {
		v.add(field, "not from 0 to 255")
	}
	return byte(*n)
}

// reasons are those that a status or a receipt may be given.
var reasons = []string{
	carrier.ReasonOptedOut, carrier.ReasonInvalidNumber, carrier.ReasonLandline, carrier.ReasonRejected,
	carrier.ReasonExpired, carrier.ReasonFiltered, carrier.ReasonUnreachable, carrier.ReasonUnregistered,
	carrier.ReasonMisconfigured, carrier.ReasonFunds, carrier.ReasonThrottled, carrier.ReasonUnavailable,
	carrier.ReasonCarrierError,
}

func (v *problems) reason(field, reason string) { v.oneOf(field, reason, reasons...) }
