package sqlite_test

import (
	"path/filepath"
	"testing"

	"codeword/internal/store/sqlite"
	"codeword/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	paths := make(map[storetest.Store]string)
	openAt := func(t *testing.T, path string) storetest.Store {
		t.Helper()
		s := open(t, sqlite.Config{Path: path})
		paths[s] = path
		return s
	}
	storetest.Run(t, storetest.Engine{
		New: func(t *testing.T) storetest.Store {
			t.Helper()
			return openAt(t, filepath.Join(t.TempDir(), "codeword.db"))
		},
		Reopen: func(t *testing.T, s storetest.Store) storetest.Store {
			t.Helper()
			if err := s.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			return openAt(t, paths[s])
		},
	})
}

func open(tb testing.TB, cfg sqlite.Config) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	return s
}
