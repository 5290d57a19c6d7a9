package store

import "time"

// What an engine for what expires needs from the ledger, the engine that it stands
// in front of and that keeps phones, users and the message log.
type (
	// PhoneFacts is what the ledger knows of a phone.
	PhoneFacts struct {
		// ID is the one that the phone is known under; the primary one for a phone
		// that is not.
		ID       PhoneID
		Known    bool
		OptedOut bool
		// BlockedUntil is until when no message may go there.
		BlockedUntil time.Time
		// User is whose phone it is, if HasUser.
		User    UserID
		HasUser bool
		// Devices are those that verified the phone.
		Devices Devices
	}
	// Accepted is a message that was accepted elsewhere, and that the ledger is to
	// log and to queue.
	Accepted struct {
		ID     MessageID
		Client string
		Phone  PhoneID
		// Sealed is the number, encrypted; stored when the phone is new.
		Sealed     []byte
		Challenge  ChallengeID
		KeyVersion uint32
		Digits     int
		CreatedAt  time.Time
		ExpiresAt  time.Time
		// Locale is the BCP 47 tag of the message's text.
		Locale string
	}
	// Own is the intent behind a code that was right: whose phone is it now?
	Own struct {
		Now    time.Time
		Client string
		Phone  PhoneID
		// Sealed is the number, encrypted; stored when the phone is new.
		Sealed []byte
		// User and Known are those of a Grant, Device that of an Attempt.
		User   UserID
		Known  bool
		Device DeviceID
	}
)
