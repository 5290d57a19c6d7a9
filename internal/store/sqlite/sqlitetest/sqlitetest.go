// Package sqlitetest gives tests of other packages a real store.
package sqlitetest

import (
	"path/filepath"
	"testing"

	"codeword/internal/store/sqlite"
)

// New opens a store in a directory of its own and closes it with the test.
func New(tb testing.TB) *sqlite.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), sqlite.Config{Path: filepath.Join(tb.TempDir(), "test.db")})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return st
}
