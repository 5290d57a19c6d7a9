package smpp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/smpp"
)

// tlv is an optional parameter.
type tlv struct {
	tag   uint16
	value string
}

// deliverBody returns the body of a deliver_sm.
func deliverBody(from string, esm, coding byte, text string, params ...tlv) []byte {
	b := append([]byte{0, 1, 1}, from+"\x00"...)
	b = append(b, 3, 0)
	b = append(b, "12345\x00"...)
	b = append(b, esm, 0, 0, 0, 0, 0, 0, coding, 0, byte(len(text)))
	return appendTLVs(append(b, text...), params)
}

// dataBody returns the body of a data_sm.
func dataBody(from string, esm, coding byte, params ...tlv) []byte {
	b := append([]byte{0, 1, 1}, from+"\x00"...)
	b = append(b, 3, 0)
	b = append(b, "12345\x00"...)
	return appendTLVs(append(b, esm, 0, coding), params)
}

func appendTLVs(b []byte, params []tlv) []byte {
	for _, p := range params {
		b = binary.BigEndian.AppendUint16(b, p.tag)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.value)))
		b = append(b, p.value...)
	}
	return b
}

func deliver(sequence uint32, from string, esm, coding byte, text string, params ...tlv) pdu {
	return pdu{command: cmdDeliver, sequence: sequence, body: deliverBody(from, esm, coding, text, params...)}
}

const (
	receiptText = "id:0000000123 sub:001 dlvrd:001 submit date:2611220930 done date:2611220931 stat:%s err:%s text:your code"
	esmReceipt  = 0x04
)

// TestReceipts holds what an SMSC may deliver against what is reported.
func TestReceipts(t *testing.T) {
	text := func(stat, code string) string { return fmt.Sprintf(receiptText, stat, code) }
	codes := map[string]string{"7": carrier.ReasonOptedOut, "1107": carrier.ReasonLandline}
	id, st, network := uint16(0x001E), uint16(0x0427), uint16(0x0423)
	for name, tc := range map[string]struct {
		esm, coding byte
		text        string
		params      []tlv
		want        carrier.DeliveryReceipt // none if zero
	}{
		"delivered": {esm: esmReceipt, text: text("DELIVRD", "000"), want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptDelivered}},
		"in lower case, other order": {
			esm: esmReceipt, text: "stat:delivrd ID:ABC-1\x00",
			want: carrier.DeliveryReceipt{Ref: "ABC-1", Status: carrier.ReceiptDelivered},
		},
		"with spaces": {
			esm: esmReceipt, text: "id: 99  stat: UNDELIV err: 007",
			want: carrier.DeliveryReceipt{Ref: "99", Status: carrier.ReceiptFailed, Reason: carrier.ReasonOptedOut},
		},
		"accepted":          {esm: esmReceipt, text: text("ACCEPTD", "000"), want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptAccepted}},
		"unknown is no end": {esm: esmReceipt, text: text("UNKNOWN", "000"), want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptAccepted}},
		"expired": {
			esm: esmReceipt, text: text("EXPIRED", "000"),
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptFailed, Reason: carrier.ReasonExpired},
		},
		"code of the carrier": {
			esm: esmReceipt, text: text("UNDELIV", "007"),
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptFailed, Reason: carrier.ReasonOptedOut},
		},
		"unknown code": {
			esm: esmReceipt, text: text("REJECTD", "042"),
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptFailed, Reason: carrier.ReasonRejected},
		},
		"parameters only": {
			esm: esmReceipt, params: []tlv{{id, "00FF\x00"}, {st, "\x02"}},
			want: carrier.DeliveryReceipt{Ref: "ff", Status: carrier.ReceiptDelivered},
		},
		"parameters without esm_class": {
			params: []tlv{{id, "00FF"}, {st, "\x02"}},
			want:   carrier.DeliveryReceipt{Ref: "ff", Status: carrier.ReceiptDelivered},
		},
		"parameters before the text": {
			esm: esmReceipt, text: text("UNDELIV", "000"), params: []tlv{{id, "777"}, {st, "\x02"}},
			want: carrier.DeliveryReceipt{Ref: "777", Status: carrier.ReceiptDelivered},
		},
		"GSM network error": {
			esm: esmReceipt, params: []tlv{{id, "5"}, {st, "\x05"}, {network, "\x03\x00\x01"}},
			want: carrier.DeliveryReceipt{Ref: "5", Status: carrier.ReceiptFailed, Reason: carrier.ReasonInvalidNumber},
		},
		"other network error": {
			esm: esmReceipt, params: []tlv{{id, "5"}, {st, "\x05"}, {network, "\x01\x00\x01"}},
			want: carrier.DeliveryReceipt{Ref: "5", Status: carrier.ReceiptFailed, Reason: carrier.ReasonUnreachable},
		},
		"network error of the carrier": {
			esm: esmReceipt, params: []tlv{{id, "5"}, {st, "\x05"}, {network, "\x01\x04\x53"}},
			want: carrier.DeliveryReceipt{Ref: "5", Status: carrier.ReceiptFailed, Reason: carrier.ReasonLandline},
		},
		"text in the payload": {
			esm: esmReceipt, params: []tlv{{0x0424, text("DELIVRD", "000")}},
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptDelivered},
		},
		"UCS-2": {
			esm: esmReceipt, coding: 8, text: "\x00i\x00d\x00:\x007\x00 \x00s\x00t\x00a\x00t\x00:\x00D\x00E\x00L\x00I\x00V\x00R\x00D",
			want: carrier.DeliveryReceipt{Ref: "7", Status: carrier.ReceiptDelivered},
		},
		"intermediate":                  {esm: 0x20, text: text("ENROUTE", "000"), want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptAccepted}},
		"keys after text: do not count": {esm: esmReceipt, text: "id:1 text:stat:DELIVRD stat:DELIVRD"},
		"no id":                         {esm: esmReceipt, text: "stat:DELIVRD"},
		"no state":                      {esm: esmReceipt, text: "id:1"},
		"strange state":                 {esm: esmReceipt, text: text("PURPLE", "000")},
		"empty":                         {esm: esmReceipt},
		"state of two octets": {
			esm: esmReceipt, text: text("EXPIRED", "000"), params: []tlv{{st, "\x00\x02"}},
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptFailed, Reason: carrier.ReasonExpired},
		},
		"parameter cut short": {
			esm: esmReceipt, text: text("EXPIRED", "000"), params: []tlv{{0x1400, "x"}},
			want: carrier.DeliveryReceipt{Ref: "123", Status: carrier.ReceiptFailed, Reason: carrier.ReasonExpired},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := smpp.Interpret(cmdDeliver, deliverBody("16502530000", tc.esm, tc.coding, tc.text, tc.params...), false, "", codes)
			if err != nil {
				t.Fatal(err)
			}
			if want := (carrier.DeliveryReceipt{}); tc.want == want {
				if ok {
					t.Fatalf("got %+v, want nothing", got)
				}
				return
			}
			if !ok || len(got.Receipts) != 1 || got.Receipts[0] != tc.want || len(got.Inbound) != 0 {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestReceiptInDataSM(t *testing.T) {
	got, ok, err := smpp.Interpret(cmdDataSM, dataBody("16502530000", esmReceipt, 0, tlv{0x001E, "5"}, tlv{0x0427, "\x02"}), false, "", nil)
	if err != nil || !ok || len(got.Receipts) != 1 || got.Receipts[0].Ref != "5" {
		t.Errorf("got %+v, %v, %v", got, ok, err)
	}
}

// TestMessageIDs: the reference of a send and that of its receipt are equal,
// however the SMSC writes the id in the two.
func TestMessageIDs(t *testing.T) {
	for name, tc := range map[string]struct {
		format       string
		submit       string
		params, text string
	}{
		"alike":                         {"", "abc-DEF_1\x00", "", "abc-DEF_1"},
		"NUL on one side":               {"", "12345", "12345\x00", ""},
		"zeros and case":                {"", "00001A2B\x00", "", "1a2b"},
		"zeros, as Appendix B has them": {"", "123\x00", "", "0000000123"},
		"all zeros":                     {"", "0\x00", "", "0000000000"},
		"hex, then decimal":             {smpp.IDsHex, "1A2B\x00", "", "0000006699"},
		"hex, then decimal, lower":      {smpp.IDsHex, "00001a2b", "", "6699"},
		"hex, digits only":              {smpp.IDsHex, "10\x00", "", "16"},
		"decimal, then hex":             {smpp.IDsDecimal, "6699\x00", "", "00001A2B"},
		"decimal, digits only":          {smpp.IDsDecimal, "16\x00", "", "10"},
		"hex, parameter as in submit":   {smpp.IDsHex, "1A2B\x00", "1A2B\x00", "6699"},
		"hex, parameter alone":          {smpp.IDsHex, "10\x00", "10\x00", ""},
		"hex, parameter as in the text": {smpp.IDsHex, "1A2B\x00", "6699\x00", "6699"},
		"longer than 64 bits":           {smpp.IDsHex, "FFFFFFFFFFFFFFFFFF\x00", "", "4722366482869645213695"},
		"no number although it should":  {smpp.IDsHex, "msg-1\x00", "", "msg-1"},
		"not ASCII":                     {"", "\xff\x01\x00", "", "\xff\x01"},
	} {
		t.Run(name, func(t *testing.T) {
			ref := smpp.MessageID([]byte(tc.submit), tc.format)
			params := []tlv{{0x0427, "\x02"}}
			if tc.params != "" {
				params = append(params, tlv{0x001E, tc.params})
			}
			text := ""
			if tc.text != "" {
				text = "id:" + tc.text + " stat:DELIVRD"
			}
			got, ok, err := smpp.Interpret(cmdDeliver, deliverBody("1", esmReceipt, 0, text, params...), false, tc.format, nil)
			if err != nil || !ok || got.Receipts[0].Ref != ref || ref == "" {
				t.Errorf("submit_sm_resp says %q, the receipt %+v (%v)", ref, got, err)
			}
		})
	}
	if a, b := smpp.MessageID([]byte("Ab-1"), ""), smpp.MessageID([]byte("ab-1"), ""); a == b {
		t.Error("ids that are no numbers differ by case")
	}
	if ref := smpp.MessageID(make([]byte, 500), smpp.IDsAsIs); len(ref) > 128 {
		t.Errorf("ref of %d bytes", len(ref))
	}
}

func TestInbound(t *testing.T) {
	const from = "+16502530000"
	for name, tc := range map[string]struct {
		source      string
		esm, coding byte
		latin1      bool
		text        string
		params      []tlv
		want        string // nothing reported if empty
	}{
		"GSM-7":               {source: "16502530000", text: "STOP \x00\x1b\x65", want: "STOP @€"},
		"with a plus sign":    {source: "+16502530000", text: "STOP", want: "STOP"},
		"national":            {source: "6502530000", text: "STOP", want: "STOP"},
		"Latin-1":             {source: "16502530000", coding: 3, text: "ma\xf1ana", want: "mañana"},
		"default is Latin-1":  {source: "16502530000", latin1: true, text: "a@b", want: "a@b"},
		"UCS-2":               {source: "16502530000", coding: 8, text: "\x04\x21\x04\x22\xd8\x3d\xde\x00", want: "СТ😀"},
		"message class":       {source: "16502530000", coding: 0xF1, text: "HELP", want: "HELP"},
		"header":              {source: "16502530000", esm: 0x40, text: "\x05\x00\x03\x01\x02\x01STOP", want: "STOP"},
		"payload":             {source: "16502530000", params: []tlv{{0x0424, "STOP"}}, want: "STOP"},
		"forged receipt":      {source: "16502530000", text: "id:1 stat:DELIVRD", want: "id:1 stat:DELIVRD"},
		"header past the end": {source: "16502530000", esm: 0x40, text: "\xffSTOP", want: "\x00"},
		"binary":              {source: "16502530000", coding: 4, text: "\x01\x02"},
		"short code":          {source: "12345", text: "STOP"},
		"foreign":             {source: "+447946000000", text: "STOP"},
		"foreign, ten digits": {source: "+6591234567", text: "STOP"},
		"nobody":              {source: "", text: "STOP"},
		"acknowledgment":      {source: "16502530000", esm: 0x10, text: "STOP"},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := smpp.Interpret(cmdDeliver, deliverBody(tc.source, tc.esm, tc.coding, tc.text, tc.params...), tc.latin1, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if ok {
					t.Errorf("reported %+v", got)
				}
				return
			}
			want := tc.want
			if want == "\x00" {
				want = ""
			}
			if !ok || len(got.Receipts) != 0 || len(got.Inbound) != 1 {
				t.Fatalf("got %+v", got)
			}
			if in := got.Inbound[0]; in.From.E164() != from || in.To != "12345" || string(in.Text) != want {
				t.Errorf("from %v to %s: %q, want %q", in.From, in.To, string(in.Text), want)
			}
		})
	}
}

// delivering binds, sends PDUs with a gap between, and hands on what comes back.
func delivering(got *[]pdu, gap time.Duration, send ...pdu) func(*peer) error {
	return func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() {
			for _, p := range send {
				time.Sleep(gap)
				if err := c.send(p); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		for {
			p, err := c.receive()
			if err != nil {
				return errors.Join(err, <-sent)
			}
			if p.command&0x80000000 != 0 {
				*got = append(*got, p)
				continue
			}
			if err := c.answer(p, 0, ""); err != nil {
				return err
			}
		}
	}
}

// TestSinkDecides: a delivery is acknowledged once the sink has it, and comes
// again if the sink could not take it.
func TestSinkDecides(t *testing.T) {
	var got []pdu
	release := make(chan error)
	var reported []carrier.Reports
	cfg := func(c *smpp.Config) {
		c.Sink = func(_ context.Context, r carrier.Reports) error {
			reported = append(reported, r)
			return <-release
		}
	}
	synctest.Test(t, func(t *testing.T) {
		release = make(chan error)
		n := newNetwork(t, delivering(&got, time.Millisecond,
			deliver(1, "16502530000", esmReceipt, 0, "id:1 stat:DELIVRD"),
			deliver(2, "16502530000", 0, 0, "STOP"),
			deliver(3, "12345", 0, 0, "not for us"),
		))
		conf := config(n)
		cfg(&conf)
		_, stop := start(t, conf)
		pass(time.Second)
		if len(reported) != 1 || len(got) != 1 || got[0].sequence != 3 || got[0].status != 0 {
			t.Fatalf("%d reported, answered %v", len(reported), got)
		}
		release <- nil
		pass(time.Millisecond)
		if len(got) != 2 || got[1].sequence != 1 || got[1].status != 0 || string(got[1].body) != "\x00" {
			t.Fatalf("answered %v", got)
		}
		release <- errors.New("store is down")
		pass(time.Millisecond)
		if len(got) != 3 || got[2].sequence != 2 || got[2].status != 0x64 {
			t.Fatalf("answered %v", got)
		}
		stop()
		n.wg.Wait()
	})
}

// TestDeliveryFlood: what the sink cannot take is bounded, refused for now, and
// holds up neither answers nor order.
func TestDeliveryFlood(t *testing.T) {
	const n = 2*smpp.MaxReports + 50
	var flood []pdu
	for i := range uint32(n) {
		flood = append(flood, deliver(i+1, "16502530000", esmReceipt, 0, fmt.Sprintf("id:%d stat:DELIVRD", i+1)))
	}
	synctest.Test(t, func(t *testing.T) {
		var got []pdu
		var taken, calls int
		release := make(chan struct{})
		net := newNetwork(t, delivering(&got, 0, flood...))
		conf := config(net)
		conf.Sink = func(ctx context.Context, r carrier.Reports) error {
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
			calls++
			taken += len(r.Receipts)
			return nil
		}
		c, stop := start(t, conf)
		synctest.Wait()
		refused := len(got)
		if refused < n-2*smpp.MaxReports || c.Connected() != 1 {
			t.Fatalf("%d of %d refused", refused, n)
		}
		for _, p := range got {
			if p.status != 0x64 {
				t.Fatalf("answered %v", p)
			}
		}
		close(release)
		pass(time.Second)
		if len(got) != n || taken != n-refused || calls > 10 {
			t.Errorf("%d of %d answered, %d taken in %d calls", len(got), n, taken, calls)
		}
		stop()
		net.wg.Wait()
	})
}

// TestReceiptBeforeAnswer: a receipt may overtake the submit_sm_resp; it is
// reported under the same reference.
func TestReceiptBeforeAnswer(t *testing.T) {
	reported := make(chan string, 1)
	cfg := func(c *smpp.Config) {
		c.MessageIDFormat = smpp.IDsHex
		c.Sink = func(_ context.Context, r carrier.Reports) error {
			reported <- r.Receipts[0].Ref
			return nil
		}
	}
	bubble(t, func(c *smpp.Config) { reported = make(chan string, 1); cfg(c) }, func(t *testing.T, c *smpp.Carrier, _ *network) {
		receipt, err := c.Send(t.Context(), to(t))
		if err != nil {
			t.Fatal(err)
		}
		if ref := <-reported; ref != receipt.Ref {
			t.Errorf("the receipt says %q, Send %q", ref, receipt.Ref)
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			if err := c.send(deliver(9, "16502530000", esmReceipt, 0, "id:0000043981 stat:DELIVRD")); err != nil {
				return err
			}
			return c.answer(p, 0, "0000ABCD")
		})
	})
}
