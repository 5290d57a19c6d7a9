package postgres_test

import (
	"testing"

	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/storetest"
)

// TestConformance runs the suite on four nodes on one database, of which each call
// reaches the next.
func TestConformance(t *testing.T) {
	t.Parallel()
	const nodes = 4
	urls := make(map[storetest.Store]string)
	openAt := func(t *testing.T, url string) storetest.Store {
		t.Helper()
		all := make([]storetest.Store, nodes)
		for i := range all {
			all[i] = open(t, postgres.Config{URL: url})
		}
		s := storetest.Spread(all...)
		urls[s] = url
		return s
	}
	storetest.Run(t, storetest.Engine{
		New: func(t *testing.T) storetest.Store {
			t.Helper()
			return openAt(t, database(t))
		},
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return openAt(t, urls[s])
		},
	})
}

// database is an empty database of the test's own.
func database(tb testing.TB) string {
	tb.Helper()
	return postgrestest.New(tb)
}

func open(tb testing.TB, cfg postgres.Config) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	return s
}
