package smpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"codeword/internal/message"
)

// What one SMS holds of UCS-2, in UTF-16 code units: alone, and as one of
// several (3GPP TS 23.040, section 9.2.3.24.1).
const (
	ucs2Alone  = 70
	ucs2InPart = 67
)

const udhLen = 6

// maxInboundText bounds how much of a message from a phone is read, in octets:
// ten SMS. A command such as STOP stands at the beginning.
const maxInboundText = 10 * 160

// errTooLong is a text of more SMS than Config.MaxSegments.
var errTooLong = errors.New("smpp: text takes more SMS than max-segments allows")

// encoded is a text as the SMSC takes it, cut into one part for each SMS.
type encoded struct {
	coding byte
	parts  [][]byte
}

// encode encodes text in the SMSC's default alphabet if that has every
// character and so has GSM-7, which goes over the air; else in UCS-2.
func encode(text string, latin1 bool) encoded {
	gsm7 := message.Count(text).Encoding == message.GSM7
	switch {
	case gsm7 && !latin1:
		return encodeParts(codingDefault, message.Split(text), func(s string) []byte {
			b, _ := message.EncodeGSM7(s) // Count said that it is
			return b
		})
	case gsm7 && isLatin1(text):
		return encodeParts(codingDefault, message.Split(text), encodeLatin1)
	default:
		return encodeParts(codingUCS2, splitUCS2(text), encodeUCS2)
	}
}

func encodeParts(coding byte, texts []string, enc func(string) []byte) encoded {
	e := encoded{coding: coding, parts: make([][]byte, len(texts))}
	for i, s := range texts {
		e.parts[i] = enc(s)
	}
	return e
}

// whole is the text in one piece.
func (e *encoded) whole() []byte {
	if len(e.parts) == 1 {
		return e.parts[0]
	}
	return bytes.Join(e.parts, nil)
}

// splitUCS2 cuts a text that goes as UCS-2. message.Split would cut it for the
// alphabet that it takes to be the right one, which an SMSC of Latin-1 may not
// have. Surrogate pairs stay together.
func splitUCS2(text string) []string {
	units := 0
	for _, r := range text {
		units += utf16.RuneLen(r)
	}
	if units <= ucs2Alone {
		return []string{text}
	}
	var parts []string
	used, start := 0, 0
	for i, r := range text {
		n := utf16.RuneLen(r)
		if used+n > ucs2InPart {
			parts = append(parts, text[start:i])
			used, start = 0, i
		}
		used += n
	}
	return append(parts, text[start:])
}

func isLatin1(text string) bool {
	for _, r := range text {
		if r > 0xFF {
			return false
		}
	}
	return true
}

func encodeLatin1(text string) []byte {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r))
	}
	return b
}

// encodeUCS2 writes big-endian UTF-16, which is what phones make of UCS-2.
func encodeUCS2(text string) []byte {
	b := make([]byte, 0, 2*len(text))
	for _, r := range text {
		if hi, lo := utf16.EncodeRune(r); hi != utf8.RuneError {
			b = binary.BigEndian.AppendUint16(b, uint16(hi))
			b = binary.BigEndian.AppendUint16(b, uint16(lo))
			continue
		}
		b = binary.BigEndian.AppendUint16(b, uint16(r))
	}
	return b
}

// withUDH returns a part behind a user data header that says that it is part n,
// from 1, of total (3GPP TS 23.040, section 9.2.3.24.1: 8-bit reference).
func withUDH(part []byte, ref byte, total, n int) []byte {
	b := make([]byte, 0, udhLen+len(part))
	b = append(b, udhLen-1, 0x00, 0x03, ref, byte(total), byte(n))
	return append(b, part...)
}

// decodeText reads the text of a message from a phone; false if it is not text.
func decodeText(coding byte, b []byte, latin1 bool) (string, bool) {
	b = b[:min(len(b), maxInboundText)]
	switch {
	case coding == codingUCS2:
		return decodeUCS2(b), true
	case coding == codingLatin1, coding == codingASCII, coding == codingDefault && latin1:
		return decodeLatin1(b), true
	case coding == codingDefault, coding&0xFC == 0xF0: // 0xF0 to 0xF3: GSM with a message class
		return decodeGSM7(b), true
	default:
		return "", false
	}
}

func decodeLatin1(b []byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for _, c := range b {
		out.WriteRune(rune(c))
	}
	return out.String()
}

// decodeUCS2 reads big-endian UTF-16. Lone surrogates become U+FFFD, and a last
// odd byte is dropped.
func decodeUCS2(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// gsmEscape leads to the extension table of GSM-7 (3GPP TS 23.038, section
// 6.2.1.1).
const gsmEscape = 0x1B

// gsmRunes has the character of each septet, and from 128 on of each septet
// after an escape; 0 where there is none. It is message.EncodeGSM7 turned round.
var gsmRunes = func() (table [256]rune) {
	learn := func(r rune) {
		switch b, ok := message.EncodeGSM7(string(r)); {
		case !ok:
		case len(b) == 2:
			table[128+int(b[1])] = r
		default:
			table[b[0]] = r
		}
	}
	for r := range 'Ω' + 1 { // the last one but the euro sign
		learn(r)
	}
	learn('€')
	return table
}()

// decodeGSM7 reads text of a septet a byte. A septet without meaning becomes a
// space, as the standard asks of a phone.
func decodeGSM7(b []byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for i := 0; i < len(b); i++ {
		at := int(b[i] & 0x7F)
		if at == gsmEscape && i+1 < len(b) {
			i++
			at = 128 + int(b[i]&0x7F)
		}
		r := gsmRunes[at]
		if r == 0 {
			r = ' '
		}
		out.WriteRune(r)
	}
	return out.String()
}
