// Package audittest gives tests of other packages a trail whose store can fail.
package audittest

import (
	"context"
	"slices"
	"sync"
	"time"

	"codeword/internal/audit"
	"codeword/internal/store"
)

// Operator is who acts in tests.
const Operator = "cli:tester"

// Log is an audit.Store in memory, in front of another one if there is one.
type Log struct {
	// Behind, when not nil, gets the entries as well.
	Behind audit.Store

	mu      sync.Mutex
	entries []store.Event
	err     error
	after   int
}

// AppendEvents implements audit.Store.
func (l *Log) AppendEvents(ctx context.Context, events []store.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.err != nil && l.after == 0 {
		return l.err
	}
	l.after--
	l.entries = append(l.entries, events...)
	if l.Behind != nil {
		return l.Behind.AppendEvents(ctx, events)
	}
	return nil
}

// Fail lets all calls fail with err from now on, but for the first few; nil ends that.
func (l *Log) Fail(err error, first int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.after = err, first
}

// Take returns the entries since the last call, oldest first.
func (l *Log) Take() []store.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.entries)
	l.entries = nil
	return out
}

// Trail is a trail that ends here.
func (l *Log) Trail(now func() time.Time) *audit.Trail { return &audit.Trail{Store: l, Now: now} }
