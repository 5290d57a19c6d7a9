package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/webhook"
)

// webhooks tell clients what happens.
type webhooks struct {
	registry *webhook.Registry
	emitter  *webhook.Emitter
	loop     *webhook.Loop
}

// newWebhooks makes them before what they are told by, some of which they ask later.
func newWebhooks(ctx context.Context, n *node) (*webhooks, error) {
	allow, err := n.cfg.Flags.webhookAllow()
	if err != nil {
		return nil, asUsage(err)
	}
	w := &webhooks{registry: webhook.NewRegistry(webhook.RegistryConfig{
		Documents: n.store, Queue: n.store, Keys: n.cfg.Ring, Now: n.cfg.Now, Audit: n.audit,
	})}
	if err := w.registry.Load(ctx); err != nil {
		return nil, err
	}
	metrics, dropped := webhookMetrics(n.metrics)
	cfg := webhook.Config{
		Registry: w.registry, Queue: n.store, Keys: n.cfg.Ring, Now: n.cfg.Now, Allow: allow, Log: n.log, Metrics: metrics,
	}
	if n.tracer != nil {
		cfg.Trace = n.tracer.Webhook
	}
	w.loop, err = webhook.New(cfg)
	if err != nil {
		return nil, err
	}
	w.emitter, err = webhook.NewEmitter(webhook.EmitterConfig{
		Registry: w.registry, Queue: n.store, Messages: n.store, Now: n.cfg.Now,
		Client:  n.clients.Client,
		PhoneID: func(c *tenant.Client, id store.PhoneID) string { return n.otp.PhoneID(c, id) },
		Mask:    n.mask,
		Queued:  w.loop.Wake, Dropped: dropped, Log: n.log,
	})
	return w, err
}

// mask is what may be told of a message's number; empty when it is not kept any more.
func (n *node) mask(m *store.Message) string {
	if len(m.Sealed) == 0 {
		return ""
	}
	number, err := n.otp.Number(*m)
	if err != nil {
		return ""
	}
	return number.Mask()
}

// webhookMetrics registers what webhooks count.
func webhookMetrics(reg prometheus.Registerer) (_ webhook.Metrics, dropped func(kind string)) {
	f := promauto.With(reg)
	attempts := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_webhook_attempt_seconds", Help: "Webhooks that were posted, by what became of them: delivered, retry or failed.",
		Buckets: prometheus.ExponentialBuckets(0.005, 3, 8),
	}, []string{"outcome"})
	disabled := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_webhook_endpoints_disabled_total", Help: "Endpoints that were disabled since they failed, or have gone.",
	}, []string{"reason"})
	storeErrors := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_webhook_store_errors_total", Help: "Store operations of webhooks that failed.",
	}, []string{"operation"})
	lost := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_webhook_dropped_total", Help: "Events that could not be queued.",
	}, []string{"kind"})
	return webhook.Metrics{
		Attempt:    func(outcome string, took time.Duration) { attempts.WithLabelValues(outcome).Observe(took.Seconds()) },
		Disabled:   func(reason string) { disabled.WithLabelValues(reason).Inc() },
		StoreError: func(op string) { storeErrors.WithLabelValues(op).Inc() },
	}, func(kind string) { lost.WithLabelValues(kind).Inc() }
}
