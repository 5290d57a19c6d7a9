package smpp

import (
	"fmt"

	"codeword/internal/carrier"
)

// status is a command_status (SMPP 3.4, section 5.1.3).
type status uint32

// The statuses that the code speaks of.
const (
	statusOK           status = 0x00
	statusInvalidCmdID status = 0x03
	statusBindState    status = 0x04
	statusBindFailed   status = 0x0D
	statusTempAppError status = 0x64
	statusPermAppError status = 0x65
)

// String is what the standard calls it, for operators.
func (s status) String() string {
	if row, ok := statuses[s]; ok {
		return fmt.Sprintf("%s (0x%02X)", row.name, uint32(s))
	}
	return fmt.Sprintf("status 0x%08X", uint32(s))
}

// statuses has every command_status of the standard, and what it means when a
// submit_sm is answered with it: an answer other than ESME_ROK says that the
// SMSC did not take the message. Statuses that are not here, those of vendors
// (0x400 to 0x4FF) above all, mean carrier.ReasonCarrierError unless
// Config.StatusReasons knows better.
var statuses = map[status]struct{ name, reason string }{
	0x00: {"ESME_ROK", ""},
	0x01: {"ESME_RINVMSGLEN", carrier.ReasonMisconfigured},
	0x02: {"ESME_RINVCMDLEN", carrier.ReasonMisconfigured},
	0x03: {"ESME_RINVCMDID", carrier.ReasonMisconfigured},
	// The SMSC thinks that we are not bound: a new connection will do.
	0x04: {"ESME_RINVBNDSTS", carrier.ReasonUnavailable},
	0x05: {"ESME_RALYBND", carrier.ReasonUnavailable},
	0x06: {"ESME_RINVPRTFLG", carrier.ReasonMisconfigured},
	0x07: {"ESME_RINVREGDLVFLG", carrier.ReasonMisconfigured},
	0x08: {"ESME_RSYSERR", carrier.ReasonUnavailable},
	0x0A: {"ESME_RINVSRCADR", carrier.ReasonMisconfigured},
	0x0B: {"ESME_RINVDSTADR", carrier.ReasonInvalidNumber},
	0x0C: {"ESME_RINVMSGID", carrier.ReasonCarrierError},
	0x0D: {"ESME_RBINDFAIL", carrier.ReasonUnavailable},
	0x0E: {"ESME_RINVPASWD", carrier.ReasonMisconfigured},
	0x0F: {"ESME_RINVSYSID", carrier.ReasonMisconfigured},
	0x11: {"ESME_RCANCELFAIL", carrier.ReasonCarrierError},
	0x13: {"ESME_RREPLACEFAIL", carrier.ReasonCarrierError},
	0x14: {"ESME_RMSGQFUL", carrier.ReasonThrottled},
	0x15: {"ESME_RINVSERTYP", carrier.ReasonMisconfigured},
	0x33: {"ESME_RINVNUMDESTS", carrier.ReasonMisconfigured},
	0x34: {"ESME_RINVDLNAME", carrier.ReasonMisconfigured},
	0x40: {"ESME_RINVDESTFLAG", carrier.ReasonMisconfigured},
	0x42: {"ESME_RINVSUBREP", carrier.ReasonMisconfigured},
	0x43: {"ESME_RINVESMCLASS", carrier.ReasonMisconfigured},
	0x44: {"ESME_RCNTSUBDL", carrier.ReasonMisconfigured},
	// Says no more than that it failed; many SMSCs use it for a passing fault.
	0x45: {"ESME_RSUBMITFAIL", carrier.ReasonUnavailable},
	0x48: {"ESME_RINVSRCTON", carrier.ReasonMisconfigured},
	0x49: {"ESME_RINVSRCNPI", carrier.ReasonMisconfigured},
	0x50: {"ESME_RINVDSTTON", carrier.ReasonMisconfigured},
	0x51: {"ESME_RINVDSTNPI", carrier.ReasonMisconfigured},
	0x53: {"ESME_RINVSYSTYP", carrier.ReasonMisconfigured},
	0x54: {"ESME_RINVREPFLAG", carrier.ReasonMisconfigured},
	0x55: {"ESME_RINVNUMMSGS", carrier.ReasonCarrierError},
	0x58: {"ESME_RTHROTTLED", carrier.ReasonThrottled},
	0x61: {"ESME_RINVSCHED", carrier.ReasonMisconfigured},
	0x62: {"ESME_RINVEXPIRY", carrier.ReasonMisconfigured},
	0x63: {"ESME_RINVDFTMSGID", carrier.ReasonMisconfigured},
	0x64: {"ESME_RX_T_APPN", carrier.ReasonUnavailable},
	0x65: {"ESME_RX_P_APPN", carrier.ReasonRejected},
	0x66: {"ESME_RX_R_APPN", carrier.ReasonRejected},
	0x67: {"ESME_RQUERYFAIL", carrier.ReasonCarrierError},
	0xC0: {"ESME_RINVOPTPARSTREAM", carrier.ReasonMisconfigured},
	0xC1: {"ESME_ROPTPARNOTALLWD", carrier.ReasonMisconfigured},
	0xC2: {"ESME_RINVPARLEN", carrier.ReasonMisconfigured},
	0xC3: {"ESME_RMISSINGOPTPARAM", carrier.ReasonMisconfigured},
	0xC4: {"ESME_RINVOPTPARAMVAL", carrier.ReasonMisconfigured},
	0xFE: {"ESME_RDELIVERYFAILURE", carrier.ReasonUnreachable},
	0xFF: {"ESME_RUNKNOWNERR", carrier.ReasonCarrierError},
}

// reason is what a status other than statusOK means for the message that was
// submitted.
func (s status) reason() string {
	if row, ok := statuses[s]; ok && row.reason != "" {
		return row.reason
	}
	return carrier.ReasonCarrierError
}

// bindAdvice says what an operator can do about a refused bind.
var bindAdvice = map[status]string{
	0x04: "this kind of bind is not allowed on this connection; see bind",
	0x05: "already bound: the account allows fewer connections than are open; see connections",
	0x0D: "refused; the account may be disabled, or not open to this address or kind of bind",
	0x0E: "wrong password",
	0x0F: "unknown system-id",
	0x53: "wrong system-type",
	0x58: "too many attempts; the carrier wants a pause",
}

// state is what a receipt says of a message.
type state struct {
	status carrier.ReceiptStatus
	// reason is why it failed, unless an error code says it better.
	reason string
}

// states has the values of message_state (section 5.2.28). UNKNOWN is not an
// end: nothing is concluded from it.
var states = map[byte]state{
	1: {status: carrier.ReceiptAccepted},                                  // ENROUTE
	2: {status: carrier.ReceiptDelivered},                                 // DELIVERED
	3: {status: carrier.ReceiptFailed, reason: carrier.ReasonExpired},     // EXPIRED
	4: {status: carrier.ReceiptFailed, reason: carrier.ReasonFiltered},    // DELETED: by the carrier, since we never do
	5: {status: carrier.ReceiptFailed, reason: carrier.ReasonUnreachable}, // UNDELIVERABLE
	6: {status: carrier.ReceiptAccepted},                                  // ACCEPTED
	7: {status: carrier.ReceiptAccepted},                                  // UNKNOWN
	8: {status: carrier.ReceiptFailed, reason: carrier.ReasonRejected},    // REJECTED
}

// stateWords has the values of "stat:" in the text of a receipt (Appendix B),
// and those that some SMSCs write instead, as values of message_state.
var stateWords = map[string]byte{
	"ENROUTE": 1, "BUFFRED": 1, "BUFFERED": 1, "SCHEDULED": 1,
	"DELIVRD": 2, "DELIVERED": 2,
	"EXPIRED": 3,
	"DELETED": 4,
	"UNDELIV": 5, "UNDELIVERED": 5, "FAILED": 5,
	"ACCEPTD": 6, "ACCEPTED": 6,
	"UNKNOWN": 7,
	"REJECTD": 8, "REJECTED": 8,
}

// networkGSM is the network type of GSM in network_error_code (section
// 5.3.2.31), whose codes are then those of mapErrors.
const networkGSM = 3

// mapErrors has the errors of the mobile application part with which a phone's
// network refuses a short message (3GPP TS 29.002, section 17.6.6).
var mapErrors = map[uint16]string{
	1:  carrier.ReasonInvalidNumber, // unknown subscriber
	5:  carrier.ReasonInvalidNumber, // unidentified subscriber
	6:  carrier.ReasonUnreachable,   // absent subscriber, short message
	9:  carrier.ReasonRejected,      // illegal subscriber
	10: carrier.ReasonLandline,      // bearer service not provisioned
	11: carrier.ReasonLandline,      // teleservice not provisioned
	12: carrier.ReasonRejected,      // illegal equipment
	13: carrier.ReasonRejected,      // call barred
	21: carrier.ReasonLandline,      // facility not supported
	27: carrier.ReasonUnreachable,   // absent subscriber
	31: carrier.ReasonUnreachable,   // subscriber busy for MT-SMS
	32: carrier.ReasonUnreachable,   // SM delivery failure, such as memory full
	33: carrier.ReasonUnreachable,   // message waiting list full
	34: carrier.ReasonUnreachable,   // system failure
}
