package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"codeword/internal/audit"
	"codeword/internal/delivery"
	"codeword/internal/inbound"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/refusal"
	"codeword/internal/routing"
	"codeword/internal/screening"
	"codeword/internal/server"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/tracing"
)

// nodeConfig is everything that a node is made of, already validated.
type nodeConfig struct {
	Storage    storage
	Ring       *keyring.Ring
	Public     net.Listener
	Admin      net.Listener
	PublicURL  string
	AdminToken string
	TLSCert    string
	TLSKey     string
	Flags      serverFlags
	// Routes are what the carriers file says, checked; none without a file.
	Routes []routeSettings
	// Online is who else the carriers file lets a send ask.
	Online onlineSettings
	// Demo switches the demo page on; nil for none.
	Demo *server.Demo
	// ProofEndpoints are, in tests, where captchas' tokens are verified; see botproof.
	ProofEndpoints map[string]string
	// Out takes what the carrier "log" writes.
	Out io.Writer
	// Tracing is what the environment says of traces; its zero value traces nothing.
	Tracing tracing.Settings
	Now     func() time.Time
	Log     *slog.Logger
}

// node is one running server.
type node struct {
	cfg      nodeConfig
	log      *slog.Logger
	store    engine
	audit    *audit.Trail
	clients  *tenant.Registry
	sessions *session.Manager
	lines    *linePlan
	otp      *otp.Service
	online   *online
	carriers *carriers
	router   *routing.Router
	intake   *inbound.Intake
	proofs   *inbound.Proofs
	refusals *refusal.Log
	screen   *screening.Screen
	hooks    *webhooks
	delivery *delivery.Loop
	// waking is delivery for those who may have a message for it before it is there.
	waking  atomic.Pointer[delivery.Loop]
	metrics *prometheus.Registry
	public  *server.Listener
	handler *server.Server
	certs   *server.Certificates
	admin   *http.Server
	// tracer is nil while nothing is traced.
	tracer *tracing.Tracer
	unlock func()
}

// newNode opens the store and wires the parts together. Nothing runs yet. It
// owns the listeners from here on.
func newNode(ctx context.Context, cfg nodeConfig) (*node, error) {
	unlock, err := cfg.Storage.lock()
	if err != nil {
		return nil, errors.Join(err, cfg.Public.Close(), cfg.Admin.Close())
	}
	n := &node{cfg: cfg, log: cfg.Log, unlock: unlock, metrics: prometheus.NewRegistry()}
	n.store, err = openEngine(ctx, cfg.Storage, n.wake, storeDurations(n.metrics, cfg.Storage))
	if err != nil {
		unlock()
		return nil, errors.Join(err, cfg.Public.Close(), cfg.Admin.Close())
	}
	if err := n.wire(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) wire(ctx context.Context) (err error) {
	if err := copied(ctx, n.store); err != nil {
		return err
	}
	if err := n.wireTracing(ctx); err != nil {
		return err
	}
	n.keepPartitions(ctx) // before the first message
	n.audit = &audit.Trail{Store: n.store, Now: n.cfg.Now, Made: func(ctx context.Context, e *store.Event) { n.hooks.emitter.Changed(ctx, e) }}
	n.clients = tenant.NewRegistry(tenant.Config{
		Store: n.store, Keys: n.cfg.Ring, Now: n.cfg.Now, Log: n.log, Audit: n.audit,
	})
	if err := errors.Join(n.clients.Load(ctx), belongs(ctx, n.store, n.cfg.Ring)); err != nil {
		return err
	}
	n.sessions, err = session.New(session.Config{
		Store: n.store, KeyStore: n.store, Keys: n.cfg.Ring,
		Issuer:      n.cfg.PublicURL,
		Algorithm:   n.cfg.Flags.SigningAlgorithm,
		KeyLifetime: n.cfg.Flags.SigningKeyLife,
		PhoneID:     func(c *tenant.Client, id store.PhoneID) string { return n.otp.PhoneID(c, id) },
		Now:         n.cfg.Now, Log: n.log, Audit: n.audit,
	})
	if err != nil {
		return err
	}
	if err := n.sessions.Load(ctx); err != nil {
		return err
	}
	if n.hooks, err = newWebhooks(ctx, n); err != nil {
		return err
	}
	n.lines = newLinePlan(n.store, n.cfg.Ring, n.log)
	if err := n.lines.load(ctx); err != nil {
		return err
	}
	return n.wireOtp(ctx)
}

// wireOtp makes the two calls and all that is around them.
func (n *node) wireOtp(ctx context.Context) (err error) {
	if n.online, err = newOnline(n); err != nil {
		return err
	}
	if err := n.wireRouting(); err != nil {
		return err
	}
	if err := n.wireScreening(ctx); err != nil {
		return err
	}
	if n.refusals, err = newRefusals(n); err != nil {
		return err
	}
	n.otp = otp.New(n.traced(otp.Config{
		Store: n.store, Keys: n.cfg.Ring, Sessions: n.sessions, Lines: n.online.lines, Prove: n.online.prove,
		Now: n.cfg.Now, Queued: n.wake, Admit: n.admit,
		Screen:   n.screen,
		Verified: func(_ string, p store.PhoneID) { n.proofs.Add(p) },
		Refused:  n.refused,
		Events:   n.hooks.emitter.Challenge, Told: n.hooks.loop.Wake,
	}))
	if n.cfg.Flags.Delivery == "on" {
		if err := n.wireDelivery(ctx); err != nil {
			return err
		}
	}
	storeMetrics(n.metrics, n.store)
	if err := n.wirePublic(); err != nil {
		return err
	}
	upkeepMetrics(n)
	return n.wireAdmin()
}

// loops are the goroutines of a running node.
type loops struct {
	wg     sync.WaitGroup
	failed chan error
}

// start runs f until ctx ends. A failure of one ends the node.
func (l *loops) start(ctx context.Context, what string, f func(context.Context) error) {
	l.wg.Go(func() {
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			l.failed <- fmt.Errorf("%s: %w", what, err)
		}
	})
}

// run serves until ctx ends, or until a part fails, and then drains.
func (n *node) run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	delivering, stopDelivering := context.WithCancel(background)
	defer stopDelivering()
	l := &loops{failed: make(chan error, 8)}
	l.start(background, "heap", boundHeap)
	l.start(background, "clients", n.clients.Run)
	l.start(background, "sessions", n.sessions.Run)
	l.start(background, "line types", n.lines.run)
	l.start(background, "upkeep", n.upkeep)
	l.start(background, "store", n.watchStore)
	l.start(background, "other nodes", n.watchNodes)
	l.start(background, "proofs", n.proofs.Run)
	l.start(background, "refusals", n.refusals.Run)
	l.start(background, "screening", n.screen.Run)
	l.start(background, "inbound", n.intake.Run)
	l.start(background, "events", n.hooks.emitter.Run)
	l.start(background, "webhooks", n.hooks.loop.Run)
	l.start(background, "carriers", n.carriers.run)
	delivered := make(chan struct{})
	l.start(delivering, "delivery", func(ctx context.Context) error {
		defer close(delivered)
		if n.delivery == nil {
			return nil
		}
		return n.delivery.Run(ctx)
	})
	l.start(background, "public listener", func(context.Context) error { return n.public.Serve(n.cfg.Public) })
	l.start(background, "admin listener", func(context.Context) error {
		return served(n.admin.Serve(netutil.LimitListener(n.cfg.Admin, maxAdminConnections)))
	})
	n.log.InfoContext(ctx, "serving", "url", n.cfg.PublicURL, "listen", n.cfg.Public.Addr().String(),
		"admin", n.cfg.Admin.Addr().String(), "version", version(), "host", hostname())

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-l.failed:
		n.log.Error("stopping: a part of the server failed", "error", cause)
	}
	stopDelivering()
	err := errors.Join(cause, n.drain(context.WithoutCancel(ctx)))
	<-delivered // its sends need the carriers, which end with the background
	stop()
	l.wg.Wait()
	err = errors.Join(err, n.close())
	n.log.Info("stopped")
	return err
}

// adminGrace is how long the admin listener's requests may take to finish; a
// profile that runs for a minute must not hold up the rest.
const adminGrace = time.Second

// drain lets readiness fall, waits for load balancers to notice, and then for
// the requests in flight, at most for the drain timeout in all. The delivery
// loop finishes what it has claimed in the same time.
func (n *node) drain(ctx context.Context) error {
	n.log.Info("draining")
	n.handler.Drain()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Flags.DrainTimeout)
	defer cancel()
	if n.cfg.Flags.DrainDelay > 0 {
		delay := time.NewTimer(n.cfg.Flags.DrainDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-ctx.Done():
		}
	}
	err := n.public.Shutdown(ctx)
	grace, cancelGrace := context.WithTimeout(ctx, adminGrace)
	defer cancelGrace()
	if n.admin.Shutdown(grace) != nil {
		err = errors.Join(err, n.admin.Close())
	}
	return err
}

// watchStore ends the node when the disk lost a write: only a fresh process
// can know again what is on it.
func (n *node) watchStore(ctx context.Context) error {
	file, ok := capability[singular](n.store)
	if !ok {
		return nil // the engine's own server sees to its disk
	}
	select {
	case <-file.Lost():
		return errors.New("a write could not be made durable")
	case <-ctx.Done():
		return nil
	}
}

// watchNodes wakes the delivery loop when another node queued a message.
func (n *node) watchNodes(ctx context.Context) error {
	if w, ok := capability[watcher](n.store); ok {
		return w.Watch(ctx, n.wake)
	}
	return nil
}

// served turns the way in which net/http says "as you asked" into nil.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// close frees what newNode took; closing a listener twice is harmless.
func (n *node) close() error {
	n.endTracing()
	err := n.store.Close()
	n.unlock()
	_ = n.cfg.Public.Close()
	_ = n.cfg.Admin.Close()
	return err
}
