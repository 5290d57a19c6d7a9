package delivery

import (
	"sync"
	"time"

	"codeword/internal/store"
)

// turns knows, for each client, the oldest message that was sent away to wait
// for its turn on a busy route.
type turns struct {
	mu      sync.Mutex
	waiting map[string]turn
}

// turn is a message that waits: when it was accepted, and until when it can be
// taken to wait still.
type turn struct{ accepted, until time.Time }

// turnGrace is for a message whose turn has come to be claimed.
const turnGrace = time.Second

// note notes a message that comes back at a time.
func (t *turns) note(m *store.Message, now, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if oldest := t.waiting[m.Client]; now.Before(oldest.until) && oldest.accepted.Before(m.CreatedAt) {
		return
	}
	if t.waiting == nil {
		t.waiting = make(map[string]turn)
	}
	t.waiting[m.Client] = turn{accepted: m.CreatedAt, until: at.Add(turnGrace)}
}

// since tells since when the client's oldest message waits; zero for none.
func (t *turns) since(client string, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.waiting[client]; now.Before(w.until) {
		return w.accepted
	}
	return time.Time{}
}

// Overloaded tells whether a message that waits for nothing but its turn was
// accepted longer than limit ago, so that more could not be sent in time, and
// after how long it makes sense to ask again. The turn may be that of any
// message with the workers, or that of the client's own on its routes. It costs
// next to nothing and is about a second behind, a few with a million messages in
// the queue. A limit of 0 or less is none.
func (l *Loop) Overloaded(client string, limit time.Duration) (overloaded bool, retryAfter time.Duration) {
	if limit <= 0 {
		return false, 0
	}
	now := l.cfg.Now()
	over := time.Duration(l.lag.Load()) - limit
	if since := l.turns.since(client, now); !since.IsZero() {
		over = max(over, now.Sub(since)-limit)
	}
	if over <= 0 {
		return false, 0
	}
	return true, min(max(over, minRetryAfter), maxRetryAfter)
}

// What Overloaded asks for: as long as the queue is behind, within reason.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 30 * time.Second
)
