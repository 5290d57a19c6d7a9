package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/delivery"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
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
func storeMetrics(reg prometheus.Registerer, st *sqlite.Store) {
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "codeword_store_commits_total", Help: "Durable commits.",
		}, func() float64 { return float64(st.Stats().Commits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "codeword_store_operations_total", Help: "Operations carried by commits.",
		}, func() float64 { return float64(st.Stats().Operations) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "codeword_store_queue_operations", Help: "Operations waiting for the writer.",
		}, func() float64 { return float64(st.Stats().Queued) }),
	)
}
