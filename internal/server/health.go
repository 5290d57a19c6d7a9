package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"codeword/api"
	"codeword/internal/fault"
)

// healthy is the api.Health of a process that is well.
const healthy = `{"status":"` + api.StatusOK + `"}`

// healthz is GET /healthz: the process lives, whatever else is broken. A
// process that is restarted because its store is down helps nobody.
func (s *Server) healthz() handle {
	return func(x *exchange) error {
		x.answer(http.StatusOK, []byte(healthy))
		return nil
	}
}

// readyz is GET /readyz.
func (s *Server) readyz() handle {
	return func(x *exchange) error {
		if s.draining.Load() {
			return fault.New(fault.Unavailable, "shutting down")
		}
		if err := s.ready.check(x.r.Context(), s.now, s.cfg.Health); err != nil {
			return fault.Wrap(fault.Unavailable, "not ready", err)
		}
		x.answer(http.StatusOK, []byte(healthy))
		return nil
	}
}

const (
	// readyAge is how long one answer of Health serves all who ask: anybody may
	// ask, and each check costs the store a write.
	readyAge = time.Second
	// readyTimeout bounds one check.
	readyTimeout = 2 * time.Second
)

// readiness remembers the last answer of Health.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) check(ctx context.Context, now func() time.Time, h Health) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := now(); !r.at.IsZero() && t.Sub(r.at) < readyAge {
		return r.err
	}
	// The answer is for all who ask, so one who goes away must not spoil it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	r.err = h.Ready(ctx)
	r.at = now()
	return r.err
}
