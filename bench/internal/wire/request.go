package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Header is one request header field.
type Header struct{ Name, Value string }

// Template renders POST requests that differ in nothing but their JSON body. It
// is immutable and safe for concurrent use.
type Template struct{ head []byte }

// NewTemplate renders everything that is the same in each request. host is
// "name:port". It refuses names and values that would break out of their line.
func NewTemplate(host, path string, headers ...Header) (*Template, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", path, host)
	if strings.ContainsAny(path+host, "\r\n \x00") {
		return nil, fmt.Errorf("wire: %q or %q cannot stand in a request line", path, host)
	}
	for _, h := range headers {
		if h.Name == "" || strings.ContainsAny(h.Name, "\r\n :\x00") || strings.ContainsAny(h.Value, "\r\n\x00") {
			return nil, fmt.Errorf("wire: header %q cannot be sent", h.Name)
		}
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	b.WriteString("Content-Length: ")
	return &Template{head: []byte(b.String())}, nil
}

// Append appends a whole request with the body, in parts, to dst and returns
// the extended buffer.
func (t *Template) Append(dst []byte, body ...string) []byte {
	length := 0
	for _, part := range body {
		length += len(part)
	}
	dst = append(dst, t.head...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	dst = append(dst, "\r\n\r\n"...)
	for _, part := range body {
		dst = append(dst, part...)
	}
	return dst
}
