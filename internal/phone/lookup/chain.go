package lookup

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"codeword/internal/carrier"
	"codeword/internal/phone"
	"codeword/internal/store"
)

// How long answers are kept, and how long others may take to give one.
const (
	// keepKnown is for answers that say something: a number is not ported often.
	keepKnown = 30 * 24 * time.Hour
	// keepUnknown is for a service that does not know the number either.
	keepUnknown = 24 * time.Hour
	// askTimeout is what one service gets; the caller of a send waits for it.
	askTimeout = 800 * time.Millisecond
	// cacheTimeout is what the cache gets, for each of reading and writing.
	cacheTimeout = 250 * time.Millisecond
	// logEvery is how often one kind of trouble is logged.
	logEvery = time.Minute
)

// DefaultRate is how many look-ups a second a node pays for.
const DefaultRate = 50

// Provider is a look-up service. Its errors quote no number.
type Provider interface {
	phone.LineTyper
	// Name is for metrics and logs, and the source of what is cached.
	Name() string
}

// Cache keeps what services said. Nodes share it.
type Cache interface {
	// LineFact returns what is known of the number with that digest and has not ended.
	LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error)
	PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error
}

// Metrics are told what look-ups do. Its fields may be nil.
type Metrics struct {
	// Lookup: of a provider, what came of one question: "known", "unknown",
	// "breaker_open", "limited", or the reason of a failure. Of the provider
	// "cache": "known", "unknown", "missing" or "failed".
	Lookup func(provider, outcome string)
	// Took is how long a provider needed, whatever it said.
	Took func(provider string, d time.Duration)
}

// Config is what a Chain needs.
type Config struct {
	// Table answers without asking anybody.
	Table phone.LineTyper
	// Override is what an operator said of one number; nil for nothing.
	Override func(phone.Number) (line phone.LineType, said bool, err error)
	// Cache keeps answers, under the keyed Digest of a number; nil for none.
	Cache  Cache
	Digest func(phone.Number) ([16]byte, error)

	Metrics Metrics
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log is nil for none.
	Log *slog.Logger
}

// Chain asks one source after the other: what an operator said of the number, the
// cache, the services, the table. It is safe for concurrent use.
type Chain struct {
	cfg      Config
	services atomic.Pointer[services]
	// asking has the look-ups that are under way, by number.
	asking              singleflight.Group
	cacheSaid, giveSaid rate.Sometimes
}

// services are those in use, in order, and what they may cost together.
type services struct {
	all    []*service
	budget *rate.Limiter
}

// New returns a Chain that has no services yet.
func New(cfg Config) *Chain {
	if cfg.Metrics.Lookup == nil {
		cfg.Metrics.Lookup = func(string, string) {}
	}
	if cfg.Metrics.Took == nil {
		cfg.Metrics.Took = func(string, time.Duration) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Chain{cfg: cfg, cacheSaid: rate.Sometimes{Interval: logEvery}, giveSaid: rate.Sometimes{Interval: logEvery}}
	c.services.Store(&services{})
	return c
}

// Use puts services in the place of those before, with breakers that are closed. The
// first is asked; each further one when those before it fail. All together they are
// asked at most perSecond times a second, and as often at once.
func (c *Chain) Use(providers []Provider, perSecond float64) {
	next := &services{budget: rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))}
	for _, p := range providers {
		next.all = append(next.all, c.newService(p))
	}
	c.services.Store(next)
}

// errNobody: no service could be asked, or none answered.
var errNobody = errors.New("lookup: no service tells the line type")

// LineType tells the line type of a number, asking as far as the policy allows. What
// no service tells is up to the table, or an error if the policy says so.
func (c *Chain) LineType(ctx context.Context, n phone.Number, p phone.LookupPolicy) (phone.LineType, error) {
	if c.cfg.Override != nil {
		if line, said, err := c.cfg.Override(n); said || err != nil {
			return line, err
		}
	}
	table, err := c.cfg.Table.LineType(ctx, n)
	if err != nil {
		return phone.LineUnknown, err
	}
	if p.Mode == phone.LookupOff || p.Mode == phone.LookupUnknown && table != phone.LineUnknown {
		return table, nil
	}
	line, err := c.ask(ctx, n)
	switch {
	case err == nil && line != phone.LineUnknown:
		return line, nil
	case err == nil || !p.Refuse && ctx.Err() == nil:
		return table, nil
	default:
		return phone.LineUnknown, err
	}
}

// ask returns what the cache or a service says. Concurrent questions for one number
// are one question, which goes on when the first that asked has gone.
func (c *Chain) ask(ctx context.Context, n phone.Number) (phone.LineType, error) {
	shared := context.WithoutCancel(ctx)
	answer := c.asking.DoChan(n.E164(), func() (any, error) { return c.askOnce(shared, n) })
	select {
	case r := <-answer:
		line, _ := r.Val.(phone.LineType)
		return line, r.Err
	case <-ctx.Done():
		return phone.LineUnknown, ctx.Err()
	}
}

func (c *Chain) askOnce(ctx context.Context, n phone.Number) (phone.LineType, error) {
	if c.cfg.Cache == nil {
		line, _, err := c.askServices(ctx, n)
		return line, err
	}
	now := c.cfg.Now()
	digest, err := c.cfg.Digest(n)
	if err != nil {
		return phone.LineUnknown, err
	}
	if line, ok := c.cached(ctx, now, digest); ok {
		return line, nil
	}
	line, source, err := c.askServices(ctx, n)
	if err == nil {
		c.keep(ctx, now, digest, line, source)
	}
	return line, err
}

// askServices asks one service after the other until one answers.
func (c *Chain) askServices(ctx context.Context, n phone.Number) (phone.LineType, string, error) {
	s := c.services.Load()
	var last error
	for _, service := range s.all {
		name := service.provider.Name()
		if service.isOpen() {
			c.cfg.Metrics.Lookup(name, "breaker_open")
			continue
		}
		if !s.budget.AllowN(c.cfg.Now(), 1) {
			// Who asks for codes for ever new numbers does not run up a bill.
			c.cfg.Metrics.Lookup(name, "limited")
			continue
		}
		line, err := service.ask(ctx, n)
		if err == nil {
			return line, name, nil
		}
		last = err
		c.giveSaid.Do(func() {
			c.cfg.Log.WarnContext(ctx, "a look-up of a line type failed", "provider", name, "reason", carrier.Classify(err).Reason)
		})
	}
	return phone.LineUnknown, "", errors.Join(errNobody, last)
}

// cached is what the cache has. One that fails is passed over.
func (c *Chain) cached(ctx context.Context, now time.Time, digest [16]byte) (phone.LineType, bool) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	fact, ok, err := c.cfg.Cache.LineFact(ctx, now, digest)
	line, named := phone.LineTypeNamed(fact.Type)
	switch {
	case err != nil:
		c.cacheFailed(err)
	case !ok || !named || !fact.Until.After(now):
		c.cfg.Metrics.Lookup("cache", "missing")
	default:
		c.cfg.Metrics.Lookup("cache", outcomeOf(line))
		return line, true
	}
	return phone.LineUnknown, false
}

func (c *Chain) keep(ctx context.Context, now time.Time, digest [16]byte, line phone.LineType, source string) {
	ctx, cancel := context.WithTimeout(ctx, cacheTimeout)
	defer cancel()
	life := keepKnown
	if line == phone.LineUnknown {
		life = keepUnknown
	}
	fact := store.LineFact{Phone: digest, Type: line.String(), Source: source, Until: now.Add(life)}
	if err := c.cfg.Cache.PutLineFacts(ctx, now, []store.LineFact{fact}); err != nil {
		c.cacheFailed(err)
	}
}

func (c *Chain) cacheFailed(err error) {
	c.cfg.Metrics.Lookup("cache", "failed")
	c.cacheSaid.Do(func() {
		c.cfg.Log.Warn("line types are not cached: every look-up is paid for", "error", err)
	})
}

func outcomeOf(line phone.LineType) string {
	if line == phone.LineUnknown {
		return "unknown"
	}
	return "known"
}
