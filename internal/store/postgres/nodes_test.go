package postgres_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// TestNodesShareTheQueue: claims of several nodes at once take each message once,
// and together all of them.
func TestNodesShareTheQueue(t *testing.T) {
	t.Parallel()
	const n = 1000
	first, url := newLog(t)
	nodes := []*postgres.Store{first, node(t, url), node(t, url)}
	fillQueue(t, first, n)
	var mu sync.Mutex
	claims := make(map[store.MessageID]int)
	var all sync.WaitGroup
	for i := range 9 {
		all.Go(func() {
			for {
				got := claimFrom(t, nodes[i%3], moment(0), 1+rand.IntN(40))
				mu.Lock()
				for _, m := range got {
					claims[m.ID]++
				}
				done := len(claims) == n
				mu.Unlock()
				if done || t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
	for id, times := range claims {
		if times != 1 {
			t.Errorf("%v was claimed %d times", id, times)
		}
	}
	if got := claimFrom(t, first, moment(0), n); len(got) != 0 {
		t.Errorf("claimed %d messages within their lease", len(got))
	}
	if got := claimFrom(t, first, moment(time.Minute), 2*n); len(got) != n {
		t.Errorf("claimed %d messages after the lease, want %d", len(got), n)
	}
}

// TestNodesTellAtOnce: one node records outcomes while another applies the
// receipts of the same dispatches, in batches that overlap and are in no order. No
// receipt misses its outcome, and no batch fails since two waited for each other.
func TestNodesTellAtOnce(t *testing.T) {
	t.Parallel()
	const rounds, n = 12, 60
	first, url := newLog(t)
	second := node(t, url)
	for range rounds {
		fillQueue(t, first, n)
		var outcomes []store.Outcome
		var receipts []store.Receipt
		claimed := claimFrom(t, first, moment(0), n)
		if len(claimed) != n {
			t.Fatalf("claimed %d messages, want %d", len(claimed), n)
		}
		for i := range claimed {
			o, r := handedOver(&claimed[i], store.ReceiptDelivered)
			failed := r
			failed.Status, failed.OptOut = store.ReceiptFailed, true
			outcomes, receipts = append(outcomes, o), append(receipts, r, failed)
		}
		shuffle := func(s []store.Receipt) { rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] }) }
		rand.Shuffle(n, func(i, j int) { outcomes[i], outcomes[j] = outcomes[j], outcomes[i] })
		shuffle(receipts)
		var all sync.WaitGroup
		for batch := range slices.Chunk(outcomes, n/3) {
			all.Go(func() {
				if got, err := first.RecordOutcomes(context.Background(), moment(0), batch); err != nil || got != len(batch) {
					t.Errorf("%d outcomes of %d were taken, %v", got, len(batch), err)
				}
			})
		}
		for _, s := range []*postgres.Store{first, second} { // as if a carrier repeated all
			mine := slices.Clone(receipts)
			shuffle(mine)
			for batch := range slices.Chunk(mine, n/2) {
				all.Go(func() {
					if _, err := s.ApplyReceipts(context.Background(), moment(0), batch); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		for _, m := range claimed {
			got, err := second.Message(t.Context(), m.ID)
			if err != nil || got.Message.Status != store.MessageDelivered || len(got.Receipts) != 2 || !got.Message.OptedOut {
				t.Fatalf("the log has %+v, %v", got, err)
			}
		}
	}
	noDeadlock(t, url, first, second)
}

// noDeadlock closes the stores on a database and fails if transactions of theirs
// ever waited for each other in a circle.
func noDeadlock(t *testing.T, url string, nodes ...*postgres.Store) {
	t.Helper()
	for _, s := range nodes {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := deadlocks(t, url); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// TestNodesTellOfOneMessage: receipts of different dispatches share no reference,
// only the message; what one node makes of it the other does not overwrite.
func TestNodesTellOfOneMessage(t *testing.T) {
	t.Parallel()
	const n, tries = 50, 3
	first, url := newLog(t)
	nodes := []*postgres.Store{first, node(t, url)}
	fillQueue(t, first, n)
	receipts := make([][]store.Receipt, tries)
	var claimed []store.Message
	for try := range tries { // unheard of, it goes out again
		claimed = claimFrom(t, first, moment(time.Duration(try)*time.Minute), n)
		var outcomes []store.Outcome
		for i := range claimed {
			o, r := handedOver(&claimed[i], store.ReceiptFailed)
			if o.RetryAt = moment(time.Duration(try+1) * time.Minute); try == 0 {
				r.Status = store.ReceiptDelivered
			}
			outcomes, receipts[try] = append(outcomes, o), append(receipts[try], r)
		}
		if got, err := first.RecordOutcomes(t.Context(), moment(0), outcomes); err != nil || got != n {
			t.Fatalf("%d outcomes of %d were taken, %v", got, n, err)
		}
	}
	var all sync.WaitGroup
	for try := range tries {
		for batch := range slices.Chunk(receipts[try], 5) {
			all.Go(func() {
				if _, err := nodes[try%2].ApplyReceipts(context.Background(), moment(0), batch); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for _, m := range claimed {
		got, err := first.Message(t.Context(), m.ID)
		if err != nil || got.Message.Status != store.MessageDelivered || len(got.Receipts) != tries {
			t.Errorf("the log has %+v, %v", got, err)
		}
	}
	noDeadlock(t, url, nodes...)
}

// TestVerifiedWhileClaimed: what locks messages in one order waits for nobody in
// a circle.
func TestVerifiedWhileClaimed(t *testing.T) {
	t.Parallel()
	const n, turns = 60, 10
	first, url := newLog(t)
	second := node(t, url)
	fillQueue(t, first, n)
	claimed := claimFrom(t, first, moment(0), n)
	var phones []store.PhoneID
	var receipts []store.Receipt
	for i := range claimed {
		o, r := handedOver(&claimed[i], store.ReceiptAccepted)
		phones, receipts = append(phones, claimed[i].Phone), append(receipts, r)
		if got, err := first.RecordOutcomes(t.Context(), moment(0), []store.Outcome{o}); err != nil || got != 1 {
			t.Fatal(got, err)
		}
	}
	told := make([]int, turns)
	var all sync.WaitGroup
	for turn := range turns {
		s := []*postgres.Store{first, second}[turn%2]
		mine, theirs := slices.Clone(phones), slices.Clone(receipts)
		rand.Shuffle(n, func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		rand.Shuffle(n, func(i, j int) { theirs[i], theirs[j] = theirs[j], theirs[i] })
		for i := range theirs {
			theirs[i].Error = string(rune('a' + turn)) // says something new
			theirs[i].OptOut = true
		}
		all.Go(func() {
			got, err := s.RecordVerified(context.Background(), moment(0), mine)
			if err != nil {
				t.Error(err)
			}
			told[turn] = len(got)
		})
		all.Go(func() {
			if _, err := s.ApplyReceipts(context.Background(), moment(0), theirs); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() { claimFrom(t, s, moment(time.Duration(turn+1)*time.Minute), n) })
	}
	all.Wait()
	sum := 0
	for _, n := range told {
		sum += n
	}
	if sum != n {
		t.Errorf("%d codes were told, want each of %d once", sum, n)
	}
	noDeadlock(t, url, first, second)
}

// TestHostileText: what a text of PostgreSQL cannot hold does not fail the batch
// that it is in, and a receipt still finds its dispatch.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s, _ := newLog(t)
	fillQueue(t, s, 3)
	claimed := claimFrom(t, s, moment(0), 3)
	var outcomes []store.Outcome
	var receipts []store.Receipt
	for i := range claimed {
		o, r := handedOver(&claimed[i], store.ReceiptDelivered)
		r.CarrierRef += []string{"\x00", "\xff\xfe", "'; \\ $1 {}\""}[i]
		o.CarrierRef, o.Dispatches[0].CarrierRef, o.Error = r.CarrierRef, r.CarrierRef, "\x00"
		outcomes, receipts = append(outcomes, o), append(receipts, r)
		if i == 0 {
			continue
		}
		if got, err := s.ApplyReceipts(t.Context(), moment(0), receipts[i:]); err != nil || got[0].Effect != store.ReceiptUnmatched {
			t.Fatalf("before the outcome: %+v, %v", got, err)
		}
	}
	if got, err := s.RecordOutcomes(t.Context(), moment(0), outcomes); err != nil || got != 3 {
		t.Fatalf("%d outcomes were taken, %v", got, err)
	}
	got, err := s.ApplyReceipts(t.Context(), moment(0), append(receipts, receipts[0]))
	if err != nil || got[0].Effect != store.ReceiptChanged || got[3].Effect != store.ReceiptDuplicate {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, m := range claimed {
		if got[i].Message != m.ID || i > 0 && got[i].Effect != store.ReceiptDuplicate {
			t.Errorf("receipt %d: %+v, want %v", i, got[i], m.ID)
		}
		if d, err := s.Message(t.Context(), m.ID); err != nil || d.Message.Status != store.MessageDelivered {
			t.Errorf("the log has %+v, %v", d, err)
		}
	}
}
