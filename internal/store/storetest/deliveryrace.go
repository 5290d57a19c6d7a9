package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
)

func deliveryRaceChecks() []check {
	return []check{
		{name: "workers and receipts race", run: raceReceipts, alone: true},
		{name: "a lost lease does not send again what was recorded", run: raceLeases, alone: true},
	}
}

// holders knows who holds which message.
type holders struct {
	mu   sync.Mutex
	held map[store.MessageID]bool
}

// take fails when somebody holds the message.
func (h *holders) take(t *testing.T, id store.MessageID) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[id] {
		t.Errorf("message %v was claimed by two at once", id)
	}
	h.held[id] = true
}

func (h *holders) release(id store.MessageID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, id)
}

// trips is over how many routes each message goes before it arrives.
const trips = 3

// raceReceipts: workers claim, dispatch and record while receipts of their
// dispatches come at the worst times: before the outcome, with it, and while the
// next claim is open. No message is claimed by two, and each arrives.
func raceReceipts(t *testing.T, s *suite) {
	const n, workers = 40, 6
	for range n {
		s.send(t, random(), at(0))
	}
	h := &holders{held: make(map[store.MessageID]bool)}
	receipts := make(chan store.Receipt, 4*n*trips)
	var mu sync.Mutex
	arrived := make(map[store.MessageID]bool)
	all := func() bool { mu.Lock(); defer mu.Unlock(); return len(arrived) == n }
	deadline := time.Now().Add(time.Minute)
	race(2*workers, func(i int) {
		for !all() && time.Now().Before(deadline) {
			if i < workers {
				s.turn(t, h, receipts)
				continue
			}
			s.drain(t, receipts)
			page, err := s.Messages(context.Background(), store.MessageQuery{Clients: []string{s.client}, Status: store.MessageDelivered, Limit: n})
			if err != nil {
				t.Errorf("Messages: %v", err)
			}
			mu.Lock()
			for _, m := range page.Messages {
				arrived[m.ID] = true
			}
			mu.Unlock()
		}
	})
	if !all() {
		t.Fatalf("%d of %d messages arrived", len(arrived), n)
	}
	s.none(t, at(day))
	for id := range arrived {
		got := s.detail(t, id)
		for i, d := range got.Dispatches {
			if d.Claim != i+1 || d.Route != fmt.Sprint("route ", i+1) {
				t.Errorf("dispatch %d of %v is %+v", i+1, id, d)
			}
		}
	}
}

// turn is one turn of a worker: each message goes to the next route.
func (s *suite) turn(t *testing.T, h *holders, receipts chan<- store.Receipt) {
	t.Helper()
	got, err := s.ClaimMessages(context.Background(), store.Claim{Now: at(0), Lease: lease, Limit: 4})
	if err != nil {
		t.Errorf("ClaimMessages: %v", err)
		return
	}
	var outcomes []store.Outcome
	var late []store.Receipt
	for _, m := range got {
		h.take(t, m.ID)
		d := dispatch(fmt.Sprint("route ", m.Claims), fmt.Sprint(m.ID, " ", m.Claims), store.MessageSent)
		out := outcome(m, d)
		r := retry(of(d, store.ReceiptFailed))
		if m.Claims >= trips {
			r = of(d, store.ReceiptDelivered)
		} else if rand.IntN(2) == 0 {
			out.RetryAt = at(0) // due for a check at once, receipt or not
		}
		if outcomes = append(outcomes, out); rand.IntN(4) == 0 {
			receipts <- r
		} else {
			late = append(late, r)
		}
	}
	if err := s.Ping(context.Background()); err != nil { // takes as long as a receipt does
		t.Errorf("Ping: %v", err)
	}
	for _, m := range got {
		h.release(m.ID)
	}
	n, err := s.RecordOutcomes(context.Background(), at(0), outcomes)
	if err != nil || n != len(outcomes) {
		t.Errorf("RecordOutcomes took %d of %d: %v", n, len(outcomes), err)
	}
	for _, r := range late {
		receipts <- r
	}
}

// drain applies what receipts there are, one of them twice.
func (s *suite) drain(t *testing.T, receipts <-chan store.Receipt) {
	t.Helper()
	var batch []store.Receipt
	for more := true; more && len(batch) < 5; {
		select {
		case r := <-receipts:
			batch = append(batch, r)
		default:
			more = false
		}
	}
	if len(batch) > 0 {
		batch = append(batch, batch[rand.IntN(len(batch))])
	}
	got, err := s.ApplyReceipts(context.Background(), at(0), batch)
	if err != nil || len(got) != len(batch) {
		t.Errorf("ApplyReceipts answered %d of %d: %v", len(got), len(batch), err)
	}
}

// raceLeases: the lease of every claim is lost at once, so that all workers hold
// all messages; of each message one outcome is recorded, and then it is claimed
// no more.
func raceLeases(t *testing.T, s *suite) {
	const n, workers = 20, 5
	for range n {
		s.send(t, random(), at(0))
	}
	var mu sync.Mutex
	recorded := make(map[store.MessageID]int)
	race(workers, func(i int) {
		now := at(time.Duration(i) * lease)
		for turn := range 3 {
			now := now.Add(time.Duration(turn) * lease)
			got, err := s.ClaimMessages(context.Background(), store.Claim{Now: now, Lease: lease, Limit: n})
			if err != nil {
				t.Errorf("ClaimMessages: %v", err)
			}
			for _, m := range got {
				taken, err := s.RecordOutcomes(context.Background(), now, []store.Outcome{
					outcome(m, dispatch("a", fmt.Sprint(m.ID, m.Claims), store.MessageSent)),
				})
				if err != nil {
					t.Errorf("RecordOutcomes: %v", err)
				}
				mu.Lock()
				recorded[m.ID] += taken
				mu.Unlock()
			}
		}
	})
	s.none(t, at(day))
	for id, times := range recorded {
		got := s.detail(t, id)
		if times != 1 || len(got.Dispatches) != 1 || got.Dispatches[0].Claim != got.Message.Claims || got.Message.Status != store.MessageSent {
			t.Errorf("%d outcomes of %v were recorded: %+v", times, id, got)
		}
	}
	if len(recorded) != n {
		t.Errorf("outcomes of %d messages, want %d", len(recorded), n)
	}
}
