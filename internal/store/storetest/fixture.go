package storetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// What the checks use where the figure itself does not matter.
const (
	ttl         = 10 * time.Minute
	idle        = 10 * time.Minute
	maxAttempts = 5
	keep        = 30 * 24 * time.Hour
)

// at is the moment d after the beginning of every check.
func at(d time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d)
}

// tb is what testing.T and rapid.T have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// suite is a store under test with two clients.
type suite struct {
	Store
	engine        Engine
	client, other string
}

// random fills an id. Phones of different checks never meet.
func random() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// newMessage makes an id that sorts by its moment (RFC 9562 §5.7).
func newMessage(now time.Time) store.MessageID {
	id := random()
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}

// intent is a send without limits.
func (s *suite) intent(phone store.PhoneID, now time.Time) store.Start {
	return store.Start{
		Now: now, Client: s.client, Phone: phone, Sealed: append([]byte("sealed "), phone[:]...),
		Challenge:   store.Challenge{ID: random(), KeyVersion: 7, Digits: 6, CreatedAt: now, ExpiresAt: now.Add(ttl)},
		MaxAttempts: maxAttempts, Message: newMessage(now),
	}
}

// start carries out a send that must succeed.
func (s *suite) start(t tb, in store.Start) store.Started {
	t.Helper()
	out, err := s.StartChallenge(context.Background(), in)
	if err != nil {
		t.Fatalf("StartChallenge at +%v: %v", in.Now.Sub(at(0)), err)
	}
	return out
}

// send starts or joins a challenge of a phone and returns it.
func (s *suite) send(t tb, phone store.PhoneID, now time.Time) store.Challenge {
	t.Helper()
	return s.start(t, s.intent(phone, now)).Challenge
}

// refuse carries out a send that must be refused.
func (s *suite) refuse(t tb, in store.Start, kind fault.Kind) *fault.Error {
	t.Helper()
	_, err := s.StartChallenge(context.Background(), in)
	return refusal(t, "StartChallenge", err, kind)
}

// guess is an attempt with the code of a challenge.
func (s *suite) guess(phone store.PhoneID, now time.Time, code store.ChallengeID) store.Attempt {
	return store.Attempt{
		Now: now, Client: s.client, Phone: phone, MaxAttempts: maxAttempts,
		Match: func(ch store.Challenge) bool { return ch.ID == code },
		Grant: store.Grant{Session: store.Session{
			ID: random(), User: random(), AMR: []string{"otp", "sms"}, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(idle),
		}},
	}
}

// pass carries out an attempt that must succeed.
func (s *suite) pass(t tb, in store.Attempt) store.Session {
	t.Helper()
	out, err := s.Attempt(context.Background(), in)
	if err != nil {
		t.Fatalf("Attempt at +%v: %v", in.Now.Sub(at(0)), err)
	}
	return out
}

// fail carries out an attempt that must be refused.
func (s *suite) fail(t tb, in store.Attempt, kind fault.Kind) *fault.Error {
	t.Helper()
	_, err := s.Attempt(context.Background(), in)
	return refusal(t, "Attempt", err, kind)
}

// miss makes n wrong guesses.
func (s *suite) miss(t tb, phone store.PhoneID, now time.Time, n int) {
	t.Helper()
	for range n {
		s.fail(t, s.guess(phone, now, random()), fault.WrongCode)
	}
}

// signIn verifies a new phone and returns its session.
func (s *suite) signIn(t tb, now time.Time) store.Session {
	t.Helper()
	phone := store.PhoneID(random())
	return s.pass(t, s.guess(phone, now, s.send(t, phone, now).ID))
}

// sent lists the messages of a phone, newest first.
func (s *suite) sent(t tb, phone store.PhoneID) []store.Message {
	t.Helper()
	out, err := s.Messages(context.Background(), store.MessageQuery{
		Clients: []string{s.client, s.other}, Phones: []store.PhoneID{phone}, Limit: 100,
	})
	if err != nil {
		t.Fatalf("Messages: %v", err)
	}
	return out.Messages
}

// refusal checks that err is a *fault.Error of the kind.
func refusal(t tb, what string, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind {
		t.Fatalf("%s: got %#v, want a fault of kind %d", what, err, kind)
	}
	return f
}

// ok fails when err is not nil.
func ok(t tb, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
