package twilio

import (
	"strconv"

	"codeword/internal/carrier"
)

// reasons has the codes that Twilio documents for messages, in the answer to a
// send and in the ErrorCode of a status callback, with Twilio's own titles. See
// https://www.twilio.com/docs/api/errors/CODE for each.
var reasons = map[int]string{
	// Account and credentials: an operator has to act.
	10001: carrier.ReasonFunds,         // Account is not active
	10002: carrier.ReasonMisconfigured, // Trial accounts do not support the feature
	20003: carrier.ReasonMisconfigured, // Permission denied (authentication)
	20004: carrier.ReasonMisconfigured, // Method not allowed
	20005: carrier.ReasonFunds,         // Account not active
	20006: carrier.ReasonMisconfigured, // Access denied
	20008: carrier.ReasonMisconfigured, // Cannot access this resource with test credentials
	20403: carrier.ReasonMisconfigured, // 403 Forbidden
	20404: carrier.ReasonMisconfigured, // The requested resource was not found
	30002: carrier.ReasonFunds,         // Account suspended
	30037: carrier.ReasonMisconfigured, // Outbound messaging disabled

	// Too fast, or too many.
	14107: carrier.ReasonThrottled, // Message rate limit exceeded
	20429: carrier.ReasonThrottled, // Too many requests
	21611: carrier.ReasonThrottled, // This 'From' number has exceeded the maximum number of queued messages
	30001: carrier.ReasonThrottled, // Queue overflow
	30022: carrier.ReasonThrottled, // US A2P 10DLC - rate limits exceeded
	30023: carrier.ReasonThrottled, // US A2P 10DLC - daily message cap reached
	30027: carrier.ReasonThrottled, // US A2P 10DLC - T-Mobile daily message limit reached
	63038: carrier.ReasonThrottled, // Account exceeded the daily messages limit

	// The owner of the phone said STOP.
	21610: carrier.ReasonOptedOut, // Attempt to send to unsubscribed recipient

	// No such phone, or none that takes text messages.
	21211: carrier.ReasonInvalidNumber, // Invalid 'To' phone number
	21214: carrier.ReasonInvalidNumber, // 'To' phone number cannot be reached
	21217: carrier.ReasonInvalidNumber, // Phone number does not appear to be valid
	21265: carrier.ReasonInvalidNumber, // 'To' number cannot be a short code
	21266: carrier.ReasonInvalidNumber, // 'To' and 'From' number cannot be the same
	21268: carrier.ReasonInvalidNumber, // 'To' number is a premium number
	21614: carrier.ReasonInvalidNumber, // 'To' number is not a valid mobile number
	30005: carrier.ReasonInvalidNumber, // Unknown destination handset
	21635: carrier.ReasonLandline,      // 'To' number cannot be a landline
	30006: carrier.ReasonLandline,      // Landline or unreachable carrier

	// Refused for good.
	30004: carrier.ReasonRejected, // Message blocked: by the phone's owner or its carrier

	// Too late.
	30012: carrier.ReasonExpired, // TTL too small
	30036: carrier.ReasonExpired, // Validity period expired

	// Another route may do better.
	21612: carrier.ReasonUnreachable, // Message cannot be sent with the current combination of 'To' and 'From'
	30003: carrier.ReasonUnreachable, // Unreachable destination handset
	30017: carrier.ReasonUnreachable, // Carrier network congestion
	21618: carrier.ReasonFiltered,    // The message body cannot be sent
	30007: carrier.ReasonFiltered,    // Message filtered
	30038: carrier.ReasonFiltered,    // OTP message body filtered
	30039: carrier.ReasonFiltered,    // Message was filtered to prevent message loops
	30450: carrier.ReasonFiltered,    // Message delivery blocked (SMS pumping protection)

	// The sender is not registered with the carriers.
	30018: carrier.ReasonUnregistered, // Destination carrier requires sender ID pre-registration
	30024: carrier.ReasonUnregistered, // Numeric sender ID not provisioned on carrier
	30032: carrier.ReasonUnregistered, // Toll-free number has not been verified
	30033: carrier.ReasonUnregistered, // US A2P 10DLC - campaign suspended
	30034: carrier.ReasonUnregistered, // US A2P 10DLC - message from an unregistered number
	30035: carrier.ReasonUnregistered, // US A2P 10DLC - message from a number that is still being configured

	// The sender, or the request, is wrong.
	21212: carrier.ReasonMisconfigured, // Invalid 'From' number
	21219: carrier.ReasonMisconfigured, // 'To' phone number not verified (trial)
	21267: carrier.ReasonMisconfigured, // Alphanumeric sender ID cannot be used on trial accounts
	21408: carrier.ReasonMisconfigured, // Permission to send an SMS has not been enabled for the region
	21601: carrier.ReasonMisconfigured, // Phone number is not a valid SMS-capable inbound phone number
	21602: carrier.ReasonMisconfigured, // Message body is required
	21603: carrier.ReasonMisconfigured, // 'From' phone number is required
	21604: carrier.ReasonMisconfigured, // 'To' phone number is required
	21605: carrier.ReasonMisconfigured, // Maximum body length exceeded
	21606: carrier.ReasonMisconfigured, // 'From' is not a valid, message-capable Twilio number for this destination
	21607: carrier.ReasonMisconfigured, // Invalid 'From' number (trial)
	21608: carrier.ReasonMisconfigured, // Trial accounts cannot send messages to unverified numbers
	21609: carrier.ReasonMisconfigured, // Invalid 'StatusCallback' URL
	21616: carrier.ReasonMisconfigured, // The 'From' number matches multiple numbers for your account
	21617: carrier.ReasonMisconfigured, // The concatenated message body exceeds the 1600 character limit
	21619: carrier.ReasonMisconfigured, // A text message body or media URLs must be specified
	21657: carrier.ReasonMisconfigured, // The sender ID is invalid
	21659: carrier.ReasonMisconfigured, // 'From' is not a Twilio phone number or short code country mismatch
	21660: carrier.ReasonMisconfigured, // Mismatch between the 'From' number and the account
	21661: carrier.ReasonMisconfigured, // 'From' number is not SMS-capable
	21701: carrier.ReasonMisconfigured, // The messaging service does not exist
	21702: carrier.ReasonMisconfigured, // The messaging service is not available
	21703: carrier.ReasonMisconfigured, // The messaging service does not have a phone number available
	21704: carrier.ReasonMisconfigured, // The messaging service contains no phone numbers
	21705: carrier.ReasonMisconfigured, // The messaging service is invalid
	30010: carrier.ReasonMisconfigured, // Message price exceeds max price
	30013: carrier.ReasonMisconfigured, // TTL too big
	30019: carrier.ReasonMisconfigured, // Content size exceeds carrier limit
	30042: carrier.ReasonMisconfigured, // The sender ID is blocked as generic or it contains special characters
	30044: carrier.ReasonMisconfigured, // Message length exceeds limit for trial account
	90007: carrier.ReasonMisconfigured, // Invalid validity period value

	// Twilio does not know either.
	20500: carrier.ReasonCarrierError, // Internal server error
	30008: carrier.ReasonCarrierError, // Unknown error
	30410: carrier.ReasonCarrierError, // Provider timeout error
}

// ownReason names a code that the table lacks, such as twilio_30999, so that an
// operator can look it up.
func ownReason(code int) string {
	if code < 10000 || code > 99999 {
		return carrier.ReasonCarrierError
	}
	return "twilio_" + strconv.Itoa(code)
}
