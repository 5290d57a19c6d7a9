package attack_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// raw writes bytes to the server and returns the statuses of all answers until
// it closes the connection, or is silent for a while after as many as are certain. The
// connection's own end is not an error: what counts is what was answered.
func raw(t *testing.T, e *testserver.Endpoint, text string, certain int) (statuses []int, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(waittest.Patience)); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() { // the server may answer and close before it has read all
		defer close(written)
		_, _ = io.WriteString(conn, text)
	}()
	defer func() {
		_ = conn.Close() // ends the writer
		<-written
	}()
	in := bufio.NewReader(conn)
	for {
		wait := waittest.Patience
		if len(statuses) >= certain {
			wait = 700 * time.Millisecond // for one that should not come
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			var timeout net.Error
			return statuses, !errors.As(err, &timeout) || !timeout.Timeout()
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		statuses = append(statuses, resp.StatusCode)
	}
}

// TestSmuggling sends one request whose end is disputable, with a second one
// hidden where another reading sees a body. A server behind a proxy must refuse
// such a request or end the connection after it (RFC 9112 section 6.3), so that
// the hidden one is never carried out.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	request := func(to, framing, body string) string {
		return "POST " + api.PathSend + " HTTP/1.1\r\nHost: x\r\n" + api.HeaderClientID + ": " + s.Live.ID + "\r\n" +
			api.HeaderClientSecret + ": " + s.Live.Secret + "\r\nContent-Type: application/json\r\n" + framing + "\r\n" + body
	}
	good := strings.TrimSpace(encode(api.SendSmsOtpRequest{PhoneNumber: number(1)}))
	sized := func(to string) string {
		body := strings.TrimSpace(encode(api.SendSmsOtpRequest{PhoneNumber: to}))
		return request(to, fmt.Sprintf("Content-Length: %d\r\n", len(body)), body)
	}
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(good), good)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(good))
	// Each hides the request for a number of its own after the body.
	shapes := []struct{ name, framing, body string }{
		{"two lengths", length + "Content-Length: 0\r\n", good},
		{"two lengths, other first", "Content-Length: 0\r\n" + length, good},
		{"lengths in one field", fmt.Sprintf("Content-Length: %d, 0\r\n", len(good)), good},
		{"length and chunked", "Content-Length: 4000\r\nTransfer-Encoding: chunked\r\n", chunk},
		{"chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 4000\r\n", chunk},
		{"length and empty chunked", "Content-Length: 4000\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
		{"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunk},
		{"chunked, identity", "Transfer-Encoding: chunked, identity\r\n", chunk},
		{"identity, chunked", "Transfer-Encoding: identity, chunked\r\n", chunk},
		{"xchunked", "Transfer-Encoding: xchunked\r\n" + length, good},
		{"space before the colon", "Transfer-Encoding : chunked\r\n" + length, good},
		{"tab before the value, vertical", "Transfer-Encoding:\x0bchunked\r\n" + length, good},
		{"folded", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4000\r\n", chunk},
		{"NUL in a field", "X: a\x00b\r\n" + length, good},
		{"CR in a field", "X: a\rContent-Length: 0\r\n" + length, good},
		{"signed length", fmt.Sprintf("Content-Length: +%d\r\n", len(good)), good},
		{"negative length", "Content-Length: -1\r\n", good},
		{"hexadecimal length", fmt.Sprintf("Content-Length: 0x%x\r\n", len(good)), good},
		{"length with blanks", fmt.Sprintf("Content-Length: %d %d\r\n", len(good), len(good)), good},
		{"huge length", "Content-Length: 99999999999999999999\r\n", good},
		{"length of another name", "Content_Length: 0\r\nContent-Length : 0\r\n" + length, good},
		{"no host twice", "Host: y\r\n" + length, good},
		{"bad chunk size", "Transfer-Encoding: chunked\r\n", "0x1\r\n" + chunk},
		{"huge chunk size", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n" + good},
		{"negative chunk size", "Transfer-Encoding: chunked\r\n", "-1\r\n" + good},
		{"chunk longer than told", "Transfer-Encoding: chunked\r\n", "1\r\n" + good + "\r\n0\r\n\r\n"},
	}
	carriedOut := 0
	for i, shape := range shapes {
		hidden := number(1000 + i)
		statuses, closed := raw(t, s.Endpoint, request("", shape.framing, shape.body)+sized(hidden), 2) // or the end after one
		n := len(s.Inbox(hidden))
		carriedOut += n
		if n != 0 {
			t.Errorf("%s: the hidden request was carried out, answers %v", shape.name, statuses)
		}
		if len(statuses) != 1 || !closed {
			t.Errorf("%s: answers %v, connection closed %v; want one answer and the end", shape.name, statuses, closed)
		}
	}
	// The tools work: two honest requests in one go are two answers.
	honest, _ := raw(t, s.Endpoint, sized(number(2000))+sized(number(2001)), 2)
	report(t, "smuggling", fmt.Sprintf("%d requests with a disputable end and another request hidden behind it", len(shapes)),
		"%d hidden requests carried out (two honest ones: %v)", carriedOut, honest)
	if len(honest) != 2 || honest[0] != 200 || honest[1] != 200 {
		t.Errorf("two honest requests got %v", honest)
	}
}

// endless is a chunked body that goes on until nobody reads it.
type endless struct{ sent int }

func (e *endless) Read(p []byte) (int, error) {
	if e.sent > 64<<20 {
		return 0, io.EOF
	}
	n := min(len(p), 4<<10)
	for i := range n {
		p[i] = ' '
	}
	e.sent += n
	return n, nil
}

func TestEndlessBody(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	head := "POST " + api.PathSend + " HTTP/1.1\r\nHost: x\r\n" + api.HeaderClientID + ": " + s.Live.ID + "\r\n" +
		api.HeaderClientSecret + ": " + s.Live.Secret + "\r\nContent-Type: application/json\r\n"
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(waittest.Patience)); err != nil {
		t.Fatal(err)
	}
	body := &endless{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n")
		buf := make([]byte, 4<<10)
		for {
			n, err := body.Read(buf)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", n, buf[:n]); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer to an endless body: %v", err)
	}
	_ = conn.Close()
	<-done
	// A caller who waits to be asked is told at once, and nothing is read.
	statuses, _ := raw(t, s.Endpoint, head+"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n", 1)
	report(t, "endless-body", "a chunked body without end, and a gigabyte announced", "%d after %d KiB, %v", resp.StatusCode, body.sent>>10, statuses)
	if resp.StatusCode != http.StatusRequestEntityTooLarge || body.sent > 32<<20 {
		t.Errorf("an endless body got %d after %d bytes", resp.StatusCode, body.sent)
	}
	if len(statuses) != 1 || statuses[0] != http.StatusRequestEntityTooLarge {
		t.Errorf("a gigabyte announced got %v", statuses)
	}
	if a := c.send(number(1)); a.status != http.StatusOK {
		t.Errorf("the server afterwards: %s", a)
	}
}
