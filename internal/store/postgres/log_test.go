package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// logClient is the client of the tests of the message log.
const logClient = "client-a"

// moment is the now of the tests of the message log.
func moment(after time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
}

func randomID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// node opens a store, one more on the same database when it was opened before.
func node(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	s := open(tb, postgres.Config{URL: url})
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// newLog opens a store on a new database, with a client and partitions.
func newLog(tb testing.TB) (s *postgres.Store, url string) {
	tb.Helper()
	url = database(tb)
	s = node(tb, url)
	if err := s.CreateClient(tb.Context(), store.Client{ID: logClient, Name: logClient, Settings: []byte("{}"), CreatedAt: moment(0)}); err != nil {
		tb.Fatal(err)
	}
	for _, now := range []time.Time{moment(-3 * 24 * time.Hour), moment(0)} {
		if err := s.KeepPartitions(tb.Context(), now, 30*24*time.Hour); err != nil {
			tb.Fatal(err)
		}
	}
	return s, url
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// script runs statements on the database, past the store.
func script(t *testing.T, url, sql string) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}

// messageAt makes an id of that moment.
func messageAt(at time.Time) store.MessageID {
	id := store.MessageID(randomID())
	for i, ms := 5, at.UnixMilli(); i >= 0; i-- {
		id[i] = byte(ms)
		ms >>= 8
	}
	return id
}

func sendTo(phone store.PhoneID, at time.Time) store.Start {
	return store.Start{
		Now: at, Client: logClient, Phone: phone, Sealed: make([]byte, 64), MaxAttempts: 5, Message: messageAt(at),
		Challenge: store.Challenge{ID: randomID(), KeyVersion: 1, Digits: 6, CreatedAt: at, ExpiresAt: at.Add(10 * time.Minute)},
	}
}

// fillQueue sends to n new phones, a microsecond apart.
func fillQueue(tb testing.TB, s *postgres.Store, n int) {
	tb.Helper()
	const callers = 50
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := i; j < n; j += callers {
				if _, err := s.StartChallenge(context.Background(), sendTo(randomID(), moment(-time.Duration(j)*time.Microsecond))); err != nil {
					tb.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func claimFrom(tb testing.TB, s *postgres.Store, now time.Time, limit int) []store.Message {
	tb.Helper()
	got, err := s.ClaimMessages(context.Background(), store.Claim{Now: now, Lease: time.Minute, Limit: limit})
	if err != nil {
		tb.Error(err)
	}
	return got
}

// handedOver is the outcome of a message that a route took, and its receipt.
func handedOver(m *store.Message, status store.ReceiptStatus) (store.Outcome, store.Receipt) {
	ref := fmt.Sprint(m.ID, " ", m.Claims)
	return store.Outcome{
			ID: m.ID, Claims: m.Claims, Status: store.MessageSent, Route: "a", CarrierRef: ref, RetryAt: moment(time.Minute - time.Duration(m.ID[15])*time.Microsecond),
			Dispatches: []store.Dispatch{{At: moment(0), Claim: m.Claims, Route: "a", Decision: "a:chosen", Status: store.MessageSent, CarrierRef: ref, Segments: 1}},
		},
		store.Receipt{Route: "a", CarrierRef: ref, Status: status}
}
