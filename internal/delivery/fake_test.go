package delivery_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/delivery"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

var errDown = errors.New("store down")

// queue is a queue in memory, shared by nodes, that keeps the rules of the
// port: due messages, leases, fences.
type queue struct {
	mu       sync.Mutex
	rows     map[store.MessageID]*row
	order    []store.MessageID
	claims   []store.Claim
	recorded []store.Outcome
	stale    int
	batches  []int
}

type row struct {
	store.Message
	due time.Time // also the end of the lease
}

func newQueue() *queue { return &queue{rows: make(map[store.MessageID]*row)} }

// put queues n messages that live for ten minutes.
func (q *queue) put(n int, change func(*store.Message)) []store.MessageID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []store.MessageID
	for range n {
		m := store.Message{
			Client:    "client-test",
			Sealed:    []byte("+16502530000"),
			Digits:    6,
			Status:    store.MessageQueued,
			CreatedAt: time.Now(),
			ExpiresAt: time.Now().Add(10 * time.Minute),
		}
		binary.BigEndian.PutUint64(m.ID[:], uint64(len(q.rows)+1))
		if change != nil {
			change(&m)
		}
		q.rows[m.ID] = &row{Message: m}
		q.order = append(q.order, m.ID)
		ids = append(ids, m.ID)
	}
	return ids
}

func (q *queue) claim(c store.Claim) []store.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims = append(q.claims, c)
	var out []store.Message
	q.order = slices.DeleteFunc(q.order, func(id store.MessageID) bool { return q.rows[id].Status != store.MessageQueued })
	for _, id := range q.order {
		if r := q.rows[id]; len(out) < c.Limit && !r.due.After(c.Now) {
			r.due = c.Now.Add(c.Lease)
			r.Claims++
			out = append(out, r.Message)
		}
	}
	return out
}

func (q *queue) record(outcomes []store.Outcome) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = append(q.batches, len(outcomes))
	for _, o := range outcomes {
		r := q.rows[o.ID]
		if r.Status != store.MessageQueued || r.Claims != o.Claims {
			q.stale++
			continue
		}
		r.Status, r.Route, r.CarrierRef, r.Error = o.Status, o.Route, o.CarrierRef, o.Error
		r.due = o.RetryAt
		q.recorded = append(q.recorded, o)
		n++
	}
	return n
}

func (q *queue) get(id store.MessageID) store.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows[id].Message
}

// statuses counts the messages by status.
func (q *queue) statuses() map[store.MessageStatus]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make(map[store.MessageStatus]int)
	for _, r := range q.rows {
		out[r.Status]++
	}
	return out
}

// node is one process's connection to a queue; it can fail.
type node struct {
	*queue
	mu        sync.Mutex
	claimErr  error
	recordErr error
	// lateErr is returned after outcomes were recorded: an answer that got lost.
	lateErr  error
	attempts int
}

func (n *node) fail(claim, record, late error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claimErr, n.recordErr, n.lateErr = claim, record, late
}

func (n *node) errs() (claim, record, late error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.claimErr, n.recordErr, n.lateErr
}

func (n *node) ClaimMessages(_ context.Context, c store.Claim) ([]store.Message, error) {
	if err, _, _ := n.errs(); err != nil {
		return nil, err
	}
	return n.claim(c), nil
}

func (n *node) RecordOutcomes(_ context.Context, _ time.Time, outcomes []store.Outcome) (int, error) {
	n.mu.Lock()
	n.attempts++
	n.mu.Unlock()
	_, err, late := n.errs()
	if err != nil {
		return 0, err
	}
	recorded := n.record(outcomes)
	return recorded, late
}

func (n *node) QueueStats(context.Context) (store.QueueStats, error) {
	return store.QueueStats{Depth: n.statuses()[store.MessageQueued]}, nil
}

// running is a loop that runs within a synctest bubble.
type running struct {
	*delivery.Loop
	*node
	counts *counts
	stop   context.CancelFunc
	done   chan error
}

// counts gathers what the metrics were told.
type counts struct {
	mu         sync.Mutex
	outcomes   map[string]int
	leaseLost  int
	unrecorded int
	storeErrs  map[string]int
	depth      int
}

func (c *counts) metrics() delivery.Metrics {
	c.outcomes, c.storeErrs = make(map[string]int), make(map[string]int)
	locked := func(f func()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f()
	}
	return delivery.Metrics{
		Outcome: func(route string, s store.MessageStatus, reason string, _ time.Duration) {
			locked(func() { c.outcomes[fmt.Sprint(route, " ", s, " ", reason)]++ })
		},
		LeaseLost:  func(n int) { locked(func() { c.leaseLost += n }) },
		Unrecorded: func(n int) { locked(func() { c.unrecorded += n }) },
		StoreError: func(op string) { locked(func() { c.storeErrs[op]++ }) },
		Queue:      func(s store.QueueStats) { locked(func() { c.depth = s.Depth }) },
	}
}

// config returns a Config over a queue with one client whose route leads to c.
func config(q delivery.Queue, c carrier.Carrier) delivery.Config {
	settings := tenant.Defaults()
	settings.Route = c.Name()
	client := &tenant.Client{ID: "client-test", Settings: settings}
	return delivery.Config{
		Queue: q,
		Clients: func(id string) *tenant.Client {
			if id == client.ID {
				return client
			}
			return nil
		},
		Carriers: func(route string) carrier.Carrier {
			if route == c.Name() {
				return c
			}
			return nil
		},
		Open: func(m store.Message) (phone.Number, error) { return phone.Parse(string(m.Sealed)) },
		Code: func(_ *tenant.Client, m store.Message) (string, error) {
			if m.KeyVersion == 99 {
				return "", errors.New("no such key")
			}
			return "123456", nil
		},
		Workers: 8,
		Batch:   32,
	}
}

// start runs a loop until the test ends or stop is called.
func start(t *testing.T, q *queue, c *carriertest.Fake, change func(*delivery.Config)) *running {
	t.Helper()
	n := &node{queue: q}
	r := &running{node: n, counts: new(counts), done: make(chan error, 1)}
	cfg := config(n, c)
	cfg.Metrics = r.counts.metrics()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(&cfg)
	}
	loop, err := delivery.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Loop = loop
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.done <- loop.Run(ctx) }()
	return r
}

// end stops the loop and returns what Run returned.
func (r *running) end() error {
	r.stop()
	return <-r.done
}

// after lets the bubble's clock run for d.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// want compares the messages' statuses.
func want(t *testing.T, q *queue, expected map[store.MessageStatus]int) {
	t.Helper()
	if got := q.statuses(); !maps.Equal(got, expected) {
		t.Errorf("messages by status: %v, want %v", got, expected)
	}
}

// sentTimes checks that each message reached the carrier n times.
func sentTimes(t *testing.T, c *carriertest.Fake, ids []store.MessageID, n int) {
	t.Helper()
	for _, id := range ids {
		if got := c.Times(id); got != n {
			t.Errorf("message %v was sent %d times, want %d", id, got, n)
			return
		}
	}
}
