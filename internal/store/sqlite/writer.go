package sqlite

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
)

// tx is what an operation sees of the open transaction.
type tx struct {
	conn   *sqlite.Conn
	limits *limitCache
}

// operation is one intent. It may be run twice (a group that failed is run
// again one by one), so it must only depend on its input and the transaction.
// A *fault.Error is a refusal: what was written stands and is committed with
// the group. Any other error is the engine's and undoes the whole group.
type operation func(*tx) error

type task struct {
	run  operation
	done chan error
	// state decides the race between the writer and a caller who gives up.
	state atomic.Int32
}

const (
	taskQueued int32 = iota
	taskRunning
	taskAbandoned
)

// writer owns the only writing connection and commits in groups: everything
// that is queued runs in one transaction, is made durable by one fsync, and is
// answered together.
type writer struct {
	tx       tx
	queue    chan *task
	maxGroup int
	tasks    sync.Pool
	stop     chan struct{}
	stopped  chan struct{}
	// maintain runs between groups, on the writer's goroutine.
	maintain chan func()
	// dead is set once the file itself is damaged; nothing is written any more.
	dead atomic.Pointer[error]
	// lost is closed when it died of a failed fsync.
	lost     chan struct{}
	loseOnce sync.Once
	// groups and operations count commits and what they carried.
	groups, operations atomic.Int64
}

func newWriter(conn *sqlite.Conn, queue, maxGroup int) *writer {
	w := &writer{
		tx:       tx{conn: conn, limits: newLimitCache()},
		queue:    make(chan *task, queue),
		maxGroup: maxGroup,
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		maintain: make(chan func()),
		lost:     make(chan struct{}),
	}
	w.tasks.New = func() any { return &task{done: make(chan error, 1)} }
	go w.loop()
	return w
}

// do queues an operation and waits until it is durable. A full queue refuses at
// once: waiting longer would only make everybody late.
func (w *writer) do(ctx context.Context, run operation) error {
	t, _ := w.tasks.Get().(*task)
	t.run = run
	t.state.Store(taskQueued)
	select {
	case <-w.stop:
		return unavailable("store is closed", nil)
	default:
	}
	select {
	case w.queue <- t:
	default:
		t.run = nil
		w.tasks.Put(t)
		return unavailable("write queue is full", nil)
	}
	select {
	case err := <-t.done:
		t.run = nil
		w.tasks.Put(t)
		return err
	case <-ctx.Done():
		if t.state.CompareAndSwap(taskQueued, taskAbandoned) {
			return unavailable("gave up before the write began", ctx.Err())
		}
		// It is being written; its answer is at most one commit away.
		return <-t.done
	case <-w.stopped:
		select {
		case err := <-t.done:
			return err
		default:
			return unavailable("store is closed", nil)
		}
	}
}

func (w *writer) loop() {
	defer close(w.stopped)
	group := make([]*task, 0, w.maxGroup)
	for {
		select {
		case t := <-w.queue:
			group = w.gather(append(group[:0], t))
			w.commit(group)
		case f := <-w.maintain:
			f()
		case <-w.stop:
			for {
				group = w.gather(group[:0])
				if len(group) == 0 {
					return
				}
				w.commit(group)
			}
		}
	}
}

// gather takes what else is queued. It yields once first, so that callers who
// were just answered, and are runnable, can join this group and not the next.
func (w *writer) gather(group []*task) []*task {
	runtime.Gosched()
	for len(group) < w.maxGroup {
		select {
		case t := <-w.queue:
			group = append(group, t)
		default:
			return group
		}
	}
	return group
}

func (w *writer) commit(group []*task) {
	live := group[:0]
	for _, t := range group {
		if t.state.CompareAndSwap(taskQueued, taskRunning) {
			live = append(live, t)
		}
	}
	if len(live) == 0 {
		return
	}
	w.groups.Add(1)
	w.operations.Add(int64(len(live)))
	results := make([]error, len(live))
	if err := w.transaction(live, results); err != nil {
		if len(live) == 1 || !oneAtFault(err) || w.dead.Load() != nil {
			for i := range results {
				results[i] = engineError(err)
			}
		} else {
			for i, t := range live {
				if err := w.transaction([]*task{t}, results[i:i+1]); err != nil {
					results[i] = engineError(err)
				}
			}
		}
	}
	for i, t := range live {
		t.done <- results[i]
	}
}

// oneAtFault reports whether the rest of a group may do better without the
// operation that failed. When another process holds the lock none will, and
// each would wait for the whole busy timeout once more; nor will they on a disk
// that is full or broken.
func oneAtFault(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultFull, sqlite.ResultIOErr:
		return false
	default:
		return true
	}
}

// transaction runs the tasks in one transaction and commits it durably. When it
// fails nothing of it remains, and results mean nothing.
func (w *writer) transaction(tasks []*task, results []error) (err error) {
	if dead := w.dead.Load(); dead != nil {
		return *dead
	}
	if err := prepare(w.tx.conn, "BEGIN IMMEDIATE").exec(); err != nil {
		return w.failed(err)
	}
	defer func() {
		if err != nil {
			w.tx.limits.forget()
			// SQLite has rolled back by itself after some errors; then this
			// one fails and there is nothing left to undo.
			_ = prepare(w.tx.conn, "ROLLBACK").exec()
			err = w.failed(err)
		}
	}()
	for i, t := range tasks {
		results[i] = t.run(&w.tx)
		if results[i] == nil {
			continue
		}
		if _, refusal := results[i].(*fault.Error); !refusal { //nolint:errorlint // operations return it bare
			return results[i]
		}
	}
	if err := w.tx.limits.flush(w.tx.conn); err != nil {
		return err
	}
	return prepare(w.tx.conn, "COMMIT").exec()
}

// failed notes an error after which the file cannot be trusted: a failed fsync
// may have lost pages that the next one would report as written.
func (w *writer) failed(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		w.dead.CompareAndSwap(nil, &err)
	case sqlite.ResultIOErr:
		if sqlite.ErrCode(err) == sqlite.ResultIOErrFsync {
			w.dead.CompareAndSwap(nil, &err)
			w.loseOnce.Do(func() { close(w.lost) })
		}
	}
	return err
}

// between runs f on the writer's goroutine while no transaction is open.
func (w *writer) between(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case w.maintain <- func() { defer close(done); f() }:
		<-done
		return nil
	case <-w.stopped:
		return unavailable("store is closed", nil)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close answers what is queued and ends the loop.
func (w *writer) close() {
	close(w.stop)
	<-w.stopped
}

// retryAfter is what callers are told when the store cannot take their call.
const retryAfter = time.Second

func unavailable(detail string, cause error) *fault.Error {
	return &fault.Error{Kind: fault.Unavailable, Detail: "sqlite: " + detail, RetryAfter: retryAfter, Cause: cause}
}

// engineError turns whatever SQLite says into the one thing that callers need
// to know: nothing was acknowledged.
func engineError(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	detail := "engine error"
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked:
		detail = "busy"
	case sqlite.ResultFull:
		detail = "disk full"
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		detail = "database is damaged"
	case sqlite.ResultIOErr:
		detail = "input/output error"
	case sqlite.ResultInterrupt:
		detail = "interrupted"
	}
	return unavailable(detail, err)
}
