package server

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"codeword/api"
)

// refuseJSON is INVALID_BODY for a document that cannot be read. The parser's
// own words may quote the body, and with it a phone number, so the log gets only
// what kind of fault it was.
func refuseJSON(err error) error {
	detail := "body is not JSON"
	switch {
	case errors.Is(err, errNoObject), errors.Is(err, errDepth), errors.Is(err, errTrailing):
		detail = err.Error()
	case errors.Is(err, jsontext.ErrDuplicateName):
		detail = "body has a name twice"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		detail = "body ends early"
	}
	return refuseBody(http.StatusBadRequest, detail)
}

// refuseBody is INVALID_BODY with one of its statuses.
func refuseBody(status int, detail string) error {
	return &problem{status: status, code: api.CodeInvalidBody, cause: errors.New(detail)}
}

// readJSON reads the body of a call into x.body.
func (x *exchange) readJSON() error {
	if !isJSON(x.r.Header["Content-Type"]) {
		return refuseBody(http.StatusUnsupportedMediaType, "media type is not application/json")
	}
	return x.readBody(api.MaxBodyBytes)
}

// readBody reads a body of at most limit bytes into x.body.
//
// The place at the gate is given back meanwhile: how long the caller takes to
// send is the caller's doing, and slow ones must not keep others out.
func (x *exchange) readBody(limit int) error {
	for _, coding := range x.r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return refuseBody(http.StatusUnsupportedMediaType, "body is encoded")
		}
	}
	if x.r.ContentLength > int64(limit) {
		return refuseBody(http.StatusRequestEntityTooLarge, "body is too large")
	}
	if x.admitted {
		x.s.gate.leave()
		x.admitted = false
	}
	var err error
	if x.body, err = readAll(x.r.Body, x.body[:0], limit); err != nil {
		return err
	}
	if x.admitted = x.s.gate.enter(); !x.admitted {
		return errOverload
	}
	return nil
}

// readAll reads into b, at most limit bytes.
func readAll(r io.Reader, b []byte, limit int) ([]byte, error) {
	if cap(b) == 0 {
		b = make([]byte, 0, 512)
	}
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return b, refuseBody(http.StatusRequestEntityTooLarge, "body is too large")
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, refuseBody(http.StatusBadRequest, "body cannot be read: "+err.Error())
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// isJSON accepts application/json, alone or with charset=utf-8; RFC 8259
// defines no parameter, but many callers send that one.
func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if values[0] == api.ContentTypeJSON {
		return true
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != api.ContentTypeJSON {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}
