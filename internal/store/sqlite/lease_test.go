package sqlite_test

import (
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestEndLeases: after a crash all that was claimed is due at once, and the
// outcome of a claim of before does not count.
func TestEndLeases(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t, sqlite.Config{})
	claim := func(at time.Time, limit int) []store.Message {
		t.Helper()
		got, err := s.ClaimMessages(t.Context(), store.Claim{Now: at, Lease: 30 * time.Second, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	record := func(out store.Outcome) int {
		t.Helper()
		n, err := s.RecordOutcomes(t.Context(), now(), []store.Outcome{out})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 4 {
		if _, err := s.StartChallenge(t.Context(), send(random())); err != nil {
			t.Fatal(err)
		}
	}
	first := claim(now(), 8)
	if len(first) != 4 {
		t.Fatalf("claimed %d", len(first))
	}
	// One waits for its next try, one for a receipt, and is then looked at again;
	// two are with a server that dies.
	record(store.Outcome{ID: first[0].ID, Claims: 1, Status: store.MessageQueued, RetryAt: now().Add(20 * time.Second), Error: "busy"})
	record(store.Outcome{ID: first[1].ID, Claims: 1, Status: store.MessageSent, Route: "a", RetryAt: now()})
	if again := claim(now(), 8); len(again) != 1 || again[0].ID != first[1].ID {
		t.Fatalf("looked again at %d", len(again))
	}
	if got := claim(now(), 8); len(got) != 0 {
		t.Fatalf("claimed %d under a lease", len(got))
	}

	for _, want := range []int{3, 0} {
		if n, err := s.EndLeases(t.Context(), now()); err != nil || n != want {
			t.Errorf("ended %d leases, %v, want %d", n, err, want)
		}
	}
	if n := record(store.Outcome{ID: first[2].ID, Claims: 1, Status: store.MessageSent}); n != 0 {
		t.Error("an outcome of the server that died counted")
	}
	got := claim(now(), 8)
	if len(got) != 3 {
		t.Fatalf("claimed %d, want the three that were claimed before", len(got))
	}
	for _, m := range got {
		if m.ID == first[0].ID || m.Claims < 2 {
			t.Errorf("claimed %+v", m)
		}
	}
	if n := record(store.Outcome{ID: first[2].ID, Claims: 2, Status: store.MessageSent}); n != 1 {
		t.Error("the outcome of the new claim did not count")
	}
}
