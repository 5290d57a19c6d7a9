package server

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"time"
)

// newRequestID returns a UUIDv7 (RFC 9562 section 5.7): sortable by time and
// unique. It is no secret, so the fast generator does.
func newRequestID(now time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|rand.Uint64()&0x0fff|0x7000) //nolint:gosec // no secret
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()>>2|1<<63)                                  //nolint:gosec // no secret
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	text[8] = '-'
	hex.Encode(text[9:13], id[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], id[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], id[8:10])
	text[23] = '-'
	hex.Encode(text[24:], id[10:])
	return string(text[:])
}

// maxClientRequestID is the longest request-id of a caller that is logged.
const maxClientRequestID = 64

// clientRequestID returns the caller's own request-id if it is harmless in a
// log, else "". It is never used for anything else.
func clientRequestID(h http.Header) string {
	values := h["Request-Id"]
	if len(values) != 1 || len(values[0]) > maxClientRequestID {
		return ""
	}
	for _, c := range []byte(values[0]) {
		if !isAlphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return values[0]
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
