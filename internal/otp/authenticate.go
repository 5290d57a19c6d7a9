package otp

import (
	"context"
	"errors"
	"fmt"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/phone"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// AuthenticateRequest is an attempt to prove possession of a phone.
type AuthenticateRequest struct {
	Client    *tenant.Client
	Principal *session.Principal
	// PhoneID is what Send returned; anything else is simply unknown.
	PhoneID string
	// OTP is the guess.
	OTP string
	// Device is what the caller calls the end user's device; empty when it does not
	// tell.
	Device string
}

// Authenticate counts an attempt and returns the session that the right code
// grants. Refusals: fault.WrongCode, LimitOTP, MismatchPhone, PhoneTaken,
// InvalidAuthorization, Unavailable.
func (s *Service) Authenticate(ctx context.Context, in AuthenticateRequest) (store.Session, error) {
	now := s.now()
	c := in.Client
	id := parsePhoneID(c, in.PhoneID)
	attempt := store.Attempt{
		Now: now, Client: c.ID, Phone: id,
		MaxAttempts: c.Settings.MaxAttempts,
		Failures:    failuresOf(c),
		Match: func(ch store.Challenge) bool {
			code, err := s.challengeCode(c, id, ch)
			return err == nil && code.Equal(in.OTP)
		},
		Grant: s.sessions.Grant(c, in.Principal, id, now),
	}
	if in.Principal != nil {
		attempt.Binding = in.Principal.Binding()
	}
	var err error
	if attempt.Device, err = s.device(c, in.Device); err != nil {
		return store.Session{}, fault.Wrap(fault.Internal, "digest of the device", err)
	}
	attempt.Verified, attempt.Exhausted = s.events(ctx, c.ID, id)
	granted, err := s.store.Attempt(ctx, attempt)
	if len(attempt.Told(err)) > 0 {
		s.told()
	}
	if err == nil {
		s.verified(c.ID, id)
		if s.screen != nil && c.Live {
			s.screen.Verified(c.ID, id)
		}
	}
	return granted, err
}

// failuresOf is the phone's budget of wrong codes; test clients have none.
func failuresOf(c *tenant.Client) guard.Window {
	if !c.Live {
		return guard.Window{}
	}
	return c.Settings.PhoneFailures.Window()
}

// challengeCode is the code of a challenge; the documentation's number on a
// test client always has the documentation's code.
func (s *Service) challengeCode(c *tenant.Client, id store.PhoneID, ch store.Challenge) (Code, error) {
	if isSample(c, id) && ch.Digits >= 1 && ch.Digits <= len(sampleCode) {
		code := Code{n: ch.Digits}
		copy(code.digits[:], sampleCode)
		return code, nil
	}
	return derive(s.keys, id, ch)
}

// MessageCode derives the code that a message carries.
func (s *Service) MessageCode(c *tenant.Client, m store.Message) (Code, error) {
	return s.challengeCode(c, m.Phone, store.Challenge{ID: m.Challenge, KeyVersion: m.KeyVersion, Digits: m.Digits})
}

// numberLabel separates sealed numbers from what else the seal key encrypts.
const numberLabel = "phone-number\x00"

func (s *Service) sealNumber(n phone.Number, id store.PhoneID) ([]byte, error) {
	var space [64]byte
	return s.keys.Seal(n.AppendE164(space[:0]), append([]byte(numberLabel), id[:]...))
}

// ErrErased says that a message's number is no longer kept.
var ErrErased = errors.New("otp: the number was erased")

// Number opens the number that a message goes to.
func (s *Service) Number(m store.Message) (phone.Number, error) {
	if len(m.Sealed) == 0 {
		return phone.Number{}, ErrErased
	}
	plain, err := s.keys.Open(m.Sealed, append([]byte(numberLabel), m.Phone[:]...))
	if err != nil {
		return phone.Number{}, fmt.Errorf("otp: open number: %w", err)
	}
	return phone.Parse(string(plain))
}
