package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/aws"
	"codeword/internal/carrier/logline"
	"codeword/internal/carrier/smpp"
	"codeword/internal/carrier/telnyx"
	"codeword/internal/carrier/twilio"
	"codeword/internal/carrier/webhook"
	"codeword/internal/routing"
)

// carrierConfig is what all carriers of a node share.
type carrierConfig struct {
	// Sink takes what a carrier reports in band, by route; nil for commands that
	// only look at carriers.
	Sink func(route string) carrier.Sink
	// Out takes what the carrier "log" writes.
	Out io.Writer
	Now func() time.Time
	Log *slog.Logger
}

// build makes the carrier of a route. It is the one place that knows them all.
func (c *carrierConfig) build(r *routeSettings) (carrier.Carrier, error) {
	var sink carrier.Sink
	if c.Sink != nil {
		sink = c.Sink(r.Name)
	}
	switch {
	case r.SMPP != nil:
		cfg := *r.SMPP
		cfg.Sink, cfg.Now, cfg.Log = sink, c.Now, c.Log
		return smpp.New(cfg)
	case r.Twilio != nil:
		cfg := *r.Twilio
		cfg.Now = c.Now
		return twilio.New(cfg)
	case r.Telnyx != nil:
		cfg := *r.Telnyx
		cfg.Now = c.Now
		return telnyx.New(cfg)
	case r.AWS != nil:
		cfg := *r.AWS
		cfg.Now, cfg.Log = c.Now, c.Log.With("route", r.Name)
		return aws.New(cfg)
	case r.Webhook != nil:
		cfg := *r.Webhook
		cfg.Now = c.Now
		return webhook.New(cfg)
	case r.Log != nil:
		return logline.New(logline.Config{Name: r.Name, Out: c.Out, Now: c.Now})
	default:
		return nil, errors.New("no carrier block")
	}
}

// liveCarrier is a carrier of a running node.
type liveCarrier struct {
	settings routeSettings
	carrier  carrier.Carrier
	stop     context.CancelFunc
	ended    chan struct{}
}

// carriers are the carriers of a running node. They are replaced as a whole
// when the carriers file is read again; those whose settings are the same stay.
type carriers struct {
	cfg carrierConfig

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // the life of all carriers, set by start
	live    map[string]*liveCarrier
	retired []*liveCarrier
}

func newCarriers(cfg carrierConfig) *carriers {
	return &carriers{cfg: cfg, live: make(map[string]*liveCarrier)}
}

// prepare makes the carriers for the routes, keeping those that have not
// changed, and returns the routes. Nothing is in use before commit.
func (s *carriers) prepare(routes []routeSettings) (next map[string]*liveCarrier, out []routing.Route, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next = make(map[string]*liveCarrier, len(routes))
	var errs []error
	for i := range routes {
		r := &routes[i]
		l := s.live[r.Name]
		if l == nil || !reflect.DeepEqual(l.settings.carrierBlocks, r.carrierBlocks) {
			c, err := s.cfg.build(r)
			if err != nil {
				errs = append(errs, fmt.Errorf("route %q: %w", r.Name, err))
				continue
			}
			l = &liveCarrier{carrier: c}
		}
		next[r.Name] = &liveCarrier{settings: *r, carrier: l.carrier, stop: l.stop, ended: l.ended}
		out = append(out, r.route(l.carrier))
	}
	return next, out, errors.Join(errs...)
}

// commit puts prepared carriers in the place of the old ones: swap hands them
// to the router between the start of the new and the end of the old ones.
func (s *carriers) commit(next map[string]*liveCarrier, swap func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = slices.DeleteFunc(s.retired, (*liveCarrier).hasEnded)
	if s.ctx != nil {
		for _, l := range next {
			s.launch(l)
		}
	}
	gone, kept := s.live, next
	err := swap()
	if err != nil {
		gone, kept = next, s.live
	}
	for name, l := range gone {
		if k := kept[name]; (k == nil || k.carrier != l.carrier) && l.stop != nil {
			// Sends that are on their way may still need it.
			time.AfterFunc(retireAfter, l.stop)
			s.retired = append(s.retired, l)
		}
	}
	s.live = kept
	return err
}

// hasEnded tells whether nothing of the carrier runs any more.
func (l *liveCarrier) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// retireAfter is longer than any send.
const retireAfter = 15 * time.Second

// launch starts what a carrier keeps running, once.
func (s *carriers) launch(l *liveCarrier) {
	runner, ok := l.carrier.(carrier.Runner)
	if !ok || l.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(s.ctx) //nolint:gosec // called when the carrier is retired, and at the latest with s.ctx
	l.stop, l.ended = stop, make(chan struct{})
	go func() {
		defer close(l.ended)
		if err := runner.Run(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "a carrier stopped", "route", l.settings.Name, "error", err)
		}
	}()
}

// run keeps the carriers' connections until ctx ends, and then closes them.
func (s *carriers) run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, l := range s.live {
		s.launch(l)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	leaving := slices.AppendSeq(slices.Clone(s.retired), maps.Values(s.live))
	s.mu.Unlock()
	for _, l := range leaving { // not under the lock: what comes in until then looks its carrier up
		if l.ended != nil {
			<-l.ended
		}
	}
	return nil
}

// find returns the carrier of a route.
func (s *carriers) find(route string) (*liveCarrier, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.live[route]
	return l, ok
}

// Callback implements server.Callbacks.
func (s *carriers) Callback(route string) (carrier.Callback, bool) {
	l, ok := s.find(route)
	if !ok {
		return nil, false
	}
	c, ok := l.carrier.(carrier.Callback)
	return c, ok
}

// replier is the carrier that answers STOP and HELP on a route, if we do.
func (s *carriers) replier(route string) carrier.Carrier {
	l, ok := s.find(route)
	if !ok || !l.settings.repliesItself() {
		return nil
	}
	return l.carrier
}

// repliesItself tells whether STOP and HELP are ours to answer.
func (r *routeSettings) repliesItself() bool {
	if r.AutoReply != nil {
		return *r.AutoReply
	}
	return r.SMPP != nil || r.Webhook != nil
}

// route is the route as the router takes it.
func (r *routeSettings) route(c carrier.Carrier) routing.Route {
	return routing.Route{
		Name: r.Name, Carrier: c,
		Priority: r.Priority, Weight: r.Weight, AreaCodes: r.AreaCodes,
		PriceMicros: int64(math.Round(r.Price * 1e6)), Rate: r.Rate,
		ReceiptTimeout: r.ReceiptTimeout, UnknownTimeout: r.UnknownTimeout,
	}
}
