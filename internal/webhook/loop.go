package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"codeword/internal/audit"
	"codeword/internal/fault"
	"codeword/internal/store"
)

// Queue is the store's side of delivery.
type Queue interface {
	// QueueWebhooks is durable when it returns, and may be repeated.
	QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error
	ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error)
	RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error
	ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (store.WebhookReplayed, error)
	Webhooks(ctx context.Context, in store.WebhookQuery) ([]store.WebhookDelivery, error)
	// TookSince reports whether an endpoint took anything then or later.
	TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (bool, error)
	// EraseWebhooks removes webhooks with their deliveries; those that are not there count
	// as removed.
	EraseWebhooks(ctx context.Context, events []store.EventID) error
}

const (
	// GiveUpAfter is how long a delivery is tried. An endpoint that took nothing for so
	// long is disabled.
	GiveUpAfter = 24 * time.Hour
	// leastAttempts is how often it is tried in any case, over an hour and a half: the
	// process may have been down for that day, or the clock set forward.
	leastAttempts = 8
	// requestTimeout is how long an endpoint may take to answer, claimLease how long
	// nobody else takes what is claimed.
	requestTimeout = 10 * time.Second
	claimLease     = 30 * time.Second
	// maxWindow is how many deliveries to one endpoint run at once; it begins with
	// startWindow and grows with each success, so that those who never answer hold up
	// few.
	maxWindow, startWindow = 16, 2
	// maxFlights bounds the deliveries of this process that run at once. Endpoints that
	// fail, or are slow, may have half of them.
	maxFlights = 1024
	pollEvery  = time.Second
	// gather is how long outcomes wait for each other.
	gather       = 5 * time.Millisecond
	maxRecord    = 256
	storeTimeout = 10 * time.Second
	// drainTimeout is how long deliveries may go on, and events wait to be queued, when
	// the process ends.
	drainTimeout = 5 * time.Second
)

// Config is what a Loop needs. Registry, Queue, Keys and Now are required.
type Config struct {
	Registry *Registry
	Queue    Queue
	Keys     Keys
	Now      func() time.Time
	// Allow are networks that webhooks may go to although they are not public.
	Allow []netip.Prefix
	// Resolver resolves hosts. Default: the system's.
	Resolver Resolver
	// Transport is what requests go through; for tests. Default: one that dials public
	// addresses alone, asks no proxy, and verifies certificates.
	Transport http.RoundTripper
	// Trace follows an attempt to its outcome; nil follows none.
	Trace   func(context.Context, *store.WebhookDelivery) (context.Context, func(*store.WebhookOutcome))
	Log     *slog.Logger
	Metrics Metrics
}

// Metrics are called as things happen, concurrently; each may be nil.
type Metrics struct {
	// Attempt: a delivery was tried; outcome is "delivered", "retry" or "failed".
	Attempt func(outcome string, took time.Duration)
	// Disabled: an endpoint was disabled for that reason.
	Disabled func(reason string)
	// StoreError: an operation ("claim", "record", "endpoints") failed.
	StoreError func(op string)
}

// Loop delivers. Any number of them may share a queue.
type Loop struct {
	cfg    Config
	client *http.Client
	wake   chan struct{}
	// out are outcomes that are to be recorded.
	out chan result

	mu      sync.Mutex
	peers   map[store.EndpointID]*peer
	flights int
	failing int // flights to endpoints that fail
}

// result is an outcome and whose room it gives back.
type result struct {
	outcome store.WebhookOutcome
	peer    *peer
	failing bool
}

// New returns a Loop, or an error that names what is missing.
func New(cfg Config) (*Loop, error) {
	if cfg.Registry == nil || cfg.Queue == nil || cfg.Keys == nil || cfg.Now == nil {
		return nil, errors.New("webhook: Registry, Queue, Keys and Now are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &cfg.Metrics
	if m.Attempt == nil {
		m.Attempt = func(string, time.Duration) {}
	}
	if m.Disabled == nil {
		m.Disabled = func(string) {}
	}
	if m.StoreError == nil {
		m.StoreError = func(string) {}
	}
	if cfg.Transport == nil {
		cfg.Transport = transport(newDialer(cfg.Resolver, cfg.Allow))
	}
	return &Loop{
		cfg: cfg, wake: make(chan struct{}, 1), out: make(chan result, maxFlights), peers: make(map[store.EndpointID]*peer),
		client: &http.Client{
			Transport: cfg.Transport, Timeout: requestTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Wake tells that something was queued. It never blocks.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx ends, and then waits a little for what is under way. What is
// left is tried again, by anybody, when its lease has passed.
func (l *Loop) Run(ctx context.Context) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	noting, stopNoting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNoting()
	var recording sync.WaitGroup
	recording.Go(func() { l.record(noting) })
	var flying sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	var loaded time.Time
	for ctx.Err() == nil {
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
			continue
		}
		if now := l.cfg.Now(); now.Sub(loaded) >= pollEvery || now.Before(loaded) {
			if err := l.load(ctx); err == nil {
				loaded = now
			}
		}
		l.round(ctx, base, &flying)
		timer.Reset(pollEvery)
	}
	landed := make(chan struct{})
	go func() { flying.Wait(); close(landed) }()
	late := time.NewTimer(drainTimeout)
	defer late.Stop()
	select {
	case <-landed:
	case <-late.C:
		stop() // ends the requests; their outcomes are not recorded
		<-landed
	}
	close(l.out)
	defer time.AfterFunc(drainTimeout, stopNoting).Stop()
	recording.Wait()
	return nil
}

func (l *Loop) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := l.cfg.Registry.Load(ctx)
	if err != nil && ctx.Err() == nil {
		l.cfg.Metrics.StoreError("endpoints")
		l.cfg.Log.WarnContext(ctx, "webhooks: endpoints cannot be read", "error", err)
	}
	return err
}

// round claims what is due, as far as there is room, and lets it fly.
func (l *Loop) round(ctx, base context.Context, flying *sync.WaitGroup) {
	rooms, endpoints := l.rooms()
	for len(rooms) > 0 && ctx.Err() == nil {
		// Most rooms stay empty, so that the sum of them says little; what is claimed
		// never exceeds it.
		free, n, sum := l.free(), 0, 0
		for n < len(rooms) && sum+rooms[n].Limit <= free {
			sum += rooms[n].Limit
			n++
		}
		if n == 0 {
			return // until something lands
		}
		claim, cancel := context.WithTimeout(ctx, storeTimeout)
		claimed, err := l.cfg.Queue.ClaimWebhooks(claim, store.WebhookClaim{Now: l.cfg.Now(), Lease: claimLease, Rooms: rooms[:n]})
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				l.cfg.Metrics.StoreError("claim")
				l.cfg.Log.WarnContext(ctx, "webhooks cannot be claimed", "error", err)
			}
			return
		}
		rooms = rooms[n:]
		begun := time.Now()
		for i := range claimed {
			d := &claimed[i]
			e := endpoints[d.Endpoint]
			p, failing := l.takeOff(d.Endpoint)
			flying.Go(func() {
				o := l.deliver(base, e, d)
				l.landed(p, &o, begun)
				l.out <- result{o, p, failing}
			})
		}
	}
}

// record stores outcomes, in batches, until out is closed.
func (l *Loop) record(ctx context.Context) {
	for first := range l.out {
		batch := []result{first}
		timer := time.NewTimer(gather)
	gathering:
		for len(batch) < maxRecord {
			select {
			case r, ok := <-l.out:
				if !ok {
					break gathering
				}
				batch = append(batch, r)
			case <-timer.C:
				break gathering
			}
		}
		timer.Stop()
		l.write(ctx, batch)
		l.freed(batch)
		l.Wake()
	}
}

// write records a batch, again and again until the lease is over: then others try, and
// receivers tell by the id.
func (l *Loop) write(ctx context.Context, batch []result) {
	outcomes := make([]store.WebhookOutcome, 0, len(batch))
	for i := range batch {
		if batch[i].outcome.State != 0 { // it was given up with the process
			outcomes = append(outcomes, batch[i].outcome)
		}
	}
	for begun := time.Now(); len(outcomes) > 0; {
		try, cancel := context.WithTimeout(ctx, storeTimeout)
		err := l.cfg.Queue.RecordWebhooks(try, l.cfg.Now(), outcomes)
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
		l.cfg.Metrics.StoreError("record")
		l.cfg.Log.WarnContext(ctx, "webhooks: outcomes cannot be recorded", "count", len(outcomes), "error", err)
		if time.Since(begun) > claimLease {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	for i := range batch {
		l.judge(ctx, &batch[i].outcome)
	}
}

// judge disables an endpoint that has gone, or that took nothing for a day.
func (l *Loop) judge(ctx context.Context, o *store.WebhookOutcome) {
	var reason string
	switch {
	case o.State != store.DeliveryFailed:
		return
	case o.Status == http.StatusGone:
		reason = ReasonGone
	default:
		took, err := l.cfg.Queue.TookSince(ctx, o.Endpoint, l.cfg.Now().Add(-GiveUpAfter))
		if err != nil || took {
			return
		}
		reason = ReasonFailing
	}
	e, err := l.cfg.Registry.Find(ctx, o.Endpoint)
	if err != nil || !e.Enabled() {
		return
	}
	_, err = l.cfg.Registry.Seen(e.Revision).Disable(ctx, audit.Service, o.Endpoint, reason)
	if fault.Is(err, fault.Conflict) {
		return // another node was faster, or somebody has mended it: what fails next tells
	}
	if err != nil {
		l.cfg.Log.ErrorContext(ctx, "a webhook endpoint was not disabled", "endpoint", o.Endpoint.String(), "error", err)
		return
	}
	l.cfg.Metrics.Disabled(reason)
	l.cfg.Log.WarnContext(ctx, "a webhook endpoint was disabled", "endpoint", o.Endpoint.String(), "client", e.Client, "host", host(e.URL), "reason", reason)
}
