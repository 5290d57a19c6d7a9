package routing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"codeword/internal/carrier"
)

// When a breaker opens, and what it takes to close it.
const (
	// maxConsecutive failures open a breaker, and so does a share of failures
	// among at least minAnswers within the window.
	maxConsecutive = 5
	minAnswers     = 20
	failureShare   = 0.5
	breakerWindow  = 10 * time.Second
	breakerBucket  = time.Second
	// probes is how many messages a route gets when its breaker has been open for
	// long enough: no more at once, and all have to go well.
	probes = 3
)

// When a route has stopped answering: so many messages are with it, and it has
// not answered one of them for so long, nor for several times as long as it
// usually takes. Its breaker knows only when those have timed out; until then no
// more are sacrificed.
const (
	stallMin    = 5
	stallAfter  = 2 * time.Second
	stallFactor = 3
	stallCheck  = time.Second
)

// How long a throttled route is left alone: as long as the carrier says, within
// reason, else from minPause on, doubling each time up to topPause.
const (
	minPause = time.Second
	topPause = 30 * time.Second
	maxPause = time.Minute
)

// state is how a route fares.
type state struct {
	name    string
	now     func() time.Time
	rand    func() float64
	log     *slog.Logger
	metrics *Metrics
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	health  health
	grade   atomic.Pointer[grade]

	// mu is not held while the breaker is called, which calls back.
	mu         sync.Mutex
	generation int // counts changes of the breaker's state
	openUntil  time.Time
	inFlight   int
	// answered is when the route last answered, or when the first of those in
	// flight was handed over.
	answered time.Time
	// latency is how long an answer takes, as a moving average.
	latency     time.Duration
	pausedUntil time.Time
	// strikes counts the pauses since the route last took a message unthrottled.
	strikes  int
	sent     uint64
	failures map[string]uint64
	told     map[string]time.Time // when a misconfiguration was last logged
	// misfits counts the messages in a row that a misconfiguration had refused,
	// until misfit.
	misfits int
	misfit  time.Time
}

func (r *Router) newState(name string) *state {
	s := &state{
		name: name, now: r.cfg.Now, rand: r.cfg.Rand, log: r.cfg.Log, metrics: &r.cfg.Metrics,
		failures: make(map[string]uint64), told: make(map[string]time.Time),
	}
	s.grade.Store(&grade{mean: priorMean, spread: 1})
	s.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: name, MaxRequests: probes, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: r.cfg.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			answers := c.TotalSuccesses + c.TotalFailures
			return c.ConsecutiveFailures >= maxConsecutive ||
				answers >= minAnswers && float64(c.TotalFailures) >= failureShare*float64(answers)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errNoVerdict) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			s.mu.Lock()
			s.generation++
			if to == gobreaker.StateOpen {
				s.openUntil = s.now().Add(r.cfg.OpenFor)
			}
			s.mu.Unlock()
			s.metrics.Breaker(name, to.String())
			s.log.Warn("routing: a breaker changed", "route", name, "from", from.String(), "to", to.String())
		},
	})
	return s
}

// errNoVerdict and errFailed are what the breaker is told: nothing about the
// route, or that it failed.
var (
	errNoVerdict = errors.New("routing: no verdict")
	errFailed    = errors.New("routing: failed")
)

// verdict is what an answer says about the route. One that refuses a message,
// asks for patience or wants an operator is alive. Phones that are off, texts
// that a filter stopped, and our own impatience say nothing, so that nobody can
// take a route down by asking for codes for such phones.
func verdict(err *carrier.Error) error {
	switch {
	case err == nil, err.Class == carrier.Rejected, err.Effect != carrier.EffectNone:
		return nil
	case err.Reason == carrier.ReasonCanceled, err.Reason == carrier.ReasonUnreachable, err.Reason == carrier.ReasonFiltered:
		return errNoVerdict
	default:
		return errFailed
	}
}

// answers tells whether the carrier itself has answered. What could not be handed
// over says nothing about how long it takes.
func answers(err *carrier.Error) bool {
	return err == nil || err.Class != carrier.Unknown && err.Reason != carrier.ReasonUnavailable && err.Reason != carrier.ReasonCanceled
}

// trouble tells why the route is not to be used at all, and until when at
// least; "" if it may be.
func (s *state) trouble(now time.Time) (reason Reason, until time.Time) {
	breaker := s.breaker.State()
	s.mu.Lock()
	openUntil, stalled := s.openUntil, s.stalled(now)
	s.mu.Unlock()
	switch {
	case breaker == gobreaker.StateOpen:
		return BreakerOpen, openUntil
	case breaker == gobreaker.StateHalfOpen && !s.takesProbes():
		return BreakerOpen, now.Add(stallCheck)
	case stalled:
		return Stalled, now.Add(stallCheck)
	default:
		return "", time.Time{}
	}
}

func (s *state) takesProbes() bool {
	c := s.breaker.Counts()
	return c.Requests < c.TotalExclusions+probes
}

func (s *state) stalled(now time.Time) bool {
	return s.inFlight >= stallMin && now.Sub(s.answered) > max(stallAfter, stallFactor*s.latency)
}

// paused tells how long the carrier still wants to be left alone.
func (s *state) paused(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.pausedUntil.Sub(now))
}

// ticket is the permission to hand over one message.
type ticket struct {
	begun      time.Time
	generation int
	// probe is set while the breaker is half-open.
	probe func(error)
}

// begin asks the breaker for a ticket; every ticket is given back with end.
func (s *state) begin(now time.Time) (t ticket, ok bool) {
	t.begun = now
	switch s.breaker.State() {
	case gobreaker.StateOpen:
		return t, false
	case gobreaker.StateHalfOpen:
		var err error
		if t.probe, err = s.breaker.Allow(); err != nil {
			return t, false
		}
	case gobreaker.StateClosed:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight == 0 {
		s.answered = now
	}
	s.inFlight++
	t.generation = s.generation
	return t, true
}

// end notes what came of a ticket. A closed breaker counts an answer when it
// comes rather than when its message was handed over, since one that took as
// long as the breaker's window would not count at all.
func (s *state) end(t ticket, err *carrier.Error, now time.Time) {
	s.mu.Lock()
	s.inFlight--
	current := t.generation == s.generation
	switch {
	case err == nil:
		s.sent++
		if !t.begun.Before(s.pausedUntil) {
			s.strikes = 0
		}
	case err.Effect == carrier.EffectThrottle:
		s.pause(now, err.RetryAfter)
	}
	switch {
	case err == nil || err.Class == carrier.Rejected:
		s.misfits = 0
	case err.Effect == carrier.EffectMisconfigured:
		s.misfits++
		s.misfit = now
	}
	if answers(err) {
		s.answered = now
		s.latency += (now.Sub(t.begun) - s.latency) / 8
	}
	var reason string
	alarm := false
	if err != nil {
		reason = s.counted(err.Reason)
		s.failures[reason]++
		alarm = err.Effect == carrier.EffectMisconfigured && s.alarm(now, reason)
	}
	s.mu.Unlock()

	if err != nil {
		s.metrics.Failed(s.name, reason)
		if err.Effect == carrier.EffectMisconfigured {
			s.metrics.Misconfigured(s.name, reason)
		}
	}
	if alarm {
		s.log.Error("routing: a route refuses messages until an operator acts", "route", s.name, "reason", reason)
	}
	switch {
	case t.probe != nil:
		t.probe(verdict(err))
	case current:
		if done, refused := s.breaker.Allow(); refused == nil {
			done(verdict(err))
		}
	}
}

// misfitHold is for how long it is believed that a route which a
// misconfiguration keeps from taking anything still does not; then a message may
// find out.
const misfitHold = 10 * time.Second

// shut tells whether an operator has to act before the route takes anything. Its
// breaker stays closed all the same: the route is not ill, and messages that
// have nowhere else to go find out when it takes them again.
func (s *state) shut(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.misfits >= maxConsecutive && now.Sub(s.misfit) < misfitHold
}

// maxReasons is how many reasons of a route are counted apart. Some carriers have
// reasons of their own without number, and each is a time series.
const maxReasons = 64

// reasonOther stands for those that came after them.
const reasonOther = "other"

// counted is the reason under which a failure is counted.
func (s *state) counted(reason string) string {
	if _, known := s.failures[reason]; !known && len(s.failures) >= maxReasons {
		return reasonOther
	}
	return reason
}

// pause leaves the route alone for a while. Answers that come during a pause
// were on their way before it and say nothing new.
func (s *state) pause(now time.Time, wish time.Duration) {
	var until time.Time
	switch {
	case wish > 0:
		until = now.Add(min(wish, maxPause))
	case now.Before(s.pausedUntil):
		return
	default:
		d := min(minPause<<min(s.strikes, 10), topPause)
		until = now.Add(d + time.Duration(s.rand()*float64(d)/4))
		s.strikes++
	}
	if until.After(s.pausedUntil) {
		s.pausedUntil = until
	}
}

// alarmEvery is how often a misconfiguration is logged.
const alarmEvery = time.Minute

func (s *state) alarm(now time.Time, reason string) bool {
	if last, ok := s.told[reason]; ok && now.Sub(last) < alarmEvery {
		return false
	}
	s.told[reason] = now
	return true
}

// Status is how a route stands.
type Status struct {
	Route string
	// Priority and Weight are as configured.
	Priority, Weight int
	// Breaker is "closed", "half-open" or "open".
	Breaker string
	// OpenUntil is when an open breaker lets probes through, PausedUntil when a
	// throttled route is used again; zero if it is not.
	OpenUntil, PausedUntil time.Time
	// Stalled: messages are with the carrier, and it does not answer.
	Stalled bool
	// InFlight is how many messages are with the carrier right now.
	InFlight int
	// Health is the expected share of verified codes, 0 to 1, and Samples how
	// many messages that rests on, older ones counting less.
	Health, Samples float64
	// Unhealthy: another route brings at least twice as many codes that are
	// verified, or did, and this one has not shown since that it is nearly as good.
	Unhealthy bool
	// Sent counts the messages that the carrier took since the route was
	// configured, Failures those that it did not, by reason; reasons beyond the
	// first 64 are "other".
	Sent     uint64
	Failures map[string]uint64
}

// Status tells how the routes stand, in the order in which they are used.
func (r *Router) Status() []Status {
	t, now := r.table.Load(), r.cfg.Now()
	r.refresh(t, now)
	out := make([]Status, 0, len(t.routes))
	for _, rt := range t.routes {
		g := rt.grade.Load()
		s := Status{
			Route: rt.Name, Priority: rt.Priority, Weight: rt.Weight, Breaker: rt.breaker.State().String(),
			Health: g.mean, Samples: g.samples, Unhealthy: g.ill,
		}
		rt.report(&s, now)
		out = append(out, s)
	}
	return out
}

func (s *state) report(out *Status, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if out.Breaker == gobreaker.StateOpen.String() {
		out.OpenUntil = s.openUntil
	}
	if s.pausedUntil.After(now) {
		out.PausedUntil = s.pausedUntil
	}
	out.Stalled, out.InFlight, out.Sent = s.stalled(now), s.inFlight, s.sent
	out.Failures = make(map[string]uint64, len(s.failures))
	for reason, n := range s.failures {
		out.Failures[reason] = n
	}
}

// sleep waits d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
