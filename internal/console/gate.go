package console

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"codeword/api"
)

const (
	// maxAtOnce is how many requests of operators are worked on at a time: whatever they
	// read of the store, they leave room for the sends beside them. A request that is
	// answered to somebody who does not read counts until its write times out, so that
	// one person gets only oneAtOnce of these places.
	maxAtOnce, oneAtOnce = 16, 4
	// maxOfOne is how many of one person may be worked on or wait. It is not for the
	// holders of the admin token, many machines perhaps, who are trusted with it.
	maxOfOne = 32
	// gateWait is how long a request waits for its turn.
	gateWait = 10 * time.Second
)

// ungated tells which paths take as long as they are wanted, or read no store.
func ungated(path string) bool {
	return path == livePath || path == "/metrics" || strings.HasPrefix(path, "/debug/")
}

// gate bounds the requests that are worked on. It is safe for concurrent use.
type gate struct {
	places chan struct{}

	mu sync.Mutex
	// people are those of whom there are requests.
	people map[string]*visitor
}

// visitor is one person at a gate.
type visitor struct {
	places   chan struct{}
	requests int
}

func newGate() *gate {
	return &gate{places: make(chan struct{}, maxAtOnce), people: map[string]*visitor{}}
}

// enter waits for a place. The person is a subject, or empty for the token. What it returns gives the place back; nil: there is none.
func (g *gate) enter(ctx context.Context, person string) (leave func()) {
	v := g.come(person)
	if v == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gateWait)
	defer cancel()
	if take(ctx, v.places) {
		if take(ctx, g.places) {
			return func() { <-g.places; <-v.places; g.gone(person) }
		}
		<-v.places
	}
	g.gone(person)
	return nil
}

func take(ctx context.Context, places chan<- struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// come counts a request; nil when there are too many of that person.
func (g *gate) come(person string) *visitor {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.people[person]
	switch {
	case v == nil:
		v = &visitor{places: make(chan struct{}, oneAtOnce)}
		g.people[person] = v
	case v.requests >= maxOfOne && person != "":
		return nil
	}
	v.requests++
	return v
}

func (g *gate) gone(person string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.people[person]
	if v.requests--; v.requests == 0 {
		delete(g.people, person)
	}
}

// gated lets a request through when it is its turn.
func (c *Console) gated(as kind, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		leave := c.gate.enter(r.Context(), who(r.Context()).Subject)
		if leave == nil {
			w.Header().Set("Retry-After", "1")
			if as == asPage {
				c.problem(w, r, http.StatusServiceUnavailable, "", "Busy", "Too much is asked of the console at once.")
				return
			}
			c.refuseCode(w, http.StatusServiceUnavailable, api.CodeUnavailable)
			return
		}
		defer leave()
		h(w, r)
	}
}
