package smpp_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/smpp"
	"codeword/internal/waittest"
)

// TestSuite runs the conformance suite over TCP against a scripted SMSC. Its
// first connection binds, unless that is what the behavior is about; later ones
// behave as the behavior says from the bind on.
func TestSuite(t *testing.T) {
	carriertest.Run(t, carriertest.Subject{Open: openPeer})
}

const optedOut = 0x40B

func openPeer(t *testing.T, b carriertest.Behavior) carriertest.Peer {
	t.Helper()
	var received, conns atomic.Int64
	hold := make(chan struct{})
	address := listen(t, func(c *peer) {
		_ = behave(c, b, conns.Add(1) == 1, &received, hold) // ends with its connection
	})
	t.Cleanup(func() { close(hold) })
	c, err := smpp.New(smpp.Config{
		Name: "smpp", Address: address, SystemID: "codeword", Source: "12345",
		StatusReasons: map[string]string{"0x40B": carrier.ReasonOptedOut},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	p := carriertest.Peer{Carrier: c, Received: func() int { return int(received.Load()) }}
	switch b {
	case carriertest.BehaviorAuth: // refused before there could be a message
		p.Received = nil
		eventually(t, func() bool {
			_, err := c.Send(t.Context(), to(t))
			return carrier.Classify(err).Reason == carrier.ReasonMisconfigured
		})
	case carriertest.BehaviorCutBefore:
		eventually(t, func() bool { return conns.Load() > 0 && c.Connected() == 0 })
	default:
		eventually(t, func() bool { return c.Connected() == 1 })
	}
	return p
}

func behave(c *peer, b carriertest.Behavior, first bool, received *atomic.Int64, hold <-chan struct{}) error {
	p, err := c.receive()
	if err != nil {
		return err
	}
	switch {
	case b == carriertest.BehaviorAuth:
		return c.answer(p, 0x0E, "")
	case first || b == carriertest.BehaviorAccept:
	case b == carriertest.BehaviorGarbage:
		_, err := c.Write([]byte("\x00\x00\x00\x03 what is this?"))
		return err
	case b == carriertest.BehaviorSlow:
		<-hold
		return nil
	case b == carriertest.BehaviorCutBefore:
		return io.EOF
	}
	if err := c.answer(p, 0, "SMSC\x00"); err != nil || b == carriertest.BehaviorCutBefore {
		return err
	}
	return c.loop(func(c *peer, p pdu) error {
		received.Add(1)
		return misbehave(c, p, b, hold)
	})
}

func misbehave(c *peer, p pdu, b carriertest.Behavior, hold <-chan struct{}) error {
	switch b {
	case carriertest.BehaviorReject:
		return c.answer(p, 0x0B, "")
	case carriertest.BehaviorOptedOut:
		return c.answer(p, optedOut, "")
	case carriertest.BehaviorRetry:
		return c.answer(p, 0x08, "")
	case carriertest.BehaviorThrottle:
		return c.answer(p, 0x58, "")
	case carriertest.BehaviorUnknown:
		return c.answer(p, 0xFF, "")
	case carriertest.BehaviorGarbage:
		_, err := c.Write([]byte("\x00\x00\x00\x03 what is this?"))
		return err
	case carriertest.BehaviorFlood:
		if _, err := c.Write([]byte("\xff\xff\xff\xff\x80\x00\x00\x04")); err != nil {
			return err
		}
		for junk := bytes.Repeat([]byte("x"), 1<<16); ; {
			if _, err := c.Write(junk); err != nil {
				return err
			}
		}
	case carriertest.BehaviorSlow:
		<-hold
		return io.EOF
	case carriertest.BehaviorCutAfter:
		return io.EOF
	default:
		return accept(c, p)
	}
}

// listen plays a script on each connection to a port, until the test ends.
func listen(t *testing.T, script func(*peer)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				script(&peer{Conn: conn})
			}()
		}
	}()
	return l.Addr().String()
}

// eventually waits for what other processes and the network do.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	waittest.Until(t, "what other processes and the network do", ok)
}
