package telnyx

import (
	"strconv"

	"codeword/internal/carrier"
)

// reasons has the codes that Telnyx documents for messages, in the answer to a
// send and in the errors of a report, with Telnyx's own titles. See
// https://developers.telnyx.com/docs/messaging/messages/error-codes and, for
// those below 40000, https://developers.telnyx.com/development/api-fundamentals/api-errors.
var reasons = map[int]string{
	// Account and credentials: an operator has to act.
	10009: carrier.ReasonMisconfigured, // Authentication failed
	10010: carrier.ReasonMisconfigured, // Authorization failed
	10039: carrier.ReasonMisconfigured, // Only pre-verified destinations are allowed at this account level
	20002: carrier.ReasonMisconfigured, // API key revoked
	20006: carrier.ReasonMisconfigured, // Expired access token
	20012: carrier.ReasonFunds,         // Account inactive
	20013: carrier.ReasonFunds,         // Account blocked
	20014: carrier.ReasonMisconfigured, // Account unverified
	20015: carrier.ReasonMisconfigured, // Feature not enabled
	20016: carrier.ReasonMisconfigured, // Account not level 1 verified
	20017: carrier.ReasonMisconfigured, // Account not level 2 verified
	20100: carrier.ReasonFunds,         // Insufficient funds
	40314: carrier.ReasonMisconfigured, // Messaging disabled on account
	40333: carrier.ReasonFunds,         // Messaging profile spend limit reached

	// Too fast, or too many.
	10011: carrier.ReasonThrottled, // Too many requests
	40011: carrier.ReasonThrottled, // Too many requests (upstream)
	40016: carrier.ReasonThrottled, // T-Mobile 10DLC sending limit reached
	40018: carrier.ReasonThrottled, // AT&T 10DLC sending limit reached
	40318: carrier.ReasonThrottled, // Message queue full

	// The owner of the phone said STOP.
	40300: carrier.ReasonOptedOut, // Blocked due to STOP message

	// No such phone, or none that takes text messages.
	10002: carrier.ReasonInvalidNumber, // Invalid phone number
	40012: carrier.ReasonInvalidNumber, // Invalid messaging destination number
	40310: carrier.ReasonInvalidNumber, // Invalid 'to' address
	40001: carrier.ReasonLandline,      // Not routable: a landline or a non-routable wireless number

	// Too late.
	40005: carrier.ReasonExpired, // Message expired during transmission
	40014: carrier.ReasonExpired, // Message expired in queue

	// Another route may do better.
	40004: carrier.ReasonUnreachable, // Rejected by destination
	40006: carrier.ReasonUnreachable, // Recipient server unavailable
	40008: carrier.ReasonUnreachable, // Undeliverable
	40002: carrier.ReasonFiltered,    // Blocked as spam - temporary
	40003: carrier.ReasonFiltered,    // Blocked as spam - permanent
	40007: carrier.ReasonFiltered,    // Loop detected
	40015: carrier.ReasonFiltered,    // Blocked as spam - internal
	40017: carrier.ReasonFiltered,    // AT&T 10DLC spam message rejected
	40322: carrier.ReasonFiltered,    // Blocked due to content

	// The sender is not registered with the carriers.
	40010: carrier.ReasonUnregistered, // Message not sent: number is not 10DLC-registered
	40150: carrier.ReasonUnregistered, // Toll-free number not in voice registry
	40151: carrier.ReasonUnregistered, // Message enablement pending with other provider
	40329: carrier.ReasonUnregistered, // Toll-free number not yet verified

	// The sender, or the request, is wrong.
	10001: carrier.ReasonMisconfigured, // Inactive phone number
	10003: carrier.ReasonMisconfigured, // Invalid URL
	10004: carrier.ReasonMisconfigured, // Missing required parameter
	10005: carrier.ReasonMisconfigured, // Resource not found
	10006: carrier.ReasonMisconfigured, // Invalid ID
	10015: carrier.ReasonMisconfigured, // Bad request
	10016: carrier.ReasonMisconfigured, // Phone number must be in +E.164 format
	40009: carrier.ReasonMisconfigured, // Invalid message body
	40013: carrier.ReasonMisconfigured, // Invalid messaging source number
	40100: carrier.ReasonMisconfigured, // Number not messaging enabled
	40301: carrier.ReasonMisconfigured, // Unsupported message type for the 'to' address
	40302: carrier.ReasonMisconfigured, // Message too large
	40304: carrier.ReasonMisconfigured, // Invalid combination of message content arguments
	40305: carrier.ReasonMisconfigured, // Invalid 'from' address
	40306: carrier.ReasonMisconfigured, // Alpha sender not configured
	40308: carrier.ReasonMisconfigured, // Invalid 'from' address for MMS
	40309: carrier.ReasonMisconfigured, // Invalid destination region
	40311: carrier.ReasonMisconfigured, // Invalid messaging profile secret
	40312: carrier.ReasonMisconfigured, // Messaging profile is disabled
	40313: carrier.ReasonMisconfigured, // Missing messaging profile secret
	40315: carrier.ReasonMisconfigured, // Unhealthy 'from' address
	40316: carrier.ReasonMisconfigured, // No content provided for message
	40319: carrier.ReasonMisconfigured, // Incompatible message type for the 'to' address
	40320: carrier.ReasonMisconfigured, // Temporarily unusable 'from' address
	40321: carrier.ReasonMisconfigured, // No usable numbers on messaging profile
	40328: carrier.ReasonMisconfigured, // SMS exceeds recommended size

	// Telnyx does not know either.
	10007: carrier.ReasonCarrierError, // Unexpected error
	10008: carrier.ReasonCarrierError, // Request timeout
}

// ownReason names a code that the table lacks, such as telnyx_40999, so that an
// operator can look it up.
func ownReason(code int) string {
	if code < 10000 || code > 99999 {
		return carrier.ReasonCarrierError
	}
	return "telnyx_" + strconv.Itoa(code)
}
