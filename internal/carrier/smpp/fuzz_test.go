package smpp_test

import (
	"io"
	"net"
	"testing"
	"time"
	"unicode/utf8"

	"codeword/internal/carrier/smpp"
)

// stream is a connection from which a fuzzer's bytes come.
type stream struct {
	net.Conn
	rest []byte
}

func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(len(s.rest), 100)]) // in pieces, as networks do
	s.rest = s.rest[n:]
	return n, nil
}

func (*stream) SetReadDeadline(time.Time) error { return nil }

// FuzzDecode reads any bytes as a stream of PDUs: reading ends, what it returns
// fits into what came, and what is made of it keeps the bounds of the port.
func FuzzDecode(f *testing.F) {
	seeds := []pdu{
		{command: cmdSubmitResp, sequence: 2, body: []byte("0000ABCD\x00")},
		{command: cmdSubmitResp, status: 0x58, sequence: 3},
		{command: cmdBindTransceiver | 0x80000000, sequence: 1, body: []byte("SMSC\x00\x02\x10\x00\x01\x34")},
		{command: cmdEnquire, sequence: 4},
		{command: cmdGenericNack, status: 2, sequence: 5},
		deliver(6, "16502530000", esmReceipt, 0, "id:0000000123 sub:001 dlvrd:001 submit date:2611220930 done date:2611220931 stat:DELIVRD err:000 text:x"),
		deliver(7, "16502530000", esmReceipt, 0, "", tlv{0x001E, "abc\x00"}, tlv{0x0427, "\x05"}, tlv{0x0423, "\x03\x00\x06"}),
		deliver(8, "+16502530000", 0, 0, "STOP \x1b\x65"),
		deliver(9, "6502530000", 0x40, 8, "\x05\x00\x03\x01\x02\x01\x00S\x00T\xd8\x3d"),
		{command: cmdDataSM, sequence: 10, body: dataBody("16502530000", esmReceipt, 0, tlv{0x001E, "5"}, tlv{0x0424, "id:1 stat:EXPIRED"})},
	}
	var all []byte
	for _, p := range seeds {
		f.Add(p.bytes())
		all = append(all, p.bytes()...)
	}
	f.Add(all)
	f.Add(all[:len(all)-7])
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x05"))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := smpp.ReadAll(&stream{rest: data}, func(_ uint32, body []byte) {
			total += 16 + len(body)
			for _, format := range []string{smpp.IDsAsIs, smpp.IDsHex, smpp.IDsDecimal} {
				checkRef(t, smpp.MessageID(body, format))
				for _, id := range []uint32{cmdDeliver, cmdDataSM} {
					r, ok, err := smpp.Interpret(id, body, format == smpp.IDsHex, format, nil)
					if err != nil && ok {
						t.Error("a report of a malformed PDU")
					}
					for _, d := range r.Receipts {
						checkRef(t, d.Ref)
						if d.Ref == "" || d.Status == 0 {
							t.Errorf("an empty receipt: %+v", d)
						}
					}
					for _, in := range r.Inbound {
						if !in.From.IsValid() || !utf8.ValidString(string(in.Text)) || len(in.Text) > 8000 {
							t.Errorf("from %v, %d bytes", in.From, len(in.Text))
						}
					}
				}
			}
		})
		if err == nil || total > len(data) {
			t.Errorf("ended with %v after %d of %d bytes", err, total, len(data))
		}
	})
}

func checkRef(t *testing.T, ref string) {
	t.Helper()
	if len(ref) > 128 {
		t.Errorf("ref of %d bytes", len(ref))
	}
	for _, c := range []byte(ref) {
		if c < ' ' || c > '~' {
			t.Errorf("ref %q", ref)
		}
	}
}

func FuzzReceipt(f *testing.F) {
	for _, seed := range []string{
		"id:0000000123 sub:001 dlvrd:001 submit date:2611220930 done date:2611220931 stat:DELIVRD err:000 text:hello",
		"ID: 7 STAT: undeliv ERR: 0x1", "id:1 id:2 stat:X text:stat:Y", "id:", ":::", "", "stat:DELIVRD id:\x00\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		id, stat, code := smpp.ReceiptText(text)
		if len(id)+len(stat)+len(code) > len(text) {
			t.Errorf("%q, %q and %q are longer than the text", id, stat, code)
		}
		for _, v := range []string{id, stat, code} {
			for _, c := range []byte(v) {
				if c == ' ' || c == 0 || c == '\n' {
					t.Errorf("a value with a separator: %q", v)
				}
			}
		}
	})
}

// TestReadingAllocatesNothing: the buffer of a connection is the only memory
// that a stream of PDUs takes, however long they are.
func TestReadingAllocatesNothing(t *testing.T) {
	big := pdu{command: cmdDeliver, body: make([]byte, smpp.MaxPDU-16)}.bytes()
	count := func(n int) float64 {
		data := make([]byte, 0, n*len(big))
		for range n {
			data = append(data, big...)
		}
		return testing.AllocsPerRun(5, func() {
			seen := 0
			_ = smpp.ReadAll(&stream{rest: data}, func(_ uint32, body []byte) { seen++ })
			if seen != n {
				t.Fatalf("read %d of %d", seen, n)
			}
		})
	}
	if one, many := count(1), count(20); many > one {
		t.Errorf("20 PDUs cost %v allocations, one costs %v", many, one)
	}
}
