package smpp

import (
	"encoding/binary"
	"fmt"
	"time"
)

// command is a command_id (SMPP 3.4, section 5.1.2.1).
type command uint32

const (
	genericNack     command = 0x80000000
	bindReceiver    command = 0x00000001
	bindTransmitter command = 0x00000002
	submitSM        command = 0x00000004
	submitSMResp    command = 0x80000004
	deliverSM       command = 0x00000005
	unbind          command = 0x00000006
	unbindResp      command = 0x80000006
	bindTransceiver command = 0x00000009
	outbind         command = 0x0000000B
	enquireLink     command = 0x00000015
	enquireLinkResp command = 0x80000015
	alertNotify     command = 0x00000102
	dataSM          command = 0x00000103

	responseBit command = 0x80000000
)

func (c command) String() string {
	switch c {
	case bindReceiver:
		return "bind_receiver"
	case bindTransmitter:
		return "bind_transmitter"
	case bindTransceiver:
		return "bind_transceiver"
	default:
		return fmt.Sprintf("command 0x%08X", uint32(c))
	}
}

// The tags of the optional parameters that are read or written (section 5.3.2).
const (
	tagReceiptedMessageID = 0x001E
	tagNetworkErrorCode   = 0x0423
	tagMessagePayload     = 0x0424
	tagMessageState       = 0x0427
)

// The bits of esm_class (section 5.2.12).
const (
	esmTypeMask     = 0x3C
	esmReceipt      = 0x04
	esmIntermediate = 0x20
	esmUDHI         = 0x40
)

// The values of data_coding (section 5.2.19).
const (
	codingDefault = 0x00
	codingASCII   = 0x01
	codingLatin1  = 0x03
	codingUCS2    = 0x08
)

const (
	headerLen = 16
	// maxPDU bounds a PDU of the peer. It is also the size of the one buffer
	// that a connection reads into, which never grows.
	maxPDU = 64 << 10
	// interfaceVersion is 3.4, as a bind says it (section 5.2.4).
	interfaceVersion = 0x34
	// maxSequence is the largest sequence_number (section 5.1.4).
	maxSequence = 0x7FFFFFFF
)

// header is what every PDU begins with (section 3.2).
type header struct {
	command  command
	status   status
	sequence uint32
}

// beginPDU appends a header whose length endPDU fills in.
func beginPDU(b []byte, h header) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.command))
	b = binary.BigEndian.AppendUint32(b, uint32(h.status))
	return binary.BigEndian.AppendUint32(b, h.sequence)
}

// endPDU completes the PDU that begins at start.
func endPDU(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendHeader appends a PDU without a body.
func appendHeader(b []byte, h header) []byte {
	return endPDU(beginPDU(b, h), len(b))
}

// appendDelivered appends the answer to a deliver_sm or data_sm. Its message_id
// is empty: in a deliver_sm_resp it is unused (section 4.6.2).
func appendDelivered(b []byte, h header) []byte {
	return endPDU(append(beginPDU(b, h), 0), len(b))
}

func appendCString[S ~string](b []byte, s S) []byte {
	return append(append(b, s...), 0)
}

// appendBind appends a bind_receiver, bind_transmitter or bind_transceiver
// (section 4.1).
func appendBind(b []byte, h header, cfg *Config) []byte {
	start := len(b)
	b = beginPDU(b, h)
	b = appendCString(b, cfg.SystemID)
	b = appendCString(b, string(cfg.Password))
	b = appendCString(b, cfg.SystemType)
	b = append(b, interfaceVersion, 0, 0) // addr_ton and addr_npi: unknown
	b = append(b, 0)                      // address_range: what the account has
	return endPDU(b, start)
}

// address is an address with its type of number and numbering plan.
type address struct {
	ton, npi byte
	digits   string
}

func appendAddress(b []byte, a address) []byte {
	return appendCString(append(b, a.ton, a.npi), a.digits)
}

// submission is what a submit_sm says (section 4.4.1).
type submission struct {
	service      string
	source, dest address
	udhi         bool
	// until is when the message dies; validity says it to the SMSC.
	until      time.Time
	validity   string
	registered bool
	coding     byte
	body       []byte
	// payload: body goes into message_payload, not into short_message.
	payload bool
}

// appendSubmit appends a submit_sm whose sequence_number is to be set later.
func appendSubmit(b []byte, m *submission) []byte {
	start := len(b)
	b = beginPDU(b, header{command: submitSM})
	b = appendCString(b, m.service)
	b = appendAddress(b, m.source)
	b = appendAddress(b, m.dest)
	var esm, registered byte
	if m.udhi {
		esm = esmUDHI
	}
	if m.registered {
		registered = 1
	}
	b = append(b, esm, 0, 0) // protocol_id, priority_flag
	b = append(b, 0)         // schedule_delivery_time: at once
	b = appendCString(b, m.validity)
	b = append(b, registered, 0, m.coding, 0) // replace_if_present_flag, sm_default_msg_id
	if m.payload {
		b = append(b, 0) // sm_length
		b = binary.BigEndian.AppendUint16(b, tagMessagePayload)
		b = binary.BigEndian.AppendUint16(b, uint16(len(m.body)))
	} else {
		b = append(b, byte(len(m.body)))
	}
	return endPDU(append(b, m.body...), start)
}

// setSequence sets the sequence_number of an encoded PDU.
func setSequence(pdu []byte, n uint32) {
	binary.BigEndian.PutUint32(pdu[12:headerLen], n)
}
