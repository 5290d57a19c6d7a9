package smpp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/smpp"
)

// The commands and statuses that the tests speak of, spelled out once more so
// that a wrong number in the client does not agree with itself.
const (
	cmdGenericNack     = 0x80000000
	cmdBindReceiver    = 0x00000001
	cmdBindTransmitter = 0x00000002
	cmdSubmit          = 0x00000004
	cmdSubmitResp      = 0x80000004
	cmdDeliver         = 0x00000005
	cmdDeliverResp     = 0x80000005
	cmdUnbind          = 0x00000006
	cmdUnbindResp      = 0x80000006
	cmdBindTransceiver = 0x00000009
	cmdEnquire         = 0x00000015
	cmdEnquireResp     = 0x80000015
	cmdDataSM          = 0x00000103
	cmdDataSMResp      = 0x80000103
)

// pdu is a PDU as the SMSC sees it.
type pdu struct {
	command, status, sequence uint32
	body                      []byte
}

func (p pdu) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(16+len(p.body)))
	b = binary.BigEndian.AppendUint32(b, p.command)
	b = binary.BigEndian.AppendUint32(b, p.status)
	b = binary.BigEndian.AppendUint32(b, p.sequence)
	return append(b, p.body...)
}

// peer is a connection as the SMSC sees it. Its methods end the goroutine's
// script with errors, since a test may cut a connection at any time.
type peer struct {
	net.Conn
	mu sync.Mutex
}

func (c *peer) receive() (pdu, error) {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return pdu{}, err
	}
	p := pdu{
		command:  binary.BigEndian.Uint32(head[4:]),
		status:   binary.BigEndian.Uint32(head[8:]),
		sequence: binary.BigEndian.Uint32(head[12:]),
		body:     make([]byte, binary.BigEndian.Uint32(head[:])-16),
	}
	_, err := io.ReadFull(c, p.body)
	return p, err
}

func (c *peer) send(p pdu) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Write(p.bytes())
	return err
}

// answer answers a request.
func (c *peer) answer(to pdu, status uint32, body string) error {
	return c.send(pdu{command: to.command | 0x80000000, status: status, sequence: to.sequence, body: []byte(body)})
}

// bound takes the bind and accepts it.
func (c *peer) bound() (pdu, error) {
	p, err := c.receive()
	if err != nil {
		return p, err
	}
	return p, c.answer(p, 0, "SMSC\x00\x02\x10\x00\x01\x34")
}

// serve binds and answers everything, submit_sm by onSubmit.
func (c *peer) serve(onSubmit func(*peer, pdu) error) error {
	if _, err := c.bound(); err != nil {
		return err
	}
	return c.loop(onSubmit)
}

func (c *peer) loop(onSubmit func(*peer, pdu) error) error {
	for {
		p, err := c.receive()
		if err != nil {
			return err
		}
		switch {
		case p.command == cmdSubmit:
			err = onSubmit(c, p)
		case p.command&0x80000000 == 0:
			err = c.answer(p, 0, "")
		}
		if err != nil {
			return err
		}
		if p.command == cmdUnbind {
			return io.EOF
		}
	}
}

// accept takes a message under an id of its own.
func accept(c *peer, p pdu) error {
	return c.answer(p, 0, fmt.Sprintf("id-%d\x00", p.sequence))
}

// submitted is a decoded submit_sm.
type submitted struct {
	service                      string
	sourceTON, sourceNPI         byte
	source                       string
	destTON, destNPI             byte
	dest                         string
	esmClass                     byte
	validity                     string
	registered, coding, smLength byte
	text                         []byte
	payload                      bool
}

func readSubmit(t *testing.T, p pdu) submitted {
	t.Helper()
	b := bytes.NewBuffer(p.body)
	str := func() string {
		s, err := b.ReadString(0)
		if err != nil {
			t.Fatalf("submit_sm: %v", err)
		}
		return s[:len(s)-1]
	}
	octet := func() byte {
		o, err := b.ReadByte()
		if err != nil {
			t.Fatalf("submit_sm: %v", err)
		}
		return o
	}
	var s submitted
	s.service = str()
	s.sourceTON, s.sourceNPI, s.source = octet(), octet(), str()
	s.destTON, s.destNPI, s.dest = octet(), octet(), str()
	s.esmClass = octet()
	octet()
	octet()
	str()
	s.validity = str()
	s.registered = octet()
	octet()
	s.coding = octet()
	octet()
	s.smLength = octet()
	s.text = b.Next(int(s.smLength))
	if rest := b.Bytes(); len(rest) > 0 {
		if binary.BigEndian.Uint16(rest) != 0x0424 || int(binary.BigEndian.Uint16(rest[2:])) != len(rest)-4 {
			t.Fatalf("submit_sm: unexpected parameter % x", rest)
		}
		s.text, s.payload = rest[4:], true
	}
	return s
}

// network connects carriers to scripts over pipes; script number n, from 0,
// plays the nth connection, and the last one all that follow.
type network struct {
	t       *testing.T
	scripts []func(*peer) error
	mu      sync.Mutex
	wg      sync.WaitGroup
	dials   []time.Time
	refuse  atomic.Bool
	// wrap, when set, changes the client's end.
	wrap func(net.Conn) net.Conn
}

func newNetwork(t *testing.T, scripts ...func(*peer) error) *network {
	return &network{t: t, scripts: scripts}
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, time.Now())
	if n.refuse.Load() {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	script := n.scripts[min(len(n.dials), len(n.scripts))-1]
	n.wg.Go(func() {
		defer theirs.Close()
		_ = script(&peer{Conn: theirs}) // a script ends with its connection
	})
	if n.wrap != nil {
		return n.wrap(ours), nil
	}
	return ours, nil
}

func (n *network) dialed() []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.dials...)
}

func config(n *network) smpp.Config {
	return smpp.Config{
		Name: "main", Address: "smsc.example:2775", SystemID: "codeword", Password: "hunter2", Source: "12345",
		Dial: n.dial, Now: time.Now,
	}
}

// start runs a carrier until the test ends or the returned function is called,
// and waits for its first connection, if there is to be one.
func start(t *testing.T, cfg smpp.Config) (*smpp.Carrier, func()) {
	t.Helper()
	c, err := smpp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return c, stop
}

// bubble runs a test on a clock of its own, with a carrier that is connected to
// the scripts.
func bubble(t *testing.T, cfg func(*smpp.Config), test func(t *testing.T, c *smpp.Carrier, n *network), scripts ...func(*peer) error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, scripts...)
		conf := config(n)
		if cfg != nil {
			cfg(&conf)
		}
		c, stop := start(t, conf)
		synctest.Wait()
		test(t, c, n)
		stop()
		n.wg.Wait()
	})
}

// pass lets time pass in a bubble, and all that happens meanwhile.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func wantError(t *testing.T, err error, class carrier.Class, reason string) *carrier.Error {
	t.Helper()
	var e *carrier.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a carrier error %s", err, reason)
	}
	if e.Class != class || e.Reason != reason {
		t.Fatalf("got %v (cause %v), want %v: %s", e, e.Cause, class, reason)
	}
	return e
}
