package aws

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2/types"
	"github.com/aws/smithy-go"

	"codeword/internal/carrier"
	"codeword/internal/carrier/rest"
)

// exceptions are the error codes of the API reference, SendTextMessage, and of
// its page "Common Errors". All but the last group mean that AWS refused the
// request.
var exceptions = map[string]string{
	"AccessDeniedException":          carrier.ReasonMisconfigured, // see deniedReasons
	"ConflictException":              carrier.ReasonMisconfigured, // see conflictReasons
	"ResourceNotFoundException":      carrier.ReasonMisconfigured, // the sender, or the configuration set
	"ServiceQuotaExceededException":  carrier.ReasonMisconfigured, // see quotaReasons
	"ThrottlingException":            carrier.ReasonThrottled,
	"ValidationException":            carrier.ReasonMisconfigured, // see validationReasons
	"AccessDenied":                   carrier.ReasonMisconfigured,
	"ExpiredToken":                   carrier.ReasonMisconfigured,
	"ExpiredTokenException":          carrier.ReasonMisconfigured,
	"IncompleteSignature":            carrier.ReasonMisconfigured,
	"IncompleteSignatureException":   carrier.ReasonMisconfigured,
	"InvalidAction":                  carrier.ReasonMisconfigured,
	"InvalidClientTokenId":           carrier.ReasonMisconfigured,
	"InvalidSignatureException":      carrier.ReasonMisconfigured, // the secret, or our clock
	"MissingAuthenticationToken":     carrier.ReasonMisconfigured,
	"MissingAuthenticationException": carrier.ReasonMisconfigured,
	"NotAuthorized":                  carrier.ReasonMisconfigured,
	"OptInRequired":                  carrier.ReasonMisconfigured,
	"RequestExpired":                 carrier.ReasonMisconfigured, // our clock
	"SignatureDoesNotMatch":          carrier.ReasonMisconfigured,
	"UnknownOperationException":      carrier.ReasonMisconfigured,
	"UnrecognizedClientException":    carrier.ReasonMisconfigured, // the access key
	"ValidationError":                carrier.ReasonMisconfigured,
	"RequestLimitExceeded":           carrier.ReasonThrottled,
	"Throttling":                     carrier.ReasonThrottled,
	"TooManyRequestsException":       carrier.ReasonThrottled,
	"ServiceUnavailable":             carrier.ReasonUnavailable,
	"ServiceUnavailableException":    carrier.ReasonUnavailable,

	// "The API encountered an unexpected error": before or after it sent.
	"InternalServerException": carrier.ReasonCarrierError,
	"InternalFailure":         carrier.ReasonCarrierError,
}

// The reasons that some exceptions carry. Those that are not here have the
// exception's own meaning.
var (
	deniedReasons = map[types.AccessDeniedExceptionReason]string{
		types.AccessDeniedExceptionReasonAccountDisabled:               carrier.ReasonFunds,
		types.AccessDeniedExceptionReasonInsufficientAccountReputation: carrier.ReasonFunds,
	}
	conflictReasons = map[types.ConflictExceptionReason]string{
		types.ConflictExceptionReasonDestinationPhoneNumberOptedOut: carrier.ReasonOptedOut,
		// The operator blocked this very number, in AWS.
		types.ConflictExceptionReasonDestinationPhoneNumberBlockedByProtectNumberOverride: carrier.ReasonRejected,
		types.ConflictExceptionReasonRegistrationNotComplete:                              carrier.ReasonUnregistered,
		// DESTINATION_PHONE_NUMBER_NOT_VERIFIED, the SMS sandbox, is misconfigured
		// like the rest.
	}
	quotaReasons = map[types.ServiceQuotaExceededExceptionReason]string{
		types.ServiceQuotaExceededExceptionReasonMonthlySpendLimitReachedForText: carrier.ReasonFunds,
	}
	validationReasons = map[types.ValidationExceptionReason]string{
		types.ValidationExceptionReasonMaximumSizeExceeded:          carrier.ReasonRejected,
		types.ValidationExceptionReasonSenderIdNotRegistered:        carrier.ReasonUnregistered,
		types.ValidationExceptionReasonSenderIdRequiresRegistration: carrier.ReasonUnregistered,
	}
	// aboutField are reasons that mean the number when they name its field.
	aboutField = map[types.ValidationExceptionReason]bool{
		types.ValidationExceptionReasonCannotParse:           true,
		types.ValidationExceptionReasonFieldValidationFailed: true,
		types.ValidationExceptionReasonInvalidParameter:      true,
	}
)

// classify returns what an error answer means.
func classify(err error, a *rest.Answer, now time.Time) *carrier.Error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		if a.OK() {
			return carrier.NewError(carrier.ReasonGarbage, err)
		}
		return a.Failure(now, err) // no answer of the API itself, such as a proxy's
	}
	reason := reasonOf(err, api)
	switch {
	case reason == carrier.ReasonThrottled:
		return a.Throttled(now, err)
	case reason != "":
		return carrier.NewError(reason, err)
	case a.Status == http.StatusBadRequest: // refused, with a code newer than the table
		return carrier.NewError(carrier.ReasonMisconfigured, err)
	default:
		return a.Failure(now, err)
	}
}

// reasonOf looks into the tables; "" for a code that is not there.
func reasonOf(err error, api smithy.APIError) string {
	var (
		denied     *types.AccessDeniedException
		conflict   *types.ConflictException
		quota      *types.ServiceQuotaExceededException
		validation *types.ValidationException
		reason     string
	)
	switch {
	case errors.As(err, &denied):
		reason = deniedReasons[denied.Reason]
	case errors.As(err, &conflict):
		reason = conflictReasons[conflict.Reason]
	case errors.As(err, &quota):
		reason = quotaReasons[quota.Reason]
	case errors.As(err, &validation):
		if aboutField[validation.Reason] && names(validation.Fields, "DestinationPhoneNumber") {
			return carrier.ReasonInvalidNumber
		}
		reason = validationReasons[validation.Reason]
	}
	if reason != "" {
		return reason
	}
	return exceptions[api.ErrorCode()]
}

func names(fields []types.ValidationExceptionField, name string) bool {
	for _, f := range fields {
		if f.Name != nil && strings.EqualFold(*f.Name, name) {
			return true
		}
	}
	return false
}

// explain says to an operator why Check failed. AWS's own words are short and
// quote no secret.
func explain(err error, a *rest.Answer) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fmt.Errorf("the answer makes no sense (HTTP status %d): is base-url the API of AWS End User Messaging?", a.Status)
	}
	code, words := api.ErrorCode(), limited(api.ErrorMessage())
	switch code {
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return fmt.Errorf("AWS does not know the access key: %s: %s", code, words)
	case "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired":
		return fmt.Errorf("AWS refuses the signature: is secret-access-key wrong, or this machine's clock? %s: %s", code, words)
	case "ExpiredToken", "ExpiredTokenException":
		return fmt.Errorf("the credentials have expired: %s: %s", code, words)
	case "AccessDeniedException", "AccessDenied":
		return fmt.Errorf("the credentials may not call sms-voice:DescribeAccountAttributes, or the account is disabled: %s: %s", code, words)
	default:
		return fmt.Errorf("AWS answered HTTP status %d, %s: %s", a.Status, code, words)
	}
}

// limited is printable text of at most 300 bytes.
func limited(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s[:min(len(s), 300)])
	return s
}
