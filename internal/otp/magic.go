package otp

import (
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// sampleOutcome is what a magic number of a test client does on send. The
// numbers whose outcome is the carrier's (…05 and …06) are plain here.
type sampleOutcome uint8

const (
	sampleNone sampleOutcome = iota
	sampleAccepted
	sampleInvalid
	sampleCountry
	sampleType
	sampleLimited
	sampleExpired
)

// outcomeOf tells what a number does on a test client.
func outcomeOf(number string) sampleOutcome {
	switch number {
	case sampleNumber, "+15005550005", "+15005550006":
		return sampleAccepted
	case "+15005550001":
		return sampleInvalid
	case "+15005550002":
		return sampleCountry
	case "+15005550003":
		return sampleType
	case "+15005550004":
		return sampleLimited
	case "+15005550007":
		return sampleExpired
	default:
		return sampleNone
	}
}

// refusal is the error that a magic number asks for, or nil.
func (o sampleOutcome) refusal() error {
	const detail = "magic number"
	switch o {
	case sampleInvalid:
		return fault.New(fault.InvalidPhone, detail)
	case sampleCountry:
		return fault.New(fault.InvalidPhoneCountry, detail)
	case sampleType:
		return fault.New(fault.InvalidPhoneType, detail)
	case sampleLimited:
		return &fault.Error{Kind: fault.LimitSMS, Detail: detail, Limit: store.LimitPhoneBurst, RetryAfter: time.Minute}
	default:
		return nil
	}
}
