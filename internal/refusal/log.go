package refusal

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

const (
	// Of each client some at once, and then two a second: that is what a flood can fill
	// the store with.
	clientBurst = 500
	clientRate  = 2
	// repeatAfter is when the same refusal of the same number is noted again.
	repeatAfter = 30 * time.Second
	// maxSeen bounds how many are known to have been noted lately.
	maxSeen = 8192
	// gatherTime is how long refusals wait for others, to be stored with them.
	gatherTime = 500 * time.Millisecond
	// storeAtOnce is how many are stored in one call: sends may wait behind it.
	storeAtOnce = 500
	// storeTimeout is how long storing them may take, and how long it may go on after the
	// end.
	storeTimeout = 3 * time.Second
)

// Config is what a Log needs. All of it is required.
type Config struct {
	Book Book
	// PhoneIDs are the ids that a number can have within a client, the primary first.
	PhoneIDs func(*tenant.Client, phone.Number) ([]store.PhoneID, error)
	Log      *slog.Logger
}

// Log notes refusals beside the calls that are refused. What is too much, or cannot be
// stored, is left out.
type Log struct {
	cfg  Config
	wake chan struct{}

	mu      sync.Mutex
	seen    map[event]time.Time
	allowed map[string]*rate.Limiter // by client
	waiting []entry
}

// event is a refusal without its time.
type event struct {
	client      string
	number      phone.Number
	code, limit string
}

// entry waits to be stored.
type entry struct {
	client  *tenant.Client
	number  phone.Number
	refusal Refusal
}

// NewLog returns a Log; Run must be running for anything to be noted.
func NewLog(cfg Config) (*Log, error) {
	if cfg.Book.Notes == nil || cfg.Book.Keys == nil || cfg.Book.Now == nil || cfg.PhoneIDs == nil || cfg.Log == nil {
		return nil, errors.New("refusal: Book, PhoneIDs and Log are required")
	}
	return &Log{
		cfg: cfg, wake: make(chan struct{}, 1),
		seen: make(map[event]time.Time), allowed: make(map[string]*rate.Limiter),
	}, nil
}

// Add notes a refusal. It never blocks for long, and nothing is stored on its way.
func (l *Log) Add(c *tenant.Client, n phone.Number, r Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := event{c.ID, n, r.Code, r.Limit}
	if at, ok := l.seen[e]; ok && lately(at, r.At) {
		return
	}
	if !l.allowance(c.ID).AllowN(r.At, 1) {
		return
	}
	if len(l.seen) >= maxSeen {
		clear(l.seen)
	}
	l.seen[e] = r.At
	r.Detail = strings.ToValidUTF8(r.Detail[:min(len(r.Detail), maxDetail)], "")
	l.waiting = append(l.waiting, entry{c, n, r})
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// lately tells whether at was a moment before now. A clock that was set back makes
// nothing wait for it.
func lately(at, now time.Time) bool {
	d := now.Sub(at)
	return d >= 0 && d < repeatAfter
}

func (l *Log) allowance(client string) *rate.Limiter {
	a := l.allowed[client]
	if a == nil {
		a = rate.NewLimiter(clientRate, clientBurst)
		l.allowed[client] = a
	}
	return a
}

// Run stores what was added until ctx ends; what is there then it stores still, as far as
// that takes no longer than storeTimeout.
func (l *Log) Run(ctx context.Context) error {
	storing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(storeTimeout, cancel) })()
	for ctx.Err() == nil {
		select {
		case <-l.wake:
			l.gather(ctx)
			l.store(storing)
		case <-ctx.Done():
		}
	}
	l.store(storing)
	return nil
}

// gather waits for more, or until ctx ends.
func (*Log) gather(ctx context.Context) {
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// store stores what waits.
func (l *Log) store(ctx context.Context) {
	l.mu.Lock()
	batch := l.waiting
	l.waiting = nil
	now := l.cfg.Book.Now()
	for e, at := range l.seen {
		if !lately(at, now) {
			delete(l.seen, e)
		}
	}
	l.mu.Unlock()
	notes := make([]store.Note, 0, len(batch))
	var errs []error
	for i := range batch {
		note, err := l.note(&batch[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		notes = append(notes, note)
	}
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for some := range slices.Chunk(notes, storeAtOnce) {
		if err := l.cfg.Book.Notes.PutNotes(limited, now, some); err != nil {
			errs = append(errs, err)
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		l.cfg.Log.WarnContext(ctx, "refused sends were not noted", "count", len(batch), "error", err)
	}
}

func (l *Log) note(e *entry) (store.Note, error) {
	ids, err := l.cfg.PhoneIDs(e.client, e.number)
	if err != nil {
		return store.Note{}, err
	}
	return l.cfg.Book.write(e.client.ID, ids[0], &e.refusal)
}
