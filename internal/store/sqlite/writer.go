package sqlite

import (
	"context"
	"sync"
	"sync/atomic"

	"zombiezen.com/go/sqlite"

	"codeword/internal/fault"
	"codeword/internal/store/group"
	"codeword/internal/store/intent"
)

// tx is what an operation sees of the open transaction.
type tx struct {
	conn   *sqlite.Conn
	limits *limitCache
	// figures are what the operations so far have caused for the roll-ups.
	figures intent.Figures
}

// operation is one intent. It may be run twice (a group that failed is run
// again one by one), so it must only depend on its input and the transaction.
// A *fault.Error is a refusal: what was written stands and is committed with
// the group. Any other error is the engine's and undoes the whole group.
type operation func(*tx) error

// writer owns the only writing connection and commits in groups: everything
// that is queued runs in one transaction, is made durable by one fsync, and is
// answered together.
type writer struct {
	tx    tx
	queue *group.Queue[operation]
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

func newWriter(conn *sqlite.Conn, cfg group.Config) *writer {
	cfg.Engine = engine
	w := &writer{
		tx:       tx{conn: conn, limits: newLimitCache()},
		queue:    group.New[operation](cfg),
		maintain: make(chan func()),
		lost:     make(chan struct{}),
	}
	w.queue.Start(w.commit, w.maintain)
	return w
}

// do queues an operation and waits until it is durable.
func (w *writer) do(ctx context.Context, run operation) error { return w.queue.Do(ctx, run) }

func (w *writer) commit(ops []operation, results []error) {
	w.groups.Add(1)
	w.operations.Add(int64(len(ops)))
	err := w.transaction(ops, results)
	if err == nil {
		return
	}
	if len(ops) == 1 || !oneAtFault(err) || w.dead.Load() != nil {
		for i := range results {
			results[i] = engineError(err)
		}
		return
	}
	for i := range ops {
		if err := w.transaction(ops[i:i+1], results[i:i+1]); err != nil {
			results[i] = engineError(err)
		}
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

// transaction runs the operations in one transaction and commits it durably. When it
// fails nothing of it remains, and results mean nothing.
func (w *writer) transaction(ops []operation, results []error) (err error) {
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
	w.tx.figures = w.tx.figures[:0]
	for i, run := range ops {
		results[i] = run(&w.tx)
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
	if err := w.tx.writeFigures(); err != nil {
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
	case <-w.queue.Ended():
		return unavailable("store is closed", nil)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// engine begins the detail of what goes wrong here.
const engine = "sqlite"

func unavailable(detail string, cause error) *fault.Error {
	return group.Unavailable(engine, detail, cause)
}

// engineError turns whatever SQLite says into the one thing that callers need
// to know: nothing was acknowledged.
func engineError(err error) error {
	if err == nil || group.Refusal(err) {
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
