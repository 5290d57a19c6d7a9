package app

import (
	"context"
	"testing"
	"time"

	"codeword/internal/console"
	"codeword/internal/fault"
	"codeword/internal/otp"
	"codeword/internal/store"
)

// noRecords is a store that answers nothing of phones.
type noRecords struct{ err error }

func (n noRecords) PhoneRecord(context.Context, store.PhoneQuery) (store.PhoneRecord, error) {
	return store.PhoneRecord{}, n.err
}

// newest is the message that was accepted last.
func (b *logBed) newest() store.Message {
	b.t.Helper()
	page, err := b.engine.Messages(b.t.Context(), store.MessageQuery{Clients: []string{"client-live-a"}, Limit: 1})
	if err != nil || len(page.Messages) != 1 {
		b.t.Fatal(page, err)
	}
	return page.Messages[0]
}

// guess tries a code for a message, the right one or others, so many times.
func (b *logBed) guess(m *store.Message, times int, right bool) {
	b.t.Helper()
	client := b.clients.Client(m.Client)
	code, err := b.otp.MessageCode(client, *m)
	if err != nil {
		b.t.Fatal(err)
	}
	digits := []byte(code.Reveal())
	if !right {
		digits[0] = '0' + (digits[0]-'0'+1)%10
	}
	for range times {
		_, err := b.otp.Authenticate(b.t.Context(), otp.AuthenticateRequest{Client: client, PhoneID: b.otp.PhoneID(client, m.Phone), OTP: string(digits)})
		if right != (err == nil) {
			b.t.Fatal(err)
		}
	}
}

// tells fails unless that is told of a message's challenge; attempts of -1 means nothing.
func (b *logBed) tells(m *store.Message, state string, attempts, most int) {
	b.t.Helper()
	found, err := b.Find(b.t.Context(), m.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	got, told := found.Challenge, -1
	if got == nil {
		b.t.Fatal("nothing is told of the challenge")
	}
	if got.Attempts != nil {
		told = *got.Attempts
	}
	if got.State != state || told != attempts || got.MaxAttempts != most {
		b.t.Errorf("it is %s, %d of %d; want %s, %d of %d", got.State, told, got.MaxAttempts, state, attempts, most)
	}
}

func TestMessageLogTellsTheChallenge(t *testing.T) {
	b := newLogBed(t)
	b.mustSend("client-live-a", loggedNumber)
	first := b.newest()
	b.tells(&first, console.ChallengeOpen, 0, 5)
	b.guess(&first, 2, false)
	b.tells(&first, console.ChallengeOpen, 2, 5)
	b.guess(&first, 3, false)
	b.tells(&first, console.ChallengeExhausted, 5, 5)

	b.mustSend("client-live-a", loggedNumber) // a fresh challenge
	second := b.newest()
	b.tells(&first, console.ChallengeUnknown, -1, 0)
	b.tells(&second, console.ChallengeOpen, 0, 5)
	b.guess(&second, 1, false)
	b.guess(&second, 1, true)
	b.tells(&second, console.ChallengeUnknown, -1, 0) // until it is noted that it was used
	if _, err := b.engine.RecordVerified(t.Context(), b.now, []store.PhoneID{second.Phone}); err != nil {
		t.Fatal(err)
	}
	b.tells(&second, console.ChallengeUsed, -1, 0)

	b.mustSend("client-live-a", loggedNumber)
	third := b.newest()
	b.guess(&third, 1, false)
	b.now = third.ExpiresAt
	b.tells(&third, console.ChallengeExpired, 1, 5)
	b.phones = noRecords{fault.New(fault.Unavailable, "x")}
	b.tells(&third, console.ChallengeUnavailable, -1, 0)
	b.tells(&second, console.ChallengeUsed, -1, 0)
	b.phones = noRecords{fault.New(fault.NotFound, "x")}
	b.tells(&third, console.ChallengeUnknown, -1, 0)
	b.phones = b.engine
	for done := false; !done; {
		swept, err := b.engine.SweepExpired(t.Context(), store.Sweep{Now: b.now.Add(time.Second), KeepMessages: time.Hour, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		done = swept.Done
	}
	b.tells(&third, console.ChallengeUnknown, -1, 0)
}
