package smpp

import (
	"net"
	"time"

	"codeword/internal/carrier"
)

// What the black-box tests need to see of the inside.
const (
	MaxPDU     = maxPDU
	MaxReports = maxReports
	FirstPause = firstPause
)

// ReadAll reads PDUs off a connection until an error, and decodes each as what
// it says it is, and as everything else.
func ReadAll(conn net.Conn, visit func(command uint32, body []byte)) error {
	rd := newReader(conn, time.Minute, time.Minute)
	for {
		h, body, err := rd.next()
		if err != nil {
			return err
		}
		visit(uint32(h.command), body)
	}
}

// Interpret decodes the body of a deliver_sm or data_sm and reads it.
func Interpret(id uint32, body []byte, latin1 bool, format string, codes map[string]string) (carrier.Reports, bool, error) {
	d, err := decodeDelivery(command(id), body)
	if err != nil {
		return carrier.Reports{}, false, err
	}
	in := interpreter{latin1: latin1, ids: formatOf(format), receiptReasons: codes}
	r, ok := in.read(&d)
	return r, ok, nil
}

func formatOf(format string) idFormat {
	return map[string]idFormat{IDsHex: idsHex, IDsDecimal: idsDecimal}[format]
}

// MessageID reads the body of a submit_sm_resp.
func MessageID(body []byte, format string) string {
	return formatOf(format).ofSubmit(decodeMessageID(body))
}

// ReceiptText returns id, stat and err of a receipt's text.
func ReceiptText(b []byte) (id, stat, code string) {
	r := parseReceipt(b)
	return r.id, r.stat, r.err
}

// Encode returns the data_coding and the parts of a text.
func Encode(text string, latin1 bool) (byte, [][]byte) {
	e := encode(text, latin1)
	return e.coding, e.parts
}

// DecodeText reads a text from a phone.
var DecodeText = decodeText

// RelativeTime writes a validity_period.
var RelativeTime = relativeTime

// Sequences returns the n sequence numbers that follow last where taken are in
// use.
func Sequences(last uint32, n int, taken ...uint32) []uint32 {
	s := &session{sequence: last, inflight: map[uint32]*request{}}
	for _, t := range taken {
		s.inflight[t] = nil
	}
	var out []uint32
	for range n {
		out = append(out, s.nextSequence())
	}
	return out
}
