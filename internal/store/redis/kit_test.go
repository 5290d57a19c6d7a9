package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/group"
	"codeword/internal/store/redis"
	"codeword/internal/store/sqlite"
	"codeword/internal/waittest"
)

const (
	client      = "client"
	ttl         = 10 * time.Minute
	maxAttempts = 3
)

func moment(d time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(d)
}

func random() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// withClient is a ledger with one client.
func withClient(tb testing.TB) *sqlite.Store {
	tb.Helper()
	l := ledger(tb)
	if err := l.CreateClient(tb.Context(), store.Client{ID: client, Name: client, Settings: []byte("{}"), CreatedAt: moment(0)}); err != nil {
		tb.Fatal(err)
	}
	return l
}

func sendTo(phone store.PhoneID, now time.Time) store.Start {
	return store.Start{
		Now: now, Client: client, Phone: phone, Sealed: []byte("sealed"), MaxAttempts: maxAttempts, Message: store.NewMessageID(),
		Challenge: store.Challenge{ID: random(), KeyVersion: 7, Digits: 6, CreatedAt: now, ExpiresAt: now.Add(ttl)},
	}
}

func guessAt(phone store.PhoneID, now time.Time, code store.ChallengeID) store.Attempt {
	return store.Attempt{
		Now: now, Client: client, Phone: phone, MaxAttempts: maxAttempts,
		Match: func(ch store.Challenge) bool { return ch.ID == code },
		Grant: store.Grant{Session: store.Session{ID: random(), User: random(), CreatedAt: now, AuthTime: now, ExpiresAt: now.Add(ttl)}},
	}
}

func mustSend(tb testing.TB, s *redis.Store, phone store.PhoneID) store.ChallengeID {
	tb.Helper()
	out, err := s.StartChallenge(context.Background(), sendTo(phone, moment(0)))
	if err != nil {
		tb.Fatalf("StartChallenge: %v", err)
	}
	return out.Challenge.ID
}

func mustPass(tb testing.TB, s *redis.Store, phone store.PhoneID, code store.ChallengeID) store.Session {
	tb.Helper()
	out, err := s.Attempt(context.Background(), guessAt(phone, moment(0), code))
	if err != nil {
		tb.Fatalf("Attempt: %v", err)
	}
	return out
}

// wants fails unless err is a fault of the kind.
func wants(tb testing.TB, what string, err error, kind fault.Kind) {
	tb.Helper()
	if !fault.Is(err, kind) {
		tb.Errorf("%s: %v, want a fault of kind %d", what, err, kind)
	}
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	waittest.Until(tb, what, is)
}

// shaky is a ledger that can be away, and that can refuse one message for good.
type shaky struct {
	*sqlite.Store
	away   atomic.Bool
	poison atomic.Pointer[store.MessageID]
	calls  atomic.Int64
}

var errPoison = errors.New("never")

func (l *shaky) QueueMessages(ctx context.Context, all []store.Accepted) error {
	l.calls.Add(1)
	if l.away.Load() {
		return group.Unavailable("shaky", "away", nil)
	}
	for i := range all {
		if p := l.poison.Load(); p != nil && *p == all[i].ID {
			return errPoison
		}
	}
	return l.Store.QueueMessages(ctx, all)
}

// logged is how many messages of a phone the ledger has.
func logged(tb testing.TB, l redis.Ledger, phone store.PhoneID) int {
	tb.Helper()
	page, err := l.Messages(context.Background(), store.MessageQuery{Clients: []string{client}, Phones: []store.PhoneID{phone}, Limit: 1000})
	if err != nil {
		tb.Fatal(err)
	}
	return len(page.Messages)
}
