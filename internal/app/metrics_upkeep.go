package app

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/store"
)

// observers are told how long the engines take.
type observers struct {
	writes store.Observe
	// calls is told of calls of Redis; nil without one.
	calls func(function string, took time.Duration)
}

// storeDurations registers how long writes wait for their commit, and how long that
// takes: together what an answer waits for stable storage.
func storeDurations(reg prometheus.Registerer, st storage) observers {
	f := promauto.With(reg)
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5}
	wait := f.NewHistogram(prometheus.HistogramOpts{
		Name: "codeword_store_wait_seconds", Help: "Time that an operation waited until its commit began.", Buckets: buckets,
	})
	commit := f.NewHistogram(prometheus.HistogramOpts{
		Name: "codeword_store_commit_duration_seconds", Help: "Time that a commit took, or took to fail.", Buckets: buckets,
	})
	o := observers{writes: store.Observe{
		Now:       time.Now, // durations: a test's clock stands still
		Waited:    func(d time.Duration) { wait.Observe(d.Seconds()) },
		Committed: func(d time.Duration) { commit.Observe(d.Seconds()) },
	}}
	calls := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_redis_call_duration_seconds", Help: "Time that a call of a function in Redis took, or took to fail.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
	}, []string{"function"})
	if st.Redis.text != "" {
		o.calls = func(function string, d time.Duration) { calls.WithLabelValues(function).Observe(d.Seconds()) }
	}
	return o
}

// upkeepMetrics registers what runs out unless somebody, or the service itself, sees
// to it, and what is running.
func upkeepMetrics(n *node) {
	f := promauto.With(n.metrics)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "codeword_signing_key_due_timestamp_seconds", Help: "When the next signing key should take over; 0 while none signs.",
	}, func() float64 { return unixSeconds(n.sessions.SignerDue()) })
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "codeword_tls_certificate_expiry_timestamp_seconds", Help: "When the certificate of the public listener ends; 0 without one.",
	}, func() float64 {
		if n.certs == nil {
			return 0
		}
		return unixSeconds(n.certs.Expiry())
	})
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "codeword_build_info", Help: "1, with the version that runs.",
	}, []string{"version", "goversion"}).WithLabelValues(version(), runtime.Version()).Set(1)
}

// unixSeconds is 0 for the zero time.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
