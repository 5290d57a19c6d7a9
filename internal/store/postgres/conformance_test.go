package postgres_test

import (
	"testing"

	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("one node", func(t *testing.T) { conform(t, 1) })
	t.Run("three nodes", func(t *testing.T) { conform(t, 3) })
}

// conform runs the suite on so many nodes on one database.
func conform(t *testing.T, nodes int) {
	t.Helper()
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
