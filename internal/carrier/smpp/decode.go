package smpp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// errClosed is an end of the connection that the peer brought about in order.
var errClosed = errors.New("smpp: the carrier closed the connection")

// errMalformed is a PDU whose fields do not fit its length.
var errMalformed = errors.New("smpp: malformed PDU")

// reader takes PDUs from a connection. Its buffer has a fixed size, and what
// next returns lies in it: whatever the peer sends, reading allocates nothing.
type reader struct {
	conn net.Conn
	buf  *bufio.Reader
	// idle is how long the peer may be silent, patience how long it may take
	// over one PDU from its first byte.
	idle, patience time.Duration
	last           int // the length of the PDU that next returned last
}

func newReader(conn net.Conn, idle, patience time.Duration) *reader {
	return &reader{conn: conn, buf: bufio.NewReaderSize(conn, maxPDU), idle: idle, patience: patience}
}

// next returns the next PDU. body is valid until the next call. An error is
// final: there is no way to find the next PDU in a stream that makes no sense.
func (r *reader) next() (h header, body []byte, err error) {
	defer func() {
		if errors.Is(err, io.EOF) {
			err = errClosed
		}
	}()
	if _, err := r.buf.Discard(r.last); err != nil {
		return header{}, nil, err
	}
	r.last = 0
	if r.buf.Buffered() == 0 {
		if err := r.wait(r.idle, 1); err != nil {
			return header{}, nil, err
		}
	}
	begun := false
	if r.buf.Buffered() < headerLen {
		begun = true
		if err := r.wait(r.patience, headerLen); err != nil {
			return header{}, nil, err
		}
	}
	b, err := r.buf.Peek(headerLen)
	if err != nil {
		return header{}, nil, err
	}
	n := binary.BigEndian.Uint32(b)
	if n < headerLen || n > maxPDU {
		return header{}, nil, fmt.Errorf("%w: command_length %d", errMalformed, n)
	}
	if r.buf.Buffered() < int(n) && !begun {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.patience)); err != nil {
			return header{}, nil, err
		}
	}
	b, err = r.buf.Peek(int(n))
	if err != nil {
		return header{}, nil, err
	}
	r.last = int(n)
	h = header{
		command:  command(binary.BigEndian.Uint32(b[4:])),
		status:   status(binary.BigEndian.Uint32(b[8:])),
		sequence: binary.BigEndian.Uint32(b[12:]),
	}
	return h, b[headerLen:], nil
}

// wait blocks until n bytes are there, for d at most.
func (r *reader) wait(d time.Duration, n int) error {
	if err := r.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	_, err := r.buf.Peek(n)
	return err
}

// cursor reads fields off a body. After a field that is not there it stays
// broken and gives zeros.
type cursor struct {
	b      []byte
	broken bool
}

func (c *cursor) octet() byte {
	if len(c.b) == 0 {
		c.broken = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

// octets returns n bytes.
func (c *cursor) octets(n int) []byte {
	if n > len(c.b) {
		c.broken, c.b = true, nil
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

// cstring returns what stands before the next NUL.
func (c *cursor) cstring() []byte {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 {
		c.broken, c.b = true, nil
		return nil
	}
	v := c.b[:i]
	c.b = c.b[i+1:]
	return v
}

// tlv returns the next optional parameter (section 3.2.4.1); false at the end.
// A last one that is cut short is dropped.
func (c *cursor) tlv() (tag uint16, value []byte, ok bool) {
	if len(c.b) < 4 {
		return 0, nil, false
	}
	tag = binary.BigEndian.Uint16(c.b)
	n := int(binary.BigEndian.Uint16(c.b[2:]))
	if n > len(c.b)-4 {
		return 0, nil, false
	}
	value = c.b[4 : 4+n]
	c.b = c.b[4+n:]
	return tag, value, true
}

// delivery is what a deliver_sm (section 4.6.1) or data_sm (section 4.7.1)
// says. Its slices lie in the PDU.
type delivery struct {
	source, dest []byte
	esmClass     byte
	coding       byte
	text         []byte
	// The optional parameters of a receipt; nil where absent.
	receiptedID  []byte
	networkError []byte
	state        []byte
}

// decodeDelivery reads the body of a deliver_sm or data_sm.
func decodeDelivery(cmd command, body []byte) (delivery, error) {
	c := cursor{b: body}
	var d delivery
	c.cstring() // service_type
	c.octets(2) // source_addr_ton, source_addr_npi
	d.source = c.cstring()
	c.octets(2) // dest_addr_ton, dest_addr_npi
	d.dest = c.cstring()
	d.esmClass = c.octet()
	if cmd == dataSM {
		c.octet() // registered_delivery
		d.coding = c.octet()
	} else {
		c.octets(2) // protocol_id, priority_flag
		c.cstring() // schedule_delivery_time
		c.cstring() // validity_period
		c.octets(2) // registered_delivery, replace_if_present_flag
		d.coding = c.octet()
		c.octet() // sm_default_msg_id
		d.text = c.octets(int(c.octet()))
	}
	if c.broken {
		return delivery{}, errMalformed
	}
	for {
		tag, value, ok := c.tlv()
		if !ok {
			break
		}
		switch tag {
		case tagMessagePayload:
			if len(d.text) == 0 {
				d.text = value
			}
		case tagReceiptedMessageID:
			d.receiptedID = trimID(value)
		case tagNetworkErrorCode:
			d.networkError = value
		case tagMessageState:
			d.state = value
		}
	}
	if d.esmClass&esmUDHI != 0 {
		d.text = afterUDH(d.text)
	}
	return d, nil
}

// afterUDH drops a user data header, which begins with its own length (3GPP TS
// 23.040, section 9.2.3.24).
func afterUDH(text []byte) []byte {
	if len(text) == 0 {
		return nil
	}
	return text[min(1+int(text[0]), len(text)):]
}

// decodeMessageID reads the body of a submit_sm_resp (section 4.4.2). Some
// SMSCs leave out the NUL, some the whole body.
func decodeMessageID(body []byte) []byte {
	id, _, _ := bytes.Cut(body, []byte{0})
	return trimID(id)
}

// trimID drops the NULs and spaces around a message id.
func trimID(id []byte) []byte { return bytes.Trim(id, " \x00\t\r\n") }
