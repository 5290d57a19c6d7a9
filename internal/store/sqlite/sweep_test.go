package sqlite_test

import (
	"encoding/hex"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestSweepLeavesNothing: no table keeps rows of a message that is gone.
func TestSweepLeavesNothing(t *testing.T) {
	t.Parallel()
	s, path := newStore(t, sqlite.Config{})
	fill(t, s, 20)
	claimed, err := s.ClaimMessages(t.Context(), store.Claim{Now: now(), Lease: time.Minute, Limit: 100})
	if err != nil || len(claimed) != 20 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	outcomes, receipts := delivered(claimed)
	receipts = append(receipts, store.Receipt{Route: "route", CarrierRef: "of nothing", Status: store.ReceiptFailed})
	if _, err := s.RecordOutcomes(t.Context(), now(), outcomes); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ApplyReceipts(t.Context(), now(), receipts); err != nil {
		t.Fatal(err)
	}
	const rows = `SELECT (SELECT COUNT(*) FROM messages) || ' ' || (SELECT COUNT(*) FROM dispatches) || ' ' ||
		(SELECT COUNT(*) FROM receipts) || ' ' || (SELECT COUNT(*) FROM early_receipts)`
	if got := text(t, path, rows); got != "20 20 20 1" {
		t.Fatalf("before: %s rows", got)
	}
	for done := false; !done; {
		out, err := s.SweepExpired(t.Context(), store.Sweep{Now: now().Add(100 * 24 * time.Hour), KeepMessages: time.Hour, Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		done = out.Done
	}
	if got := text(t, path, rows); got != "0 0 0 0" {
		t.Errorf("after: %s rows", got)
	}
}

// delivered are the outcomes of messages that one carrier took, and their receipts.
func delivered(claimed []store.Message) (outcomes []store.Outcome, receipts []store.Receipt) {
	for _, m := range claimed {
		id := random()
		ref := string(hex.AppendEncode(nil, id[:]))
		outcomes = append(outcomes, store.Outcome{
			ID: m.ID, Claims: m.Claims, Status: store.MessageSent, RetryAt: now().Add(time.Minute), Route: "route", CarrierRef: ref,
			Dispatches: []store.Dispatch{{
				At: now(), Claim: m.Claims, Route: "route", Decision: "route:chosen", Status: store.MessageSent, CarrierRef: ref, Segments: 1,
				PriceMicros: 7900,
			}},
		})
		receipts = append(receipts, store.Receipt{Route: "route", CarrierRef: ref, Status: store.ReceiptDelivered, At: now()})
	}
	return outcomes, receipts
}
