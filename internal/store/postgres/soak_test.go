package postgres_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
)

var (
	soakFor  = flag.Duration("soak", 0, "how long TestSoak keeps the engine at full load; 0 skips it")
	soakRate = flag.Int("soak-rate", 0, "operations a second of TestSoak; 0 for as many as there can be")
)

const (
	soakPhones  = 100_000
	soakCallers = 32
)

// TestSoak keeps the tables that change in place busy, sends and sign-ins of one
// population of phones, and wants them to stop growing: the last third of the run
// may not add more than a tenth. -soak 1h -v prints the sizes.
func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("give it time: -soak 1h")
	}
	db := postgrestest.Start(t, postgrestest.Options{})
	s := open(t, postgres.Config{URL: db.URL()})
	defer s.Close()
	if err := s.CreateClient(t.Context(), store.Client{ID: "client", Name: "client", Settings: []byte("{}"), CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := s.KeepPartitions(t.Context(), time.Now(), 720*time.Hour); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range soakCallers {
		all.Go(func() {
			for ctx.Err() == nil {
				n := done.Add(1)
				if *soakRate > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(*soakRate))))
				}
				soakOnce(ctx, t, s)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.SweepExpired(ctx, store.Sweep{Now: time.Now(), KeepMessages: 720 * time.Hour, Limit: 500}) // again in a moment
			time.Sleep(50 * time.Millisecond)
		}
	})
	var sizes []int64
	for tick := *soakFor / 30; ctx.Err() == nil; {
		select {
		case <-time.After(tick):
			size, dead := soakSize(t, db.URL())
			sizes = append(sizes, size)
			t.Logf("%5.1f min: %9d operations, %6.1f MiB, %7d dead rows", time.Since(began).Minutes(), done.Load(), float64(size)/(1<<20), dead)
		case <-ctx.Done():
		}
	}
	all.Wait()
	if n := len(sizes); n >= 6 && sizes[n-1] > sizes[n*2/3]*11/10 {
		t.Errorf("the tables grew from %d to %d bytes in the last third", sizes[n*2/3], sizes[n-1])
	}
}

// soakOnce sends to some phone and signs its owner in.
func soakOnce(ctx context.Context, t *testing.T, s *postgres.Store) {
	now := time.Now()
	var phone store.PhoneID
	n := rand.IntN(soakPhones)
	for i := range 4 { // spread over the partitions, and always the same
		phone[i], phone[15-i] = byte(n>>(8*i)), byte(n>>(8*i))
	}
	out, err := s.StartChallenge(context.WithoutCancel(ctx), store.Start{
		Now: now, Client: "client", Phone: phone, Sealed: make([]byte, 48), MaxAttempts: 5, Message: store.NewMessageID(), Locale: "en",
		Challenge:   store.Challenge{ID: store.NewChallengeID(), KeyVersion: 1, Digits: 6, CreatedAt: now, ExpiresAt: now.Add(10 * time.Minute)},
		PhoneLimits: &store.PhoneLimits{Day: guard.Window{Max: 10, Period: time.Second}},
		Charges:     []store.Charge{{Name: "client", OfClient: true, Key: "client", Bucket: guard.Bucket{Burst: 1 << 30, Every: time.Microsecond}}},
	})
	if err != nil {
		t.Error(err)
		return
	}
	id := store.SessionID(store.NewMessageID())
	_, err = s.Attempt(context.WithoutCancel(ctx), store.Attempt{
		Now: now, Client: "client", Phone: phone, MaxAttempts: 5,
		Match: func(ch store.Challenge) bool { return ch.ID == out.Challenge.ID },
		Grant: store.Grant{Session: store.Session{
			ID: id, User: store.UserID(phone), AMR: []string{"otp", "sms"}, AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(20 * time.Second),
		}},
	})
	if err != nil { // another caller may have used the code of the same phone
		return
	}
	if err := s.TouchSession(context.WithoutCancel(ctx), now, id, now.Add(30*time.Second)); err != nil {
		t.Error(err)
	}
}

// soakSize is the size, indexes included, of the tables that change in place.
func soakSize(t *testing.T, url string) (size, dead int64) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(context.Background(), `SELECT sum(pg_total_relation_size(relid)), sum(n_dead_tup)::bigint FROM pg_stat_user_tables
		WHERE relname ~ '^(phones|sessions|limits|idempotency|padding|users)'`).Scan(&size, &dead)
	if err != nil {
		t.Fatal(err)
	}
	return size, dead
}
