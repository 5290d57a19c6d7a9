package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/delivery"
	"codeword/internal/inbound"
	"codeword/internal/message"
	"codeword/internal/routing"
	"codeword/internal/store"
)

// deliveryMetrics registers what the delivery loop counts.
func deliveryMetrics(reg prometheus.Registerer) delivery.Metrics {
	f := promauto.With(reg)
	messages := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_messages_total", Help: "Messages that left a delivery worker, by what became of them.",
	}, []string{"route", "status"})
	age := f.NewHistogram(prometheus.HistogramOpts{
		Name: "codeword_message_age_seconds", Help: "Time from acceptance to the carrier's answer.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
	})
	wait := f.NewHistogram(prometheus.HistogramOpts{
		Name: "codeword_message_wait_seconds", Help: "Time from acceptance until a worker took the message for the first time.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
	})
	answer := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_carrier_answer_duration_seconds", Help: "Time that a carrier took to take a message, to refuse it, or to time out.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"route"})
	lost := f.NewCounter(prometheus.CounterOpts{
		Name: "codeword_message_leases_lost_total", Help: "Outcomes that came after another claim.",
	})
	unrecorded := f.NewCounter(prometheus.CounterOpts{
		Name: "codeword_message_outcomes_unrecorded_total", Help: "Outcomes given up because the store was down.",
	})
	storeErrors := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_delivery_store_errors_total", Help: "Store operations of the delivery loop that failed.",
	}, []string{"operation"})
	depth := f.NewGauge(prometheus.GaugeOpts{Name: "codeword_queue_messages", Help: "Messages that no carrier has taken yet."})
	oldest := f.NewGauge(prometheus.GaugeOpts{
		Name: "codeword_queue_oldest_timestamp_seconds", Help: "When the oldest waiting message was accepted; 0 without any.",
	})
	return delivery.Metrics{
		Outcome: func(route string, status store.MessageStatus, _ string, d time.Duration) {
			messages.WithLabelValues(route, status.String()).Inc()
			age.Observe(d.Seconds())
		},
		Begun:      func(d time.Duration) { wait.Observe(d.Seconds()) },
		Answered:   func(route string, d time.Duration) { answer.WithLabelValues(route).Observe(d.Seconds()) },
		LeaseLost:  func(n int) { lost.Add(float64(n)) },
		Unrecorded: func(n int) { unrecorded.Add(float64(n)) },
		StoreError: func(op string) { storeErrors.WithLabelValues(op).Inc() },
		Queue: func(s store.QueueStats) {
			depth.Set(float64(s.Depth))
			if s.Oldest.IsZero() {
				oldest.Set(0)
				return
			}
			oldest.Set(float64(s.Oldest.UnixMilli()) / 1000)
		},
	}
}

// storeMetrics registers what the engine counts, and the process's own figures.
func storeMetrics(reg prometheus.Registerer, e engine) {
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "codeword_store_commits_total", Help: "Durable commits.",
		}, func() float64 { return float64(e.figures().commits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "codeword_store_operations_total", Help: "Operations carried by commits.",
		}, func() float64 { return float64(e.figures().operations) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "codeword_store_queue_operations", Help: "Operations waiting to be committed.",
		}, func() float64 { return float64(e.figures().queued) }),
	)
}

// routingMetrics registers what the router counts as it happens.
func routingMetrics(reg prometheus.Registerer) routing.Metrics {
	f := promauto.With(reg)
	failures := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_route_failures_total", Help: "Messages that a carrier did not take, or may not have taken, by reason.",
	}, []string{"route", "reason"})
	changes := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_route_breaker_changes_total", Help: "Changes of a route's circuit breaker, by the state that it came to.",
	}, []string{"route", "state"})
	misconfigured := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_route_misconfigured_total", Help: "Messages that a carrier refused in a way that an operator has to put right.",
	}, []string{"route", "reason"})
	return routing.Metrics{
		Failed:        func(route, reason string) { failures.WithLabelValues(route, reason).Inc() },
		Breaker:       func(route, state string) { changes.WithLabelValues(route, state).Inc() },
		Misconfigured: func(route, reason string) { misconfigured.WithLabelValues(route, reason).Inc() },
	}
}

// routeCollector shows how each route stands when it is asked.
type routeCollector struct{ router *routing.Router }

var (
	routeUp = prometheus.NewDesc("codeword_route_up", "1 while the route's circuit breaker is closed.", []string{"route"}, nil)

	routeHealth = prometheus.NewDesc("codeword_route_health_ratio",
		"Share of the route's messages whose codes were used, decayed, with a prior of one half.", []string{"route"}, nil)
)

// Describe implements prometheus.Collector.
func (routeCollector) Describe(ch chan<- *prometheus.Desc) { ch <- routeUp; ch <- routeHealth }

// Collect implements prometheus.Collector.
func (c routeCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.router.Status() {
		up := 0.0
		if s.Breaker == "closed" {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(routeUp, prometheus.GaugeValue, up, s.Route)
		ch <- prometheus.MustNewConstMetric(routeHealth, prometheus.GaugeValue, s.Health, s.Route)
	}
}

// arrivalBuckets fit what phones and people take, up to the longest life of a code.
func arrivalBuckets() []float64 { return []float64{.5, 1, 2.5, 5, 10, 20, 40, 90, 180, 300, 600} }

// verifiedMetrics adds to f how long it took until codes were used.
func verifiedMetrics(reg prometheus.Registerer, now func() time.Time, f func([]store.Verified)) func([]store.Verified) {
	used := promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_message_verified_seconds", Help: "Time from acceptance until the code was used, and noted within a second.",
		Buckets: arrivalBuckets(),
	}, []string{"route"})
	return func(all []store.Verified) {
		at := now()
		for i := range all {
			used.WithLabelValues(all[i].Route).Observe(max(0, at.Sub(all[i].CreatedAt)).Seconds())
		}
		f(all)
	}
}

// inboundMetrics registers what comes back from carriers.
func inboundMetrics(reg prometheus.Registerer) inbound.Metrics {
	f := promauto.With(reg)
	receipts := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_receipts_total", Help: "Delivery receipts, by what became of them.",
	}, []string{"route", "effect"})
	dropped := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_reports_dropped_total", Help: "Reports of carriers that made no sense.",
	}, []string{"route", "what"})
	written := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_inbound_messages_total", Help: "Messages from phones, by keyword.",
	}, []string{"route", "keyword"})
	replies := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_inbound_replies_total", Help: "Answers to STOP, START and HELP.",
	}, []string{"route", "keyword", "outcome"})
	arrived := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_message_receipt_seconds", Help: "Time from acceptance until a receipt said that the message was delivered.",
		Buckets: arrivalBuckets(),
	}, []string{"route"})
	return inbound.Metrics{
		Arrived: func(route string, d time.Duration) { arrived.WithLabelValues(route).Observe(d.Seconds()) },
		Receipt: func(route string, e store.ReceiptEffect) { receipts.WithLabelValues(route, e.String()).Inc() },
		Dropped: func(route, what string) { dropped.WithLabelValues(route, what).Inc() },
		Inbound: func(route string, k message.KeywordKind) { written.WithLabelValues(route, k.String()).Inc() },
		Reply: func(route string, k message.KeywordKind, outcome string) {
			replies.WithLabelValues(route, k.String(), outcome).Inc()
		},
	}
}
