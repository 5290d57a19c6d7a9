package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"codeword/internal/otp"
	"codeword/internal/phone"
	"codeword/internal/server"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/tracing"
)

// traceGrace is how long the last spans may take to leave when the server stops.
const traceGrace = 3 * time.Second

// wireTracing makes the tracer, if anything is to be traced. Without it every part is
// handed what it would be handed if there were no tracing at all.
func (n *node) wireTracing(ctx context.Context) (err error) {
	if !n.cfg.Tracing.On() {
		return nil
	}
	spans := promauto.With(n.metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "codeword_trace_spans_total", Help: "Spans that were exported, or failed to be: exported, failed.",
	}, []string{"outcome"})
	exported, failed := spans.WithLabelValues("exported"), spans.WithLabelValues("failed")
	n.tracer, err = tracing.New(ctx, n.cfg.Tracing, tracing.Config{
		Version: version(), Log: n.log,
		Metrics: tracing.Metrics{
			Exported: func(k int) { exported.Add(float64(k)) },
			Failed:   func(k int) { failed.Add(float64(k)) },
		},
	})
	return err
}

// endTracing exports what is left, for a while.
func (n *node) endTracing() {
	if n.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceGrace)
	defer cancel()
	if err := n.tracer.Shutdown(ctx); err != nil {
		n.log.WarnContext(ctx, "the last traces did not leave in time")
	}
}

// traced puts steps of a request into its trace.
func (n *node) traced(cfg otp.Config) otp.Config {
	if n.tracer == nil {
		return cfg
	}
	cfg.Store = tracedChallenges{cfg.Store, n.tracer}
	cfg.Lines = tracedLines{cfg.Lines, n.tracer}
	prove := cfg.Prove
	cfg.Prove = func(ctx context.Context, in otp.SendRequest) error {
		ctx, end := n.tracer.Step(ctx, "captcha")
		err := prove(ctx, in)
		end(err)
		return err
	}
	return cfg
}

// tracedPublic follows requests and what is done with their bearers.
func (n *node) tracedPublic(cfg server.Config) server.Config {
	if n.tracer != nil {
		cfg.Trace, cfg.Sessions = n.tracer.Request, tracedSessions{cfg.Sessions, n.tracer}
	}
	return cfg
}

type tracedChallenges struct {
	otp.Challenges
	tracer *tracing.Tracer
}

// StartChallenge implements otp.Challenges.
func (c tracedChallenges) StartChallenge(ctx context.Context, in store.Start) (store.Started, error) {
	step, end := c.tracer.Step(ctx, "store start_challenge")
	out, err := c.Challenges.StartChallenge(step, in)
	end(err)
	if err == nil && !out.Replayed {
		c.tracer.Queued(ctx, in.Message)
	}
	return out, err
}

// Attempt implements otp.Challenges.
func (c tracedChallenges) Attempt(ctx context.Context, in store.Attempt) (store.Session, error) {
	ctx, end := c.tracer.Step(ctx, "store attempt")
	out, err := c.Challenges.Attempt(ctx, in)
	end(err)
	return out, err
}

type tracedLines struct {
	otp.Lines
	tracer *tracing.Tracer
}

// LineType implements otp.Lines.
func (l tracedLines) LineType(ctx context.Context, n phone.Number, p phone.LookupPolicy) (phone.LineType, error) {
	ctx, end := l.tracer.Step(ctx, "line_type")
	line, err := l.Lines.LineType(ctx, n, p)
	end(err)
	return line, err
}

type tracedSessions struct {
	server.Sessions
	tracer *tracing.Tracer
}

// Verify implements server.Sessions.
func (s tracedSessions) Verify(ctx context.Context, c *tenant.Client, bearer string) (*session.Principal, error) {
	ctx, end := s.tracer.Step(ctx, "bearer verify")
	p, err := s.Sessions.Verify(ctx, c, bearer)
	end(err)
	return p, err
}

// Mint implements server.Sessions.
func (s tracedSessions) Mint(ctx context.Context, c *tenant.Client, of store.Session, now time.Time) (string, error) {
	ctx, end := s.tracer.Step(ctx, "bearer mint")
	jwt, err := s.Sessions.Mint(ctx, c, of, now)
	end(err)
	return jwt, err
}

// Refresh implements server.Sessions.
func (s tracedSessions) Refresh(ctx context.Context, c *tenant.Client, p *session.Principal, now time.Time) (string, bool, error) {
	ctx, end := s.tracer.Step(ctx, "bearer refresh")
	jwt, ok, err := s.Sessions.Refresh(ctx, c, p, now)
	end(err)
	return jwt, ok, err
}

// Revoke implements server.Sessions.
func (s tracedSessions) Revoke(ctx context.Context, p *session.Principal) error {
	ctx, end := s.tracer.Step(ctx, "bearer revoke")
	err := s.Sessions.Revoke(ctx, p)
	end(err)
	return err
}
