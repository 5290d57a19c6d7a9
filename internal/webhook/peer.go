package webhook

import (
	"math/rand/v2"
	"time"

	"codeword/internal/store"
)

// peer is what this process knows of an endpoint's behavior.
type peer struct {
	// window is how many deliveries may run at once, flights how many do.
	window, flights int
	// proven: it took something since this process began. slow: the last time that took
	// longer than slowAfter.
	proven, slow bool
	// failures are those in a row, failed is when the last one was counted; until pause
	// nothing is tried.
	failures int
	failed   time.Time
	pause    time.Time
}

const (
	// firstPause is how long an endpoint rests after pauseAfter failures in a row; each
	// further one doubles it, up to maxPause.
	pauseAfter = 3
	firstPause = 2 * time.Second
	maxPause   = 5 * time.Minute
	// firstRetry is how long a delivery waits after its first failure; each further one
	// triples it, up to maxRetry.
	firstRetry = 5 * time.Second
	maxRetry   = time.Hour
	// slowAfter is how long an answer may take of an endpoint that may have any place.
	slowAfter = 2 * time.Second
)

// doubtful tells whether its deliveries may well end at nothing, or take long: thousands
// of endpoints that never answer must not take all places, not in the first seconds
// either, and no more must those that answer just in time.
func (p *peer) doubtful() bool { return p.failures > 0 || !p.proven || p.slow }

// rooms tells how many deliveries may be claimed for which endpoints.
func (l *Loop) rooms() ([]store.EndpointRoom, map[store.EndpointID]*Endpoint) {
	all := l.cfg.Registry.view.Load().all
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []store.EndpointRoom
	endpoints := make(map[store.EndpointID]*Endpoint, len(all))
	forFailing := maxFlights/2 - l.failing
	// In any order, so that of many none is always the last.
	for _, i := range rand.Perm(len(all)) { //nolint:gosec // chance, no secret
		e := &all[i]
		p := l.peer(e.ID)
		if !e.Enabled() || now.Before(p.pause) {
			continue
		}
		room := p.window - p.flights
		if p.doubtful() {
			room = min(room, forFailing)
		}
		if room <= 0 {
			continue
		}
		if p.doubtful() {
			forFailing -= room
		}
		out = append(out, store.EndpointRoom{Endpoint: e.ID, Limit: room})
		endpoints[e.ID] = e
	}
	l.forget(all)
	return out, endpoints
}

// free tells how many more deliveries may run at once.
func (l *Loop) free() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maxFlights - l.flights
}

// forget drops what is known of endpoints that are gone; mu is held.
func (l *Loop) forget(all []Endpoint) {
	if len(l.peers) <= len(all) {
		return
	}
	there := make(map[store.EndpointID]bool, len(all))
	for i := range all {
		there[all[i].ID] = true
	}
	for id, p := range l.peers {
		if !there[id] && p.flights == 0 {
			delete(l.peers, id)
		}
	}
}

// peer returns what is known of an endpoint; mu is held.
func (l *Loop) peer(id store.EndpointID) *peer {
	p := l.peers[id]
	if p == nil {
		p = &peer{window: startWindow}
		l.peers[id] = p
	}
	return p
}

// takeOff counts a delivery that begins, and tells whether its endpoint fails.
func (l *Loop) takeOff(id store.EndpointID) (p *peer, failing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p = l.peer(id)
	failing = p.doubtful()
	p.flights++
	l.flights++
	if failing {
		l.failing++
	}
	return p, failing
}

// landed learns from the outcome of a delivery that was claimed at begun.
func (l *Loop) landed(p *peer, o *store.WebhookOutcome, begun time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch o.State {
	case 0: // it was interrupted
	case store.DeliveryDone:
		p.proven, p.slow, p.failures, p.pause = true, time.Since(begun) > slowAfter, 0, time.Time{}
		p.window = min(p.window+2, maxWindow)
	default:
		p.window = 1
		if !begun.After(p.failed) {
			return // it was under way when the last failure counted for all that were
		}
		p.failures++
		p.failed = time.Now()
		if n := p.failures - pauseAfter; n >= 0 {
			p.pause = l.cfg.Now().Add(jittered(grown(firstPause, 2, n, maxPause)))
		}
	}
}

// freed gives back the room of deliveries that are recorded: until then a claim could
// bring nothing but more to record.
func (l *Loop) freed(batch []result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range batch {
		r.peer.flights--
		l.flights--
		if r.failing {
			l.failing--
		}
	}
}

// retryAfter is how long a delivery waits that was tried that often.
func retryAfter(attempts int) time.Duration {
	return jittered(grown(firstRetry, 3, attempts-1, maxRetry))
}

// grown is d, multiplied by factor n times, up to most.
func grown(d time.Duration, factor, n int, most time.Duration) time.Duration {
	for range n {
		if d *= time.Duration(factor); d >= most {
			return most
		}
	}
	return d
}

// jittered is d, or up to a fifth less or more, so that what failed together does not
// come back together.
func jittered(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.4*float64(d)) //nolint:gosec // chance, no secret
}
