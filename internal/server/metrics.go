package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"codeword/api"
)

// codeOK is the code label of an answer that is no error.
const codeOK = "OK"

type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	callbacks *prometheus.CounterVec
}

// routeMetrics are the series of a route that the hot path needs, looked up
// once. All label values come from the route table and package api, so the
// number of series is bounded.
type routeMetrics struct {
	ok   prometheus.Counter
	shed prometheus.Counter
	// seconds are by status class; that of class 2 is at index 2.
	seconds [6]prometheus.Observer
}

// statusClass names the class of a status (RFC 9110 section 15), bounded whatever it is.
func statusClass(status int) (index int, name string) {
	names := [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}
	if index = status / 100; index < 1 || index >= len(names) {
		index = 0
	}
	return index, names[index]
}

func newMetrics(reg prometheus.Registerer, g *gate) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codeword_http_requests_total",
			Help: "Answered requests by route, error code (OK for none) and status.",
		}, []string{"route", "code", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "codeword_http_request_duration_seconds",
			Help:    "Time from the header of a request to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "status_class"}),
		callbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "codeword_carrier_callbacks_total",
			Help: "Callbacks to a route of a carrier by what became of them: taken, forged, stale, malformed, failed.",
		}, []string{"route", "result"}),
	}
	if reg == nil {
		return m, nil
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "codeword_http_requests_in_flight",
		Help: "Requests that are being worked on.",
	}, func() float64 { return float64(g.in.Load()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.callbacks, inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("server: metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) route(pattern string) routeMetrics {
	rm := routeMetrics{
		ok:   m.requests.WithLabelValues(pattern, codeOK, "200"),
		shed: m.requests.WithLabelValues(pattern, string(api.CodeUnavailable), "503"),
	}
	for _, status := range []int{http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError} {
		i, name := statusClass(status)
		rm.seconds[i] = m.seconds.WithLabelValues(pattern, name)
	}
	return rm
}

func (m *metrics) observe(rt *route, status int, code api.Code, took time.Duration) {
	switch {
	case status == http.StatusOK && code == "":
		rt.metrics.ok.Inc()
	case status == http.StatusServiceUnavailable && code == api.CodeUnavailable:
		rt.metrics.shed.Inc()
	default:
		if code == "" {
			code = codeOK
		}
		m.requests.WithLabelValues(rt.pattern, string(code), strconv.Itoa(status)).Inc()
	}
	i, class := statusClass(status)
	if seconds := rt.metrics.seconds[i]; seconds != nil {
		seconds.Observe(took.Seconds())
		return
	}
	m.seconds.WithLabelValues(rt.pattern, class).Observe(took.Seconds())
}
