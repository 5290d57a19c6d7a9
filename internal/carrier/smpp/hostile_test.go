package smpp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/smpp"
)

// limitedConn takes only so many bytes after the bind, then fails.
type limitedConn struct {
	net.Conn
	left *int
}

func (c limitedConn) Write(b []byte) (int, error) {
	if *c.left < 0 || len(b) <= *c.left {
		if *c.left >= 0 {
			*c.left -= len(b)
		}
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:*c.left])
	*c.left = 0
	return n, io.ErrClosedPipe
}

// TestCutDuringWrite: of messages that go in one write, those are on their way
// of which the connection took the last byte.
func TestCutDuringWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen int
		left := -1
		n := newNetwork(t, func(c *peer) error {
			return c.serve(func(*peer, pdu) error { seen++; return nil })
		})
		n.wrap = func(c net.Conn) net.Conn { return limitedConn{c, &left} }
		c, stop := start(t, config(n))
		synctest.Wait()
		left = 250 // one message and a half; the text makes each about 130 bytes
		results, wait := sendAll(t.Context(), t, c, 5)
		wait()
		reasons := map[string]int{}
		for _, err := range results {
			reasons[carrier.Classify(err).Reason]++
		}
		synctest.Wait()
		if reasons[carrier.ReasonConnectionLost] != seen || reasons[carrier.ReasonUnavailable] != 5-seen || seen == 5 || seen == 0 {
			t.Errorf("got %v, the SMSC saw %d", reasons, seen)
		}
		left = -1
		stop()
		n.wg.Wait()
	})
}

// TestStalledPeer: while the peer takes no bytes, what waits is not on its way,
// and the connection does not stay.
func TestStalledPeer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
		first, wait := sendAll(t.Context(), t, c, 1) // this one is being written
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Send(ctx, to(t))
		wantError(t, err, carrier.Retryable, carrier.ReasonCanceled)
		wait()
		if e := carrier.Classify(first[0]); e.Class == carrier.Rejected {
			t.Errorf("got %v", e)
		}
		pass(10 * time.Second)
		if len(n.dialed()) < 2 {
			t.Error("the connection was kept")
		}
	}, func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		time.Sleep(time.Minute)
		return nil
	}, func(c *peer) error { return c.serve(accept) })
}

// TestTakenBack: a message whose context ends while the peer takes no bytes is
// never sent, and what a peer answers to it before does not count.
func TestTakenBack(t *testing.T) {
	var seen []uint32
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
		first, wait := sendAll(t.Context(), t, c, 1) // this one is being written
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := c.Send(ctx, to(t))
		wantError(t, err, carrier.Retryable, carrier.ReasonCanceled)
		wait()
		_, err = c.Send(t.Context(), to(t))
		if first[0] != nil || err != nil || len(seen) != 2 || len(n.dialed()) != 1 {
			t.Errorf("first %v, last %v, seen %v", first[0], err, seen)
		}
	}, func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		time.Sleep(time.Second)
		for n := range uint32(10) { // answers to guessed numbers, one of which waits to be written
			if n != 2 { // and the first is half on its way
				if err := c.answer(pdu{command: cmdSubmit, sequence: n}, 0, "guess\x00"); err != nil {
					return err
				}
			}
		}
		time.Sleep(2 * time.Second)
		return c.loop(func(c *peer, p pdu) error {
			seen = append(seen, p.sequence)
			return accept(c, p)
		})
	})
}

// TestHostileStreams: whatever a peer sends, the connection ends in time, what
// was written is Unknown, and the next connection works.
func TestHostileStreams(t *testing.T) {
	header := func(length uint32) []byte {
		return append(binary.BigEndian.AppendUint32(nil, length), "\x80\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01"...)
	}
	for name, attack := range map[string]func(c *peer) error{
		"too long":   func(c *peer) error { _, err := c.Write(header(smpp.MaxPDU + 1)); return err },
		"four GiB":   func(c *peer) error { _, err := c.Write(header(0xFFFFFFFF)); return err },
		"too short":  func(c *peer) error { _, err := c.Write(header(15)); return err },
		"no length":  func(c *peer) error { _, err := c.Write(make([]byte, 64)); return err },
		"text":       func(c *peer) error { _, err := c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); return err },
		"half a PDU": func(c *peer) error { _, err := c.Write(header(200)); time.Sleep(time.Hour); return err },
		"cut":        func(*peer) error { return io.EOF },
		"byte by byte": func(c *peer) error {
			b := append(header(smpp.MaxPDU), make([]byte, smpp.MaxPDU)...)
			for i := range b {
				time.Sleep(time.Second)
				if _, err := c.Write(b[i : i+1]); err != nil {
					return err
				}
			}
			return nil
		},
		"deaf and asking": func(c *peer) error { // reads nothing, wants answers without end
			b := bytes.Repeat(pdu{command: cmdEnquire, sequence: 1}.bytes(), 1000)
			for {
				if _, err := c.Write(b); err != nil {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
				begun := time.Now()
				_, err := c.Send(t.Context(), to(t))
				e := wantError(t, err, carrier.Unknown, carrier.Classify(err).Reason)
				if took := time.Since(begun); took > 5*time.Second || e.Reason != carrier.ReasonConnectionLost && e.Reason != carrier.ReasonTimeout {
					t.Errorf("%v after %v", e, took)
				}
				pass(10 * time.Second)
				if _, err := c.Send(t.Context(), to(t)); err != nil || len(n.dialed()) != 2 {
					t.Errorf("afterwards: %v with %d dials", err, len(n.dialed()))
				}
			}, func(c *peer) error {
				if _, err := c.bound(); err != nil {
					return err
				}
				for {
					p, err := c.receive()
					if err != nil {
						return err
					}
					if p.command == cmdSubmit {
						return attack(c)
					}
				}
			}, func(c *peer) error { return c.serve(accept) })
		})
	}
}
