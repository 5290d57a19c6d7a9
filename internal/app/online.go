package app

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/botproof"
	"codeword/internal/carrier"
	"codeword/internal/keyring"
	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
)

// online is what asks others about a send before it is accepted: the services that
// tell line types, and those that verify captchas.
type online struct {
	lines *lookup.Chain
	gate  *botproof.Gate

	mu    sync.Mutex
	inUse lookupSettings
}

func newOnline(n *node) (*online, error) {
	services, err := n.cfg.Online.Lookups.build(n.cfg.Now)
	if err != nil {
		return nil, asUsage(err)
	}
	verifier, err := botproof.NewSiteVerify(botproof.SiteVerifyConfig{Endpoints: n.cfg.ProofEndpoints, Now: n.cfg.Now})
	if err != nil {
		return nil, err
	}
	lines := lookup.Config{
		Table: n.lines.lines, Override: n.lines.lines.Said, Digest: lineDigest(n.cfg.Ring),
		Cache:   n.store,
		Metrics: lookupMetrics(n.metrics), Now: n.cfg.Now, Log: n.log,
	}
	o := &online{
		lines: lookup.New(lines),
		gate: botproof.New(botproof.Config{
			Verifier: verifier, Metrics: proofMetrics(n.metrics), Now: n.cfg.Now, Log: n.log,
		}),
	}
	o.use(n.cfg.Online, services)
	return o, nil
}

// use puts what the carriers file says now in the place of what it said before.
// Services whose settings did not change keep their breakers.
func (o *online) use(s onlineSettings, services []lookup.Provider) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gate.Use(s.ProofSecrets)
	if !reflect.DeepEqual(o.inUse, s.Lookups) {
		o.lines.Use(services, s.Lookups.Rate)
		o.inUse = s.Lookups
	}
}

// prove is otp's question whether a person is behind a request.
func (o *online) prove(ctx context.Context, in otp.SendRequest) error {
	return o.gate.Check(ctx, botproof.Claim{
		Client: in.Client, Token: carrier.Secret(in.CaptchaToken), EndUser: in.EndUser,
		Key: in.IdempotencyKey, Body: in.Body,
	})
}

// lineDigest is the keyed digest under which a number's line type is cached. When the
// index key is replaced, what was cached is forgotten.
func lineDigest(ring *keyring.Ring) func(phone.Number) ([16]byte, error) {
	return func(n phone.Number) ([16]byte, error) { return lineDigestOf(ring, ring.IndexVersion(), n) }
}

// askBuckets fit what others answer in, and their deadlines.
func askBuckets() []float64 { return []float64{.01, .025, .05, .1, .2, .4, .8, 1.2, 2} }

func observer(h *prometheus.HistogramVec) func(string, time.Duration) {
	return func(provider string, d time.Duration) { h.WithLabelValues(provider).Observe(d.Seconds()) }
}

// lookupMetrics registers what look-ups of line types count.
func lookupMetrics(reg prometheus.Registerer) lookup.Metrics {
	f := promauto.With(reg)
	lookups := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_line_lookups_total", Help: "Look-ups of line types by service (or cache) and outcome.",
	}, []string{"provider", "outcome"})
	took := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_line_lookup_duration_seconds", Help: "Time that a look-up service took to answer, or to fail.", Buckets: askBuckets(),
	}, []string{"provider"})
	return lookup.Metrics{
		Lookup: func(provider, outcome string) { lookups.WithLabelValues(provider, outcome).Inc() },
		Took:   observer(took),
	}
}

// proofMetrics registers what verifications of captchas count.
func proofMetrics(reg prometheus.Registerer) botproof.Metrics {
	f := promauto.With(reg)
	proofs := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_bot_proofs_total", Help: "Captcha tokens by provider and what came of them.",
	}, []string{"provider", "outcome"})
	took := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "codeword_bot_proof_duration_seconds", Help: "Time that a captcha's provider took to answer, or to fail.", Buckets: askBuckets(),
	}, []string{"provider"})
	return botproof.Metrics{
		Proof: func(provider, outcome string) { proofs.WithLabelValues(provider, outcome).Inc() },
		Took:  observer(took),
	}
}
