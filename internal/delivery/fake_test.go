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

	"github.com/go-json-experiment/json"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/delivery"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

var errDown = errors.New("store down")

// queue is a queue in memory, shared by nodes, that keeps the rules of the
// port: due messages, those whose receipt did not come, leases, fences,
// receipts.
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
	// due is when a queued message may be claimed, or a sent or unknown one whose
	// receipt has not come; zero in every other case.
	due        time.Time
	leased     bool
	dispatches []store.Dispatch
}

func newQueue() *queue { return &queue{rows: make(map[store.MessageID]*row)} }

// put queues n messages that live for ten minutes.
func (q *queue) put(n int, change func(*store.Message)) []store.MessageID {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []store.MessageID
	for range n {
		m := store.Message{
			Client:    "client-live",
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
		q.rows[m.ID] = &row{Message: m, due: m.CreatedAt}
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
	// Queued ones first, then those of which nothing was heard.
	q.order = slices.DeleteFunc(q.order, func(id store.MessageID) bool { return q.rows[id].due.IsZero() })
	for _, queued := range []bool{true, false} {
		for _, id := range q.order {
			r := q.rows[id]
			if len(out) == c.Limit || r.due.IsZero() || r.due.After(c.Now) || (r.Status == store.MessageQueued) != queued {
				continue
			}
			r.due, r.leased = c.Now.Add(c.Lease), true
			r.Claims++
			m := r.Message
			for _, d := range r.dispatches {
				m.Tried = append(m.Tried, d.Route)
				if d.Status != store.MessageQueued && d.Status != store.MessageFailed {
					m.Taken = append(m.Taken, d.Route)
				}
			}
			out = append(out, m)
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
		if !r.leased || r.Claims != o.Claims {
			q.stale++
			continue
		}
		r.leased = false
		r.dispatches = append(r.dispatches, o.Dispatches...)
		r.OptedOut = r.OptedOut || o.OptOut
		if o.Route != "" {
			r.Route, r.CarrierRef = o.Route, o.CarrierRef
		}
		q.recorded = append(q.recorded, o)
		n++
		if r.Status == store.MessageDelivered { // a receipt was faster
			continue
		}
		r.Status, r.Error = o.Status, o.Error
		q.schedule(r, o.RetryAt)
	}
	return n
}

// schedule makes a row due at a time; zero: never.
func (q *queue) schedule(r *row, at time.Time) {
	if r.due = at; !at.IsZero() && !slices.Contains(q.order, r.ID) {
		q.order = append(q.order, r.ID)
	}
}

// receive applies a receipt that a message was delivered.
func (q *queue) receive(id store.MessageID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rows[id]
	r.Status, r.Error = store.MessageDelivered, ""
	if !r.leased {
		r.due = time.Time{}
	}
}

// lose applies a receipt that a message failed in a way in which another route
// may do better.
func (q *queue) lose(id store.MessageID, reason string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rows[id]
	r.Status, r.Error = store.MessageQueued, reason
	q.schedule(r, time.Now())
}

// dispatched returns the dispatches of a message.
func (q *queue) dispatched(id store.MessageID) []store.Dispatch {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.rows[id].dispatches)
}

func (q *queue) get(id store.MessageID) store.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows[id].Message
}

func (q *queue) stats() (out store.QueueStats) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.rows {
		if r.Status != store.MessageQueued {
			continue
		}
		out.Depth++
		if out.Oldest.IsZero() || r.CreatedAt.Before(out.Oldest) {
			out.Oldest = r.CreatedAt
		}
		if r.Error == "" && (out.Waiting.IsZero() || r.CreatedAt.Before(out.Waiting)) {
			out.Waiting = r.CreatedAt
		}
	}
	return out
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
	return n.stats(), nil
}

// running is a loop that runs within a synctest bubble.
type running struct {
	*delivery.Loop
	*node
	router *routing.Router
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

// client returns a client with default settings; a live one takes those routes.
func client(tb testing.TB, id string, live bool, routes ...string) *tenant.Client {
	tb.Helper()
	settings := tenant.Defaults()
	settings.Routes = routes
	raw, err := json.Marshal(settings)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := tenant.Parse(store.Client{ID: id, Live: live, Settings: raw})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// config returns a Config over a queue with client-test, whose messages the
// carrier shows gets, and client-live, which takes the routes.
func config(tb testing.TB, q delivery.Queue, shows carrier.Carrier, routes ...routing.Route) delivery.Config {
	tb.Helper()
	router, err := routing.New(routing.Config{Inbox: shows, Routes: routes, Log: slog.New(slog.NewTextHandler(tb.Output(), nil))})
	if err != nil {
		tb.Fatal(err)
	}
	// Named, so that a message waits for a route that is not there (yet).
	names := []string{"fake"}
	for _, r := range routes {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	clients := map[string]*tenant.Client{
		"client-test": client(tb, "client-test", false),
		"client-live": client(tb, "client-live", true, slices.Compact(names)...),
	}
	return delivery.Config{
		Queue:   q,
		Clients: func(id string) *tenant.Client { return clients[id] },
		Router:  router,
		Open:    func(m store.Message) (phone.Number, error) { return phone.Parse(string(m.Sealed)) },
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

// start runs a loop with one route until the test ends or stop is called.
func start(t *testing.T, q *queue, c *carriertest.Fake, change func(*delivery.Config)) *running {
	t.Helper()
	return startRoutes(t, q, []routing.Route{{Name: c.Name(), Carrier: c}}, change)
}

// startRoutes runs a loop with those routes.
func startRoutes(t *testing.T, q *queue, routes []routing.Route, change func(*delivery.Config)) *running {
	t.Helper()
	n := &node{queue: q}
	r := &running{node: n, counts: new(counts), done: make(chan error, 1)}
	cfg := config(t, n, routes[0].Carrier, routes...)
	cfg.Metrics = r.counts.metrics()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(&cfg)
	}
	loop, err := delivery.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Loop, r.router = loop, cfg.Router
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
