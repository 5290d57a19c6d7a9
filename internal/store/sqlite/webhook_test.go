package sqlite_test

import (
	"strings"
	"testing"

	"codeword/internal/store/sqlite"
)

// TestTookSincePlan: what an endpoint took is found in an index alone, by when it took
// it, however much waits for it.
func TestTookSincePlan(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t, sqlite.Config{})
	plan, err := s.TookSincePlan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan, "SEARCH") || !strings.Contains(plan, "USING COVERING INDEX webhook_deliveries_done (endpoint_id=? AND state=? AND done_at>?)") {
		t.Error(plan)
	}
}
