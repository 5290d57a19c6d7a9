package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"codeword/bench/internal/wire"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nrequest-id: a:b\r\nContent-Length: 4\r\n\r\nbody"

func TestReaderTakesWholeAndSplitInput(t *testing.T) {
	t.Parallel()
	stream := ok + "HTTP/1.1 503 Service Unavailable\r\ncONTENT-lENGTH:\t 2 \r\nConnection: Close\r\n\r\n{}" +
		"HTTP/1.1 204\r\n\r\n" + "HTTP/1.0 200 \r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"
	want := []wire.Response{
		{Status: 200, Body: []byte("body")},
		{Status: 503, Body: []byte("{}"), Close: true},
		{Status: 204},
		{Status: 200, Close: true},
	}
	sources := map[string]io.Reader{
		"at once":        strings.NewReader(stream),
		"byte by byte":   iotest.OneByteReader(strings.NewReader(stream)),
		"in halves":      iotest.HalfReader(strings.NewReader(stream)),
		"data with EOF":  iotest.DataErrReader(strings.NewReader(stream)),
		"bytes with EOF": iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(stream))),
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := wire.NewReader(source)
			for i, w := range want {
				got, err := r.Next()
				if err != nil || got.Status != w.Status || got.Close != w.Close || !bytes.Equal(got.Body, w.Body) {
					t.Fatalf("response %d = %+v, %v; want %+v", i, got, err, w)
				}
			}
			if _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last response: %v, want io.EOF", err)
			}
		})
	}
}

func TestReaderRefusesHostileInput(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 200 OK\r\n"
	tests := map[string]struct {
		in   string
		want error
	}{
		"empty":                {"", io.EOF},
		"cut in the head":      {head + "Content-Le", io.ErrUnexpectedEOF},
		"cut in the body":      {head + "Content-Length: 9\r\n\r\nbody", io.ErrUnexpectedEOF},
		"not HTTP":             {"SSH-2.0-OpenSSH_9.6\r\n\r\n", wire.ErrMalformed},
		"HTTP/2":               {"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"empty head":           {"\r\n\r\n", wire.ErrMalformed},
		"status of two digits": {"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"status of four":       {"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"status with sign":     {"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"status under 100":     {"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"informational":        {"HTTP/1.1 100 Continue\r\n\r\n" + ok, wire.ErrUnsupported},
		"no length":            {head + "\r\nbody", wire.ErrUnsupported},
		"chunked":              {head + "transfer-encoding: chunked\r\n\r\n0\r\n\r\n", wire.ErrUnsupported},
		"chunked and length":   {head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", wire.ErrUnsupported},
		"two lengths":          {head + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", wire.ErrMalformed},
		"negative length":      {head + "Content-Length: -1\r\n\r\n", wire.ErrMalformed},
		"signed length":        {head + "Content-Length: +4\r\n\r\nbody", wire.ErrMalformed},
		"hex length":           {head + "Content-Length: 0x4\r\n\r\nbody", wire.ErrMalformed},
		"blank length":         {head + "Content-Length: \r\n\r\n", wire.ErrMalformed},
		"overflowing length":   {head + "Content-Length: 18446744073709551620\r\n\r\nbody", wire.ErrMalformed},
		"huge length":          {head + "Content-Length: 999999999\r\n\r\nbody", wire.ErrTooLarge},
		"line without colon":   {head + "nonsense\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"line without name":    {head + ": x\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"folded line":          {head + "A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n", wire.ErrMalformed},
		"space before colon":   {head + "Content-Length : 4\r\n\r\nbody", wire.ErrMalformed},
		"endless head":         {head + strings.Repeat("A: b\r\n", 100_000), wire.ErrTooLarge},
		"endless line":         {strings.Repeat("H", 1<<20), wire.ErrTooLarge},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, source := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
				if got, err := wire.NewReader(source).Next(); !errors.Is(err, test.want) {
					t.Errorf("Next() = %+v, %v; want %v", got, err, test.want)
				}
			}
		})
	}
}

func TestReaderGivesUpOnASourceThatNeverProgresses(t *testing.T) {
	t.Parallel()
	if _, err := wire.NewReader(stuck{}).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v, want io.ErrNoProgress", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestReaderLargeBody(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", 50_000)
	in := "HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + body + ok
	r := wire.NewReader(strings.NewReader(in))
	if got, err := r.Next(); err != nil || string(got.Body) != body {
		t.Fatalf("large body: %d bytes, %v", len(got.Body), err)
	}
	if got, err := r.Next(); err != nil || string(got.Body) != "body" {
		t.Errorf("response after it: %q, %v", got.Body, err)
	}
}

func TestConnRefusesToGoOnAfterUnsolicitedBytes(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	go func() {
		if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
			_, _ = io.WriteString(server, ok+"HTTP/1.1 200 OK\r\n")
		}
	}()
	conn := wire.NewConn(client)
	template, err := wire.NewTemplate("h:1", "/p")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Do(template.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Do(template.Append(nil)); !errors.Is(err, wire.ErrUnsolicited) {
		t.Errorf("second Do: %v, want ErrUnsolicited", err)
	}
}

func TestTemplateRendersWhatNetHTTPReads(t *testing.T) {
	t.Parallel()
	template, err := wire.NewTemplate("127.0.0.1:80", "/v1/auth/otp/sms:send", wire.Header{Name: "ratio-client-id", Value: "c"})
	if err != nil {
		t.Fatal(err)
	}
	raw := template.Append(nil, `{"phoneNumber":"`, "+16502530000", `"}`)
	raw = template.Append(raw, "{}")
	stream := bufio.NewReader(bytes.NewReader(raw))
	for _, want := range []string{`{"phoneNumber":"+16502530000"}`, "{}"} {
		request, err := http.ReadRequest(stream)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil || string(body) != want {
			t.Errorf("body %q, %v; want %q", body, err, want)
		}
		if request.Method != http.MethodPost || request.URL.Path != "/v1/auth/otp/sms:send" || request.Host != "127.0.0.1:80" ||
			request.Header.Get("Ratio-Client-Id") != "c" || request.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request %+v", request)
		}
	}
}

func TestTemplateRefusesInjection(t *testing.T) {
	t.Parallel()
	for _, h := range []wire.Header{{}, {Name: "a:b"}, {Name: "a\r\nb"}, {Name: "a", Value: "b\r\nc: d"}, {Name: "a", Value: "\x00"}} {
		if _, err := wire.NewTemplate("h:1", "/", h); err == nil {
			t.Errorf("header %q: %q was accepted", h.Name, h.Value)
		}
	}
	if _, err := wire.NewTemplate("h:1", "/ HTTP/1.1\r\nx: y"); err == nil {
		t.Error("a path with a line break was accepted")
	}
}
