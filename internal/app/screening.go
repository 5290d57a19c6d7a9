package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strconv"

	"github.com/dchest/siphash"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/guard/fraud"
	"codeword/internal/guard/spend"
	"codeword/internal/keyring"
	"codeword/internal/screening"
)

// wireScreening makes what judges sends, with what was known before.
func (n *node) wireScreening(ctx context.Context) (err error) {
	hash, err := guardHash(n.cfg.Ring)
	if err != nil {
		return err
	}
	_, alone := capability[singular](n.store)
	n.screen, err = screening.New(screening.Config{
		Notes: n.store, Events: n.hooks.emitter.Events(n.store),
		Guard: fraud.Config{Hash: hash}, Shared: !alone,
		// A node that starts again is another one.
		Node:   rand.Text(),
		Free:   n.router.UsesInbox,
		Price:  n.router.Price,
		Client: n.clients.Client,
		Now:    n.cfg.Now, Log: n.log,
		Metrics: screeningMetrics(n.metrics),
	})
	if err != nil {
		return err
	}
	return n.screen.Load(ctx)
}

// guardHash digests addresses for the guard, alike on all nodes of a keyset. SipHash
// under a secret key is a pseudo-random function, which is enough to keep what nodes
// share from being read.
func guardHash(ring *keyring.Ring) (func([]byte) uint64, error) {
	versions := ring.IndexVersions()
	key, err := ring.Index(versions[len(versions)-1], []byte("guard-hash\x00"))
	if err != nil {
		return nil, err
	}
	k0, k1 := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:16])
	return func(b []byte) uint64 { return siphash.Hash(k0, k1, b) }, nil
}

// screeningMetrics registers what screening counts.
func screeningMetrics(reg prometheus.Registerer) screening.Metrics {
	f := promauto.With(reg)
	held := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_guard_held_total", Help: "Sends that the fraud guard held back, or would have (acted is false).",
	}, []string{"scope", "acted"})
	decided := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_guard_decisions_total", Help: "Decisions of the fraud guard to hold something back; of scope client: alarms.",
	}, []string{"scope"})
	over := f.NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_spend_refused_total", Help: "Sends that were refused since a budget was used up.",
	}, []string{"period"})
	// Their first event must be seen as an increase: alerts are made of it.
	for scope := fraud.Client; scope <= fraud.Device; scope++ {
		decided.WithLabelValues(scope.String())
	}
	for _, period := range []spend.Period{spend.PeriodHour, spend.PeriodDay} {
		over.WithLabelValues(string(period))
	}
	return screening.Metrics{
		Held: func(scope string, acted bool) {
			held.WithLabelValues(scope, strconv.FormatBool(acted)).Inc()
		},
		Decided:    func(scope string) { decided.WithLabelValues(scope).Inc() },
		OverBudget: func(period string) { over.WithLabelValues(period).Inc() },
	}
}
