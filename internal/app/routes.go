package app

import (
	"context"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/inbox"
	"codeword/internal/delivery"
	"codeword/internal/fault"
	"codeword/internal/inbound"
	"codeword/internal/phone"
	"codeword/internal/routing"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// wireRouting makes the carriers, what takes their reports, the router over
// them, and what tells it of codes that were used.
func (n *node) wireRouting() (err error) {
	n.carriers = newCarriers(carrierConfig{
		Sink: func(route string) carrier.Sink { return n.intake.Sink(route) },
		Out:  n.cfg.Out, Now: n.cfg.Now, Log: n.log,
	})
	n.intake, err = inbound.New(inbound.Config{
		Receipts: n.hooks.emitter.Receipts(n.store),
		Clients:  n.clients.All,
		Mark: func(ctx context.Context, c *tenant.Client, number phone.Number, mark store.Mark) error {
			return n.otp.MarkKnown(ctx, c, number, mark)
		},
		Replier:   n.carriers.replier,
		Wake:      n.wake,
		Delivered: func(p store.PhoneID) { n.screen.Delivered(p) },
		Metrics:   inboundMetrics(n.metrics),
		Now:       n.cfg.Now, Log: n.log,
	})
	if err != nil {
		return err
	}
	next, routes, err := n.carriers.prepare(n.cfg.Routes)
	if err != nil {
		return asUsage(err)
	}
	n.router, err = routing.New(routing.Config{
		Inbox: inbox.Carrier{}, Routes: routes, Now: n.cfg.Now, Log: n.log, Metrics: routingMetrics(n.metrics),
	})
	if err != nil {
		return err
	}
	n.metrics.MustRegister(routeCollector{n.router})
	n.proofs, err = inbound.NewProofs(inbound.ProofsConfig{
		Store: n.store, Verified: verifiedMetrics(n.metrics, n.cfg.Now, n.router.Verified), Now: n.cfg.Now, Log: n.log,
	})
	if err != nil {
		return err
	}
	return n.carriers.commit(next, func() error { return nil })
}

func (n *node) wireDelivery(ctx context.Context) (err error) {
	if err := n.endLeases(ctx); err != nil {
		return err
	}
	cfg := delivery.Config{
		Queue:   n.hooks.emitter.Outcomes(n.store),
		Clients: n.clients.Client,
		Router:  n.router,
		Open:    n.otp.Number,
		Code:    n.messageCode,
		Done: func(m *store.Message, o *store.Outcome) {
			n.screen.Recorded(m, o)
			n.hooks.emitter.Outcome(m, o)
		},
		Now:          n.cfg.Now,
		Workers:      n.cfg.Flags.DeliveryWorkers,
		DrainTimeout: n.cfg.Flags.DrainTimeout,
		Log:          n.log,
		Metrics:      deliveryMetrics(n.metrics),
	}
	if n.tracer != nil {
		cfg.Tracer = n.tracer
	}
	n.delivery, err = delivery.New(cfg)
	n.waking.Store(n.delivery)
	return err
}

// endLeases makes the messages due again that a server had claimed when it died, if
// the lock on the database says that no other server is there. Where others may be,
// the leases tell.
func (n *node) endLeases(ctx context.Context) error {
	file, ok := capability[singular](n.store)
	if !ok {
		return nil
	}
	ended, err := file.EndLeases(ctx, n.cfg.Now())
	if err == nil && ended > 0 {
		n.log.Info("a server ended while it was sending: its messages are sent again", "count", ended)
	}
	return err
}

// messageCode derives the code that goes into a message's text.
func (n *node) messageCode(c *tenant.Client, m store.Message) (string, error) {
	code, err := n.otp.MessageCode(c, m)
	return code.Reveal(), err
}

// wake tells the delivery loop that a message was queued.
func (n *node) wake() {
	if l := n.waking.Load(); l != nil {
		l.Wake()
	}
}

// downRetryAfter is what callers are told when no carrier can be reached.
const downRetryAfter = 5 * time.Second

// admit refuses a send whose message could not be expected to leave in time.
func (n *node) admit(c *tenant.Client) error {
	if n.delivery == nil {
		return nil
	}
	if late, after := n.delivery.Overloaded(c.ID, n.cfg.Flags.MaxQueueAge); late {
		return &fault.Error{Kind: fault.Unavailable, Detail: "the queue is too long", RetryAfter: after}
	}
	if !n.router.Available(c) {
		return &fault.Error{Kind: fault.Unavailable, Detail: "every carrier is down", RetryAfter: downRetryAfter}
	}
	return nil
}

// reload reads the TLS files and the carriers file again. What cannot be used
// is logged, and the old stays.
func (n *node) reload() {
	if n.certs != nil {
		if err := n.certs.Reload(); err != nil {
			n.log.Error("TLS files were not reloaded; the old ones stay", "error", err)
		} else {
			n.log.Info("TLS files were reloaded")
		}
	}
	if n.cfg.Flags.Carriers == "" {
		return
	}
	if err := n.reloadCarriers(); err != nil {
		n.log.Error("carriers were not reloaded; the old ones stay", "error", err)
		return
	}
	n.log.Info("carriers were reloaded")
}

func (n *node) reloadCarriers() error {
	file, err := loadCarriers(n.cfg.Flags.Carriers, n.cfg.PublicURL)
	if err != nil {
		return err
	}
	services, err := file.Online.Lookups.build(n.cfg.Now)
	if err != nil {
		return err
	}
	next, routes, err := n.carriers.prepare(file.Routes)
	if err != nil {
		return err
	}
	if err := n.carriers.commit(next, func() error { return n.router.Swap(routes) }); err != nil {
		return err
	}
	n.online.use(file.Online, services)
	return nil
}
