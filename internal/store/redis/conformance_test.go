package redis_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/store/sqlite"
	"codeword/internal/store/storetest"
)

// settled is a store in which whoever looks at the ledger sees what was accepted
// before: the suite does not wait.
type settled struct {
	*redis.Store
	sent *sentTo
}

// sentTo are the phones that something was sent to.
type sentTo struct {
	mu     sync.Mutex
	phones []store.PhoneID
}

func (s settled) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	out, err := s.Store.StartChallenge(ctx, in)
	s.sent.mu.Lock()
	defer s.sent.mu.Unlock()
	s.sent.phones = append(s.sent.phones, out.Phone)
	return out, err
}

func (s settled) drain(ctx context.Context) error {
	s.sent.mu.Lock()
	phones := s.sent.phones
	s.sent.mu.Unlock()
	return s.Drain(ctx, phones)
}

func (s settled) Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error) {
	if err := s.drain(ctx); err != nil {
		return store.MessageDetail{}, err
	}
	return s.Store.Message(ctx, id)
}

func (s settled) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	if err := s.drain(ctx); err != nil {
		return nil, err
	}
	return s.Store.ClaimMessages(ctx, in)
}

func (s settled) MarkPhone(ctx context.Context, in store.PhoneMark) error {
	if err := s.drain(ctx); err != nil {
		return err
	}
	return s.Store.MarkPhone(ctx, in)
}

func (s settled) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	if err := s.drain(ctx); err != nil {
		return nil, err
	}
	return s.Store.RecordVerified(ctx, now, phones)
}

func (s settled) SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error) {
	if err := s.drain(ctx); err != nil {
		return store.Swept{}, err
	}
	return s.Store.SweepExpired(ctx, in)
}

func ledger(tb testing.TB) *sqlite.Store {
	tb.Helper()
	return ledgerAt(tb, filepath.Join(tb.TempDir(), "codeword.db"))
}

func ledgerAt(tb testing.TB, path string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), sqlite.Config{Path: path})
	if err != nil {
		tb.Fatalf("open the ledger: %v", err)
	}
	return s
}

// open opens the engine; it is closed with the test.
func open(tb testing.TB, cfg redis.Config) *redis.Store {
	tb.Helper()
	if cfg.Ledger == nil {
		cfg.Ledger = ledger(tb)
	}
	s, err := redis.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return s
}

// keeper opens the same ledger again and again.
type keeper func(t *testing.T) redis.Ledger

// inFile keeps the ledger in a file.
func inFile(t *testing.T) keeper {
	t.Helper()
	path := filepath.Join(t.TempDir(), "codeword.db")
	return func(t *testing.T) redis.Ledger {
		t.Helper()
		return ledgerAt(t, path)
	}
}

// inPostgres keeps the ledger in a PostgreSQL database.
func inPostgres(t *testing.T) keeper {
	t.Helper()
	url := postgrestest.New(t)
	return func(t *testing.T) redis.Ledger {
		t.Helper()
		s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		if err != nil {
			t.Fatalf("open the ledger: %v", err)
		}
		return s
	}
}

// conform runs the suite on so many nodes on one server, or cluster, and one ledger.
func conform(t *testing.T, url string, nodes int, ledger func(*testing.T) keeper) {
	t.Helper()
	type place struct {
		url    string
		ledger keeper
		sent   *sentTo
	}
	where := make(map[storetest.Store]place)
	openAt := func(t *testing.T, at place) storetest.Store {
		t.Helper()
		all := make([]storetest.Store, nodes)
		for i := range all {
			all[i] = settled{open(t, redis.Config{URL: at.url, Ledger: at.ledger(t)}), at.sent}
		}
		s := storetest.Spread(all...)
		where[s] = at
		return s
	}
	storetest.Run(t, storetest.Engine{
		New: func(t *testing.T) storetest.Store {
			t.Helper()
			return openAt(t, place{redistest.Apart(url), ledger(t), &sentTo{}})
		},
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return openAt(t, where[s])
		},
		Lacks: []storetest.Capability{storetest.AtomicGrant, storetest.CountedSweep},
	})
}

// TestConformance: one server before a file.
func TestConformance(t *testing.T) {
	t.Parallel()
	conform(t, redistest.New(t), 1, inFile)
}

// TestConformanceCluster: two nodes on a cluster and one PostgreSQL database.
func TestConformanceCluster(t *testing.T) {
	t.Parallel()
	postgrestest.Need(t)
	conform(t, redistest.StartCluster(t).URL(), 2, inPostgres)
}
