package app_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/internal/clocktest"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestUnfinishedCopy: nobody works on half a ledger.
func TestUnfinishedCopy(t *testing.T) {
	dir := t.TempDir()
	c := clocktest.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	d, err := startDev(t, dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	state := store.CopyState{Origin: "another", StartedAt: c.Now()}
	for _, finished := range []bool{false, true} {
		st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "codeword.db")})
		if err != nil {
			t.Fatal(err)
		}
		if finished {
			state.FinishedAt = c.Now()
		}
		if err := st.SetCopyState(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		r, doctor := run(t, "client", "list", "--data", dir), run(t, "doctor", "--data", dir)
		if strings.Contains(doctor.out, "FAIL  copy ") == finished {
			t.Errorf("the doctor says %s", doctor.out)
		}
		d, err := startDev(t, dir, c)
		if finished {
			if err != nil || r.code != 0 {
				t.Errorf("a finished copy: %v, %+v", err, r)
			} else if err := d.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "a copy into it was interrupted") || r.code != 2 || !strings.Contains(r.err, "a copy into it was interrupted") {
			t.Errorf("an unfinished copy: %v, %+v", err, r)
		}
	}
}
