// Package wire speaks just enough HTTP/1.1 to load a server cheaply: rendered
// requests, one at a time on a kept connection, and answers with a
// Content-Length. The generator shares its machine with the server it measures,
// and net/http's client would cost as much as the server does.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
)

const (
	maxHead = 16 << 10
	maxBody = 1 << 20
)

// Errors that a server's answer can cause. Each leaves the connection unusable.
var (
	ErrMalformed   = errors.New("wire: malformed response")
	ErrTooLarge    = errors.New("wire: response too large")
	ErrUnsupported = errors.New("wire: unsupported response")
	ErrUnsolicited = errors.New("wire: bytes that no request asked for")
)

// Response is one answer.
type Response struct {
	Status int
	Body   []byte // valid until the next call on the same connection
	Close  bool   // the server ends the connection after this answer
}

// Conn is one kept connection. It is not safe for concurrent use, but for Close.
type Conn struct {
	raw    net.Conn
	reader *Reader
}

// NewConn takes over an open connection.
func NewConn(raw net.Conn) *Conn { return &Conn{raw: raw, reader: NewReader(raw)} }

// Do writes one rendered request and reads its answer. After an error the
// connection is to be closed.
func (c *Conn) Do(request []byte) (Response, error) {
	if c.reader.Buffered() > 0 {
		return Response{}, ErrUnsolicited
	}
	if _, err := c.raw.Write(request); err != nil {
		return Response{}, err
	}
	return c.reader.Next()
}

// Close closes the connection and makes a Do in another goroutine fail.
func (c *Conn) Close() error { return c.raw.Close() }

// Reader takes responses off a stream.
type Reader struct {
	src        io.Reader
	buf        []byte
	start, end int // unread bytes are buf[start:end]
}

// NewReader returns a reader of the responses that src carries.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, buf: make([]byte, 4<<10)} }

// Buffered returns how many bytes past the last response were already read.
func (r *Reader) Buffered() int { return r.end - r.start }

// Next reads one response. It returns io.EOF when the stream ended between
// responses and io.ErrUnexpectedEOF when it ended inside one.
func (r *Reader) Next() (Response, error) {
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
	bodyAt, err := r.readHead()
	if err != nil {
		return Response{}, err
	}
	head, err := parseHead(r.buf[:bodyAt-2])
	if err != nil {
		return Response{}, err
	}
	for r.end < bodyAt+head.length {
		if err := r.fill(); err != nil {
			return Response{}, err
		}
	}
	r.start = bodyAt + head.length
	return Response{Status: head.status, Body: r.buf[bodyAt:r.start], Close: head.close}, nil
}

// readHead reads up to the empty line and returns where the body starts.
func (r *Reader) readHead() (int, error) {
	for scanned := 0; ; {
		if i := bytes.Index(r.buf[scanned:r.end], []byte("\r\n\r\n")); i >= 0 {
			return scanned + i + 4, nil
		}
		if r.end >= maxHead {
			return 0, ErrTooLarge
		}
		scanned = max(r.end-3, 0) // the empty line may be split between reads
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more bytes, growing the buffer within what the limits allow.
func (r *Reader) fill() error {
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0:
			return nil // an error that came along comes again
		case err == io.EOF && r.end > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

type head struct {
	status, length int
	close          bool
}

// parseHead reads status line and headers, each line ended by CR LF (RFC 9112,
// sections 4 to 6).
func parseHead(b []byte) (head, error) {
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || (len(line) > 12 && line[12] != ' ') {
		return head{}, fmt.Errorf("%w: status line %.40q", ErrMalformed, line)
	}
	status, ok := decimal(line[9:12])
	if !ok || status < 100 {
		return head{}, fmt.Errorf("%w: status line %.40q", ErrMalformed, line)
	}
	if status < 200 {
		return head{}, fmt.Errorf("%w: informational status %d", ErrUnsupported, status)
	}
	h := head{status: status, length: -1, close: line[7] == '0'}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if err := h.field(line); err != nil {
			return head{}, err
		}
	}
	if status == 204 || status == 304 {
		h.length = 0
	}
	if h.length < 0 {
		return head{}, fmt.Errorf("%w: no Content-Length", ErrUnsupported)
	}
	return h, nil
}

// field takes in one header line. Only three names matter, and their lengths
// differ, so that most lines cost one search for the colon.
func (h *head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || line[0] == ' ' || line[0] == '\t' || line[colon-1] == ' ' || line[colon-1] == '\t' {
		return fmt.Errorf("%w: header line %.40q", ErrMalformed, line)
	}
	name := line[:colon]
	switch {
	case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
		length, ok := decimal(bytes.Trim(line[colon+1:], " \t"))
		if !ok || h.length >= 0 && h.length != length {
			return fmt.Errorf("%w: %.60q", ErrMalformed, line)
		}
		if length > maxBody {
			return ErrTooLarge
		}
		h.length = length
	case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		return fmt.Errorf("%w: %.60q", ErrUnsupported, line)
	case len(name) == 10 && bytes.EqualFold(name, []byte("Connection")):
		h.close = h.close || bytes.EqualFold(bytes.Trim(line[colon+1:], " \t"), []byte("close"))
	}
	return nil
}

// decimal reads 1 to 9 ASCII digits; more is no length that anyone sends.
func decimal(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
