package sqlite_test

import (
	"testing"

	"codeword/internal/fault"
	"codeword/internal/store/sqlite"
)

// TestRollbackLeavesNothingGathered: frames of a rolled back transaction that
// were still gathered could be written later, over what another process has
// committed to the same place of the log.
func TestRollbackLeavesNothingGathered(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	// With so small a cache SQLite would spill dirty pages before the commit.
	if err := s.WriterPragma("PRAGMA cache_size = 20"); err != nil {
		t.Fatal(err)
	}
	if err := s.LargeFailure(t.Context(), 500); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("got %v, want Unavailable", err)
	}
	if n := sqlite.Gathered(); n != 0 {
		t.Errorf("%d bytes of a rolled back transaction wait to be written", n)
	}
	// Somebody else commits to the same place of the log, and then we do.
	other := open(t, sqlite.Config{Path: path})
	if err := other.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Check(t.Context(), path); err != nil {
		t.Errorf("the file is damaged: %v", err)
	}
}
