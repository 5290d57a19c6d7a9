// Package delivery brings queued messages to carriers: it claims them under a
// lease, sends them, and records what became of them. No transaction is open
// while a carrier is called.
//
// Its promises: a message that was accepted is sent until a carrier took or
// rejected it, its code died, or it was claimed too often; never after its code
// has died, or was used before the message was claimed. It goes to another route
// at once when a carrier said that it had not taken it, and after a time that the
// operator chose when nothing was heard of it: no receipt, or no answer at all.
// Otherwise it is sent twice only if a lease was lost with a send behind it (a
// crash, or a store that was down until the lease had passed). It is never handed
// twice to a route that may have it.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Queue is the store's side of delivery.
type Queue interface {
	// ClaimMessages takes messages as store.Claim says: due, and not under
	// another claim's lease.
	ClaimMessages(ctx context.Context, c store.Claim) ([]store.Message, error)
	// RecordOutcomes records all outcomes whose claim still holds, atomically,
	// and tells how many those were. After an error it may be repeated.
	RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (recorded int, err error)
	// QueueStats tells how the queue stands.
	QueueStats(ctx context.Context) (store.QueueStats, error)
}

// Config is what a Loop needs. Queue, Clients, Router, Open and Code are
// required; of the rest the zero value means the default.
type Config struct {
	Queue Queue
	// Clients returns a client by id; nil if there is none (yet). Like all
	// functions here it is called concurrently.
	Clients func(id string) *tenant.Client
	// Router decides where messages go.
	Router *routing.Router
	// Open decrypts the number of a message whose Sealed is not empty.
	Open func(store.Message) (phone.Number, error)
	// Done is told what became of a message under a claim, before it is recorded; nil
	// when nobody wants to know. It must not block.
	Done func(*store.Message, *store.Outcome)
	// Tracer follows messages; nil follows none.
	Tracer Tracer
	// Code derives the code of a message.
	Code func(*tenant.Client, store.Message) (string, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time

	// Workers is how many sends run at once; up to twice as many while a carrier
	// does not answer. Default 256.
	Workers int
	// Batch is how many messages are claimed, and outcomes recorded, at once at
	// most. Default 256.
	Batch int
	// Gather is how long the loop waits for more to come before it claims or
	// records less than a batch. Default 5 ms.
	Gather time.Duration
	// Poll is how often the loop looks into the queue unasked: for retries that
	// have come due, orphans of a crash, and other nodes' messages. Default 1 s.
	Poll time.Duration
	// SendTimeout is how long one send may take. Default 10 s.
	SendTimeout time.Duration
	// Lease is how long a claim holds; at least twice SendTimeout. Default 30 s.
	Lease time.Duration
	// MaxClaims is how often a message is claimed at most. The life of its code
	// ends most messages long before; this ends those in the inbox, which have no
	// such end. Default 100.
	MaxClaims int
	// Backoff is how long a message that was claimed that often waits for its
	// next try. Default Exponential(1 s, 15 s).
	Backoff func(claims int) time.Duration
	// DrainTimeout is how long Run goes on after its context has ended.
	// Default 20 s.
	DrainTimeout time.Duration

	// Log gets what an operator should know. Default: discarded.
	Log     *slog.Logger
	Metrics Metrics
}

// Tracer follows messages on their way. What it returns is called once, or never where
// nothing came of a claim. It must not block.
type Tracer interface {
	// Message begins with a claimed message, and ends with its outcome.
	Message(ctx context.Context, m *store.Message) (context.Context, func(*store.Outcome))
	// Call begins with a carrier's call within a message, and ends with its failure, or
	// nil.
	Call(ctx context.Context, route string) (context.Context, func(*carrier.Error))
}

// Metrics are called as things happen, concurrently; each may be nil.
type Metrics struct {
	// Outcome: a message left a worker with that status and reason, age after
	// it was accepted. store.MessageQueued means that it will be tried again.
	Outcome func(route string, status store.MessageStatus, reason string, age time.Duration)
	// Begun: a worker took a message for the first time, age after it was accepted.
	Begun func(age time.Duration)
	// Answered: the carrier of a route took, refused or lost a message in that time.
	Answered func(route string, took time.Duration)
	// LeaseLost: n outcomes came too late; another claim has the message now.
	LeaseLost func(n int)
	// Unrecorded: n outcomes were given up since the store was down for a whole
	// lease. Those messages will be sent again.
	Unrecorded func(n int)
	// StoreError: an operation ("claim", "record", "stats") failed.
	StoreError func(op string)
	// Queue tells every second or so how the queue stands.
	Queue func(store.QueueStats)
}

// job is a claimed message and the end of its lease.
type job struct {
	m     *store.Message
	until time.Time
}

// Loop is the delivery loop of one process. Any number of loops may share a
// queue.
type Loop struct {
	cfg Config

	wake  chan struct{} // a send was committed
	freed chan struct{} // there may be room for another claim
	// jobs never blocks its sender: it holds as many as may be in flight.
	jobs chan job
	// inFlight counts messages that were claimed and not yet recorded; it bounds
	// the memory that the loop holds.
	inFlight atomic.Int64
	capacity int64
	pace     pace
	record   recorder
	watch    watch
	// lag is the age of QueueStats.Waiting when the queue was last looked at.
	lag   atomic.Int64
	turns turns
	// lastTurn is when the last of the messages that were sent away to wait for
	// their turn comes back, in Unix nanoseconds.
	lastTurn atomic.Int64
	// sends is the context of all sends; it ends when a drain becomes urgent.
	sends context.Context
}

// New returns a Loop, or an error that names every wrong field.
func New(cfg Config) (*Loop, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Loop{
		cfg:      cfg,
		wake:     make(chan struct{}, 1),
		freed:    make(chan struct{}, 1),
		capacity: int64(cfg.Workers + 4*cfg.Batch),
		pace:     newPace(cfg.Workers, cfg.Batch),
	}
	l.jobs = make(chan job, l.capacity)
	l.record = newRecorder(l)
	return l, nil
}

func (c *Config) setDefaults() {
	if c.Done == nil {
		c.Done = func(*store.Message, *store.Outcome) {}
	}
	orDefault(&c.Workers, 256)
	orDefault(&c.Batch, 256)
	orDefault(&c.Gather, 5*time.Millisecond)
	orDefault(&c.Poll, time.Second)
	orDefault(&c.SendTimeout, 10*time.Second)
	orDefault(&c.Lease, 30*time.Second)
	orDefault(&c.MaxClaims, 100)
	orDefault(&c.DrainTimeout, 20*time.Second)
	if c.Backoff == nil {
		c.Backoff = Exponential(time.Second, 15*time.Second)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := &c.Metrics
	if m.Outcome == nil {
		m.Outcome = func(string, store.MessageStatus, string, time.Duration) {}
	}
	if m.Begun == nil {
		m.Begun = func(time.Duration) {}
	}
	if m.Answered == nil {
		m.Answered = func(string, time.Duration) {}
	}
	if m.LeaseLost == nil {
		m.LeaseLost = func(int) {}
	}
	if m.Unrecorded == nil {
		m.Unrecorded = func(int) {}
	}
	if m.StoreError == nil {
		m.StoreError = func(string) {}
	}
	if m.Queue == nil {
		m.Queue = func(store.QueueStats) {}
	}
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New("delivery: "+text))
		}
	}
	check(c.Queue != nil && c.Clients != nil && c.Router != nil && c.Open != nil && c.Code != nil,
		"Queue, Clients, Router, Open and Code are required")
	check(c.Workers > 0, "Workers: not positive")
	check(c.Batch > 0, "Batch: not positive")
	check(c.Gather > 0 && c.Poll > 0 && c.DrainTimeout > 0, "Gather, Poll, DrainTimeout: not positive")
	check(c.SendTimeout > 0, "SendTimeout: not positive")
	check(c.Lease >= 2*c.SendTimeout, "Lease: shorter than twice SendTimeout")
	check(c.Lease >= c.SendTimeout+2*routing.MaxTurn, "Lease: leaves no time to wait for a turn")
	check(c.MaxClaims > 0, "MaxClaims: not positive")
	return errors.Join(errs...)
}

// Wake tells the loop that messages were queued. It never blocks and costs a
// few nanoseconds, so that every send may call it after its commit.
func (l *Loop) Wake() {
	signal(l.wake)
}

// signal leaves a token in a channel of size one, unless one is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends. Then it claims no more, finishes what it has
// claimed, and returns nil. After three quarters of DrainTimeout it interrupts
// the sends that still run and gives back what was not begun; after the whole
// of it, it returns an error that tells how many messages it left to
// the end of their leases. Run may be called once.
func (l *Loop) Run(ctx context.Context) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	sends, interrupt := context.WithCancel(base)
	defer interrupt()
	l.sends = sends

	var service sync.WaitGroup
	service.Go(func() { l.record.run(base) })
	service.Go(func() { l.watchSends(base) })
	service.Go(func() { l.observe(base) })
	for range l.cfg.Workers {
		go l.work(l.watch.add())
	}
	l.claim(ctx, base)
	close(l.jobs)
	err := l.drain(interrupt)
	stop()
	service.Wait()
	return err
}

// drain waits until nothing is in flight any more.
func (l *Loop) drain(interrupt func()) error {
	urgent := time.NewTimer(l.cfg.DrainTimeout / 4 * 3)
	defer urgent.Stop()
	over := time.NewTimer(l.cfg.DrainTimeout)
	defer over.Stop()
	for l.inFlight.Load() > 0 {
		select {
		case <-l.freed:
		case <-urgent.C:
			interrupt()
		case <-over.C:
			return fmt.Errorf("delivery: %d messages were not finished in time and are left to their leases", l.inFlight.Load())
		}
	}
	return nil
}

// statsEvery is how often the queue is looked at as a whole; less often where it
// is so long that this would take more than one part in statsShare of the time.
const (
	statsEvery = time.Second
	statsShare = 20
)

func (l *Loop) observe(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		begun := time.Now()
		stats, err := l.cfg.Queue.QueueStats(ctx)
		switch {
		case err == nil:
			var lag time.Duration
			if !stats.Waiting.IsZero() {
				lag = l.cfg.Now().Sub(stats.Waiting)
			}
			l.lag.Store(int64(lag))
			l.cfg.Metrics.Queue(stats)
		case ctx.Err() == nil:
			l.cfg.Metrics.StoreError("stats")
		}
		sleep(ctx, timer, max(statsEvery, statsShare*time.Since(begun)))
		if ctx.Err() != nil {
			return
		}
	}
}
