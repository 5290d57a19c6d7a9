package postgres_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"testing"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// sentMessages are messages that a carrier has, with the receipt that will come for each.
func sentMessages(tb testing.TB, s *postgres.Store, n int) (receipts []store.Receipt, ids []store.MessageID) {
	tb.Helper()
	fillQueue(tb, s, n)
	claimed := claimFrom(tb, s, moment(0), n)
	outcomes := make([]store.Outcome, n)
	receipts = make([]store.Receipt, n)
	for i := range claimed {
		outcomes[i], receipts[i] = handedOver(&claimed[i], store.ReceiptDelivered)
		ids = append(ids, claimed[i].ID)
	}
	if got, err := s.RecordOutcomes(context.Background(), moment(0), outcomes); err != nil || got != n {
		tb.Fatalf("%d outcomes were taken, %v", got, err)
	}
	return receipts, ids
}

// TestReceiptsTogether: receipts that come at once, each by itself and twice, are told
// each to its caller, and each counts once.
func TestReceiptsTogether(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	const n = 100
	receipts, ids := sentMessages(t, s, n)
	effects := make([][2]store.Applied, n)
	var wg sync.WaitGroup
	for i := range receipts {
		for again := range 2 {
			wg.Go(func() {
				got, err := s.ApplyReceipts(t.Context(), moment(0), receipts[i:i+1])
				if err != nil {
					t.Error(err)
					return
				}
				effects[i][again] = got[0]
			})
		}
	}
	wg.Wait()
	for i := range effects {
		a, b := effects[i][0], effects[i][1]
		if a.Effect == store.ReceiptDuplicate {
			a, b = b, a
		}
		if a.Effect != store.ReceiptChanged || b.Effect != store.ReceiptDuplicate || a.Message != ids[i] || b.Message != ids[i] {
			t.Errorf("receipt %d of %v: %+v and %+v", i, ids[i], a, b)
		}
	}
}

// TestReceiptThatDoesNotFit: one whose reference is longer than an index holds is
// refused, and holds up none of those that come at the same time.
func TestReceiptThatDoesNotFit(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	receipts, _ := sentMessages(t, s, 50)
	long := make([]byte, 16<<10)
	_, _ = rand.Read(long) // never fails
	bad := receipts[0]
	bad.CarrierRef = hex.EncodeToString(long)
	var wg sync.WaitGroup
	for i := range receipts {
		wg.Go(func() {
			if got, err := s.ApplyReceipts(t.Context(), moment(0), receipts[i:i+1]); err != nil || got[0].Effect != store.ReceiptChanged {
				t.Errorf("receipt %d: %+v, %v", i, got, err)
			}
		})
		wg.Go(func() {
			if _, err := s.ApplyReceipts(t.Context(), moment(0), []store.Receipt{bad}); !fault.Is(err, fault.Unavailable) {
				t.Errorf("the long one: %v", err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkReceipts has carriers report one message each, many at once.
func BenchmarkReceipts(b *testing.B) {
	s, _ := newLog(b)
	receipts := make(chan store.Receipt, b.N)
	for left := b.N; left > 0; left -= 5000 {
		batch, _ := sentMessages(b, s, min(left, 5000))
		for _, r := range batch {
			receipts <- r
		}
	}
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := s.ApplyReceipts(context.Background(), moment(0), []store.Receipt{<-receipts}); err != nil || got[0].Effect != store.ReceiptChanged {
				b.Errorf("%+v, %v", got, err)
			}
		}
	})
}
