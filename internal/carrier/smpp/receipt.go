package smpp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
)

const (
	// maxRef is the length of a carrier.Receipt.Ref.
	maxRef = 128
	// maxReceiptText is how much of a receipt's text is read.
	maxReceiptText = 512
)

// interpreter makes sense of what the SMSC delivers.
type interpreter struct {
	latin1         bool
	ids            idFormat
	receiptReasons map[string]string
}

// read returns what a delivery reports; false for what reports nothing: a
// receipt without id or state, a message that is not text, or one from somebody
// who is not a telephone number of ours to know, such as a short code.
func (in *interpreter) read(d *delivery) (carrier.Reports, bool) {
	if isReceipt(d) {
		r, ok := in.receipt(d)
		if !ok {
			return carrier.Reports{}, false
		}
		return carrier.Reports{Receipts: []carrier.DeliveryReceipt{r}}, true
	}
	if d.esmClass&esmTypeMask != 0 { // acknowledgments of a phone's user, and the like
		return carrier.Reports{}, false
	}
	from, ok := parseSource(d.source)
	if !ok {
		return carrier.Reports{}, false
	}
	text, ok := decodeText(d.coding, d.text, in.latin1)
	if !ok {
		return carrier.Reports{}, false
	}
	to := string(d.dest[:min(len(d.dest), maxAddress)])
	return carrier.Reports{Inbound: []carrier.Inbound{{From: from, To: to, Text: message.Text(text)}}}, true
}

// isReceipt tells by what the SMSC says, never by the text alone: anybody can
// text "id:1 stat:DELIVRD" to our number.
func isReceipt(d *delivery) bool {
	switch d.esmClass & esmTypeMask {
	case esmReceipt, esmIntermediate:
		return true
	default:
		return len(d.receiptedID) > 0
	}
}

// receipt reads a receipt from the optional parameters, and what is not there
// from the text. At stays zero: Appendix B does not say in whose time zone its
// "done date" is.
func (in *interpreter) receipt(d *delivery) (carrier.DeliveryReceipt, bool) {
	raw := d.text[:min(len(d.text), maxReceiptText)]
	if d.coding == codingUCS2 {
		raw = []byte(decodeUCS2(raw))
	}
	text := parseReceipt(raw)
	ref := in.ids.ofReceipt(d.receiptedID, text.id)
	st, known := states[stateWords[strings.ToUpper(text.stat)]]
	if len(d.state) == 1 {
		if s, ok := states[d.state[0]]; ok {
			st, known = s, true
		}
	}
	if ref == "" || !known {
		return carrier.DeliveryReceipt{}, false
	}
	r := carrier.DeliveryReceipt{Ref: ref, Status: st.status}
	if r.Status == carrier.ReceiptFailed {
		r.Reason = in.failure(st.reason, d.networkError, text.err)
	}
	return r, true
}

// failure finds the reason of a failed delivery: the operator's table first,
// then the network's own code, else what the state alone says.
func (in *interpreter) failure(reason string, network []byte, code string) string {
	var nettype byte
	var netcode uint16
	if len(network) == 3 {
		nettype, netcode = network[0], binary.BigEndian.Uint16(network[1:])
		if netcode != 0 {
			if r, ok := in.receiptReasons[strconv.Itoa(int(netcode))]; ok {
				return r
			}
		}
	}
	if r, ok := in.receiptReasons[trimZeros(code)]; ok && code != "" {
		return r
	}
	if r, ok := mapErrors[netcode]; ok && nettype == networkGSM {
		return r
	}
	return reason
}

// receiptText is what counts in the text of a receipt.
type receiptText struct{ id, stat, err string }

// parseReceipt reads the text of a receipt (Appendix B):
//
//	id:IIIIIIIIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done date:YYMMDDhhmm stat:DDDDDDD err:E Text: . . .
//
// in any order and case, with or without a space after a colon. What follows
// "text:" was written by us, or by others, and is not looked at.
func parseReceipt(text []byte) receiptText {
	var r receiptText
	var pending *string // a key whose value is the next word
	for word := range bytes.FieldsFuncSeq(text, func(c rune) bool { return c == ' ' || c == 0 || c == '\r' || c == '\n' || c == '\t' }) {
		if pending != nil {
			if *pending == "" && !bytes.ContainsRune(word, ':') {
				*pending = string(word)
				pending = nil
				continue
			}
			pending = nil
		}
		key, value, ok := bytes.Cut(word, []byte{':'})
		if !ok {
			continue
		}
		var field *string
		switch strings.ToLower(string(key)) {
		case "id":
			field = &r.id
		case "stat":
			field = &r.stat
		case "err":
			field = &r.err
		case "text":
			return r
		default:
			continue
		}
		if *field != "" {
			continue
		}
		*field = string(value)
		if len(value) == 0 {
			pending = field
		}
	}
	return r
}

// idFormat says in which base an SMSC writes message ids. Some write the id in
// hexadecimal in submit_sm_resp and in decimal in the text of the receipt, or
// the other way round, so both are brought into one form before they meet.
type idFormat uint8

const (
	// idsAsIs: both sides alike.
	idsAsIs idFormat = iota
	// idsHex: hexadecimal in submit_sm_resp, decimal in receipts.
	idsHex
	// idsDecimal: decimal in submit_sm_resp, hexadecimal in receipts.
	idsDecimal
)

// ofSubmit is the Ref of a message by the id of its submit_sm_resp.
func (f idFormat) ofSubmit(id []byte) string {
	switch f {
	case idsHex:
		return canonicalID(id, 16)
	case idsDecimal:
		return canonicalID(id, 10)
	default:
		return canonicalID(id, 0)
	}
}

// ofReceipt is the Ref of the message of a receipt. receipted_message_id is by
// definition the id of submit_sm_resp (section 5.3.2.12), unless it shows to be
// a copy of the one in the text.
func (f idFormat) ofReceipt(receipted []byte, text string) string {
	if len(receipted) > 0 && (f == idsAsIs || string(receipted) != text) {
		return f.ofSubmit(receipted)
	}
	switch f {
	case idsHex:
		return canonicalID([]byte(text), 10)
	case idsDecimal:
		return canonicalID([]byte(text), 16)
	default:
		return canonicalID([]byte(text), 0)
	}
}

// canonicalID is the one spelling of an id: a number in that base becomes
// hexadecimal in lower case without leading zeros. In base 0 what looks like a
// number loses case and leading zeros only, in which the two sides often differ
// as well. What is no number stays as it is.
func canonicalID(id []byte, base int) string {
	id = trimID(id)
	if len(id) > maxRef {
		id = id[:maxRef]
	}
	if base != 0 {
		if n, err := strconv.ParseUint(string(id), base, 64); err == nil {
			return strconv.FormatUint(n, 16)
		}
		if isHex(id) { // no sign, no underscore, as SetString would take
			if n, ok := new(big.Int).SetString(string(id), base); ok {
				return n.Text(16)
			}
		}
	}
	if isHex(id) {
		return trimZeros(strings.ToLower(string(id)))
	}
	for _, c := range id {
		if c < ' ' || c > '~' {
			return hex.EncodeToString(id[:min(len(id), maxRef/2)])
		}
	}
	return string(id)
}

func isHex(id []byte) bool {
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(id) > 0
}

// trimZeros drops leading zeros, but not the last digit.
func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// parseSource reads a source address: "16502530000", "+16502530000",
// or "6502530000". The type of number is not looked at, since SMSCs write what
// they like there, but a plus sign is meant: "+6591234567" is in Singapore.
func parseSource(b []byte) (phone.Number, bool) {
	digits, plus := strings.CutPrefix(strings.TrimSpace(string(b[:min(len(b), 2*maxAddress)])), "+")
	if len(digits) == 10 && !plus {
		digits = "1" + digits
	}
	n, err := phone.Parse("+" + digits)
	return n, err == nil
}
