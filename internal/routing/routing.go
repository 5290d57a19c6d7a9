// Package routing decides over which carrier a message leaves: it keeps the
// configured routes, knows how each of them fares, and gives every message a
// [Plan], which yields one route after the other until a carrier has taken it.
//
// A route is left out while its breaker is open or while it no longer answers,
// and is used more sparingly while the codes that it brings are not verified.
// Nothing here sends anything, and nothing is stored: a process learns anew how
// its routes fare, within minutes.
package routing

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// Route is one way out, as an operator configures it.
type Route struct {
	// Name is unique, not "inbox", and 1 to 32 of a to z, 0 to 9, "-" and "_",
	// beginning with a letter or digit.
	Name    string
	Carrier carrier.Carrier
	// Priority: routes with the lowest number are used as long as they can be.
	Priority int
	// Weight is the share of the messages among routes of one priority. 0 means
	// 1.
	Weight int
	// AreaCodes limits the route to numbers of these area codes; empty: to none.
	AreaCodes []string
	// PriceMicros is what one segment costs, in millionths of a US dollar.
	PriceMicros int64
	// Rate is how many messages a second this process hands over at most; 0: no
	// limit.
	Rate float64
	// ReceiptTimeout is how long a message that the carrier took may go without
	// a receipt before another route gets it; 0: forever.
	ReceiptTimeout time.Duration
	// UnknownTimeout is the same for a message of which it is not known whether
	// the carrier took it.
	UnknownTimeout time.Duration
}

// Config is what a Router needs. Inbox is required; of the rest the zero value
// means the default.
type Config struct {
	// Inbox takes the messages of test clients, and those of live clients while
	// there are no routes.
	Inbox carrier.Carrier
	// Routes may be empty.
	Routes []Route
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Rand returns numbers from 0 to below 1. Default rand.Float64.
	Rand func() float64
	// Log gets what an operator should know. Default: discarded.
	Log *slog.Logger
	// OpenFor is how long a breaker stays open before the route is probed.
	// Default 5 s.
	OpenFor time.Duration
	// MinSamples is how many messages it takes to believe in a route's health.
	// Default 20.
	MinSamples int
	// Explore is the share of the messages that go to a route only to learn how
	// it fares. Default 0.02; negative: none.
	Explore float64
	Metrics Metrics
}

// Metrics are called as things happen, concurrently; each may be nil.
type Metrics struct {
	// Failed: a route failed to take a message, for one of the reasons of package
	// carrier or one of the carrier's own.
	Failed func(route, reason string)
	// Breaker: the breaker of a route has become "closed", "half-open" or "open".
	Breaker func(route, state string)
	// Misconfigured: a carrier refused a message in a way in which it will refuse
	// others until an operator acts.
	Misconfigured func(route, reason string)
}

func (m *Metrics) setDefaults() {
	if m.Failed == nil {
		m.Failed = func(string, string) {}
	}
	if m.Breaker == nil {
		m.Breaker = func(string, string) {}
	}
	if m.Misconfigured == nil {
		m.Misconfigured = func(string, string) {}
	}
}

// Router is what the process knows about its routes. It is safe for concurrent
// use.
type Router struct {
	cfg   Config
	table atomic.Pointer[table]
	// swap is held by Swap.
	swap   sync.Mutex
	graded graded
}

// table is one set of routes, by priority and then by name. It never changes.
type table struct {
	routes []*route
	byName map[string]*route
}

// route is a Route, parsed, and how it fares.
type route struct {
	Route
	areas   map[int]bool // nil: all
	limiter *limiter
	*state
}

// New returns a Router, or an error that names every wrong field.
func New(cfg Config) (*Router, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OpenFor == 0 {
		cfg.OpenFor = 5 * time.Second
	}
	if cfg.MinSamples == 0 {
		cfg.MinSamples = 20
	}
	if cfg.Explore == 0 {
		cfg.Explore = 0.02
	}
	cfg.Metrics.setDefaults()
	var errs []error
	if cfg.Inbox == nil {
		errs = append(errs, errors.New("inbox: required"))
	}
	if cfg.OpenFor < 0 {
		errs = append(errs, errors.New("open-for: negative"))
	}
	if cfg.MinSamples < 0 {
		errs = append(errs, errors.New("min-samples: negative"))
	}
	if !(cfg.Explore <= 1) {
		errs = append(errs, errors.New("explore: over 1"))
	}
	r := &Router{cfg: cfg}
	r.table.Store(&table{})
	if err := errors.Join(append(errs, r.Swap(cfg.Routes))...); err != nil {
		return nil, err
	}
	return r, nil
}

// Swap replaces the routes. One that keeps its name and its carrier keeps what
// is known of it, and its limiter if the rate stays. Messages on their way over
// a route that is gone are finished; they fail over to the new ones. After an
// error, which names every wrong field, everything is as before.
func (r *Router) Swap(routes []Route) error {
	r.swap.Lock()
	defer r.swap.Unlock()
	old := r.table.Load()
	next := &table{byName: make(map[string]*route, len(routes))}
	var errs []error
	for i, cfg := range routes {
		if cfg.Weight == 0 {
			cfg.Weight = 1
		}
		areas, err := cfg.parse()
		if cfg.Carrier == nil {
			err = errors.Join(err, errors.New("carrier: required"))
		}
		if err == nil && next.byName[cfg.Name] != nil {
			err = errors.New("name: there is another route of that name")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("routes[%d]: %w", i, err))
			continue
		}
		rt := &route{Route: cfg, areas: areas}
		if was := old.byName[cfg.Name]; was != nil && same(was.Carrier, cfg.Carrier) {
			rt.state = was.state
			if was.Rate == cfg.Rate {
				rt.limiter = was.limiter
			}
		}
		if rt.state == nil {
			rt.state = r.newState(cfg.Name)
		}
		if rt.limiter == nil {
			rt.limiter = newLimiter(cfg.Rate)
		}
		next.byName[cfg.Name] = rt
		next.routes = append(next.routes, rt)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	slices.SortFunc(next.routes, func(a, b *route) int {
		if a.Priority != b.Priority {
			return a.Priority - b.Priority
		}
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	r.table.Store(next)
	return nil
}

// same tells whether two carriers are one; carriers that cannot be compared
// are not.
func same(a, b carrier.Carrier) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}

var routeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// maxPriority and maxWeight keep sums far from overflow.
const (
	maxPriority = 1000
	maxWeight   = 1_000_000
)

// Validate reports every wrong field but Carrier, joined.
func (c *Route) Validate() error {
	_, err := c.parse()
	return err
}

// parse returns the area codes, or an error that names every wrong field.
func (c *Route) parse() (map[int]bool, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(routeName.MatchString(c.Name) && c.Name != tenant.RouteInbox,
		"name: %q is no name of a route (a-z, 0-9, - and _, at most 32, not %q)", c.Name, tenant.RouteInbox)
	check(c.Priority >= 0 && c.Priority <= maxPriority, "priority: not within 0 to %d", maxPriority)
	check(c.Weight > 0 && c.Weight <= maxWeight, "weight: not within 1 to %d", maxWeight)
	check(c.PriceMicros >= 0, "price: negative")
	check(c.Rate == 0 || c.Rate >= 0.01 && c.Rate <= math.MaxInt32, "rate: neither 0 nor a number of messages a second from 0.01 on")
	check(c.ReceiptTimeout >= 0, "receipt-timeout: negative")
	check(c.UnknownTimeout >= 0, "unknown-timeout: negative")
	var areas map[int]bool
	if len(c.AreaCodes) > 0 {
		areas = make(map[int]bool, len(c.AreaCodes))
	}
	for _, text := range c.AreaCodes {
		code, err := strconv.Atoi(text)
		check(err == nil && len(text) == 3 && code >= 200, "area-codes: %q is not an area code", text)
		check(!areas[code], "area-codes: %q is in the list already", text)
		areas[code] = true
	}
	return areas, errors.Join(errs...)
}

// usesInbox tells whether the messages of a client go to the inbox: those of a
// test client always, those of a live one if it names the inbox, which it then
// gets alone, or while there are no routes that it could take by default.
func (t *table) usesInbox(c *tenant.Client) bool {
	if !c.Live {
		return true
	}
	if len(c.Settings.Routes) == 0 {
		return len(t.routes) == 0
	}
	return slices.Contains(c.Settings.Routes, tenant.RouteInbox)
}

// UsesInbox tells whether the messages of a client go to the inbox now.
func (r *Router) UsesInbox(c *tenant.Client) bool { return r.table.Load().usesInbox(c) }

// allows tells whether a client may use the route.
func (rt *route) allows(c *tenant.Client) bool {
	return len(c.Settings.Routes) == 0 || slices.Contains(c.Settings.Routes, rt.Name)
}

// Price is what a segment of the client's messages is expected to cost, in
// millionths of a US dollar: that of the dearest route of those that they take first.
func (r *Router) Price(c *tenant.Client) (micros int64) {
	first := -1
	for _, rt := range r.table.Load().routes { // by priority
		if !rt.allows(c) {
			continue
		}
		if first < 0 {
			first = rt.Priority
		}
		if rt.Priority != first {
			break
		}
		micros = max(micros, rt.PriceMicros)
	}
	return micros
}

// Available is false when every route that the client may take is down, or
// refuses everything until an operator acts, so that a message accepted now
// could not be sent at once.
func (r *Router) Available(c *tenant.Client) bool {
	t := r.table.Load()
	if t.usesInbox(c) {
		return true
	}
	now := r.cfg.Now()
	return slices.ContainsFunc(t.routes, func(rt *route) bool {
		if !rt.allows(c) {
			return false
		}
		reason, _ := rt.trouble(now)
		return reason == "" && !rt.shut(now)
	})
}

// Verified is told of messages whose codes were used.
func (r *Router) Verified(messages []store.Verified) {
	t, now := r.table.Load(), r.cfg.Now()
	for _, v := range messages {
		if rt := t.byName[v.Route]; rt != nil {
			rt.health.add(now, v.CreatedAt, 0, 1)
		}
	}
}
