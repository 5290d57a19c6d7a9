// Package group gathers operations that are made durable together: callers queue
// them and wait, and an engine takes everything that is queued as one group,
// carries it out in one transaction, and answers all of them.
package group

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// RetryAfter is what callers are told when a store cannot take their call.
const RetryAfter = time.Second

// Config says whose queue it is and how much may wait.
type Config struct {
	// Engine begins the detail of every refusal.
	Engine string
	// Queue bounds the operations that wait; beyond it calls are refused at once.
	Queue int
	// Max bounds the operations in one group.
	Max int
	// Observe is told how long things take; the zero value measures nothing.
	Observe store.Observe
}

// Commit carries out a group. It fills results, which has one entry for each
// operation and is otherwise answered as it is.
type Commit[Op any] func(ops []Op, results []error)

// Queue is where operations wait. It is safe for concurrent use.
type Queue[Op any] struct {
	cfg     Config
	waiting chan *task[Op]
	tasks   sync.Pool
	stop    chan struct{}
	ended   chan struct{}
	takers  sync.WaitGroup
	closing sync.Once
}

// task is one operation on its way.
type task[Op any] struct {
	op   Op
	done chan error
	// at is when it was queued, if anybody wants to know.
	at time.Time
	// state decides the race between a taker and a caller who gives up.
	state atomic.Int32
}

const (
	queued int32 = iota
	running
	abandoned
)

// New returns an open queue that nobody takes from yet.
func New[Op any](cfg Config) *Queue[Op] {
	q := &Queue[Op]{
		cfg:     cfg,
		waiting: make(chan *task[Op], cfg.Queue),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	q.tasks.New = func() any { return &task[Op]{done: make(chan error, 1)} }
	return q
}

// Do queues an operation and waits for its answer. A full queue refuses at once:
// waiting longer would only make everybody late. A caller whose ctx ends is told
// so only while the operation has not begun.
func (q *Queue[Op]) Do(ctx context.Context, op Op) error {
	t, _ := q.tasks.Get().(*task[Op])
	t.op = op
	t.state.Store(queued)
	if q.cfg.Observe.Now != nil {
		t.at = q.cfg.Observe.Now()
	}
	select {
	case <-q.stop:
		return q.Unavailable("store is closed", nil)
	default:
	}
	select {
	case q.waiting <- t:
	default:
		q.free(t)
		return q.Unavailable("write queue is full", nil)
	}
	select {
	case err := <-t.done:
		q.free(t)
		return err
	case <-ctx.Done():
		if t.state.CompareAndSwap(queued, abandoned) {
			return q.Unavailable("gave up before the write began", ctx.Err())
		}
		// It is being written; its answer is at most one commit away.
		return <-t.done
	case <-q.ended:
		select {
		case err := <-t.done:
			return err
		default:
			return q.Unavailable("store is closed", nil)
		}
	}
}

func (q *Queue[Op]) free(t *task[Op]) {
	var none Op
	t.op = none
	q.tasks.Put(t)
}

// Len is how many operations wait.
func (q *Queue[Op]) Len() int { return len(q.waiting) }

// Start has one more goroutine take groups and commit them, until Close. between
// may be nil; what comes from it runs between two groups.
func (q *Queue[Op]) Start(commit Commit[Op], between <-chan func()) {
	q.takers.Go(func() {
		tk := taker[Op]{queue: q, commit: commit, tasks: make([]*task[Op], 0, q.cfg.Max)}
		for {
			select {
			case t := <-q.waiting:
				tk.take(t)
			case f := <-between:
				f()
			case <-q.stop:
				for {
					select {
					case t := <-q.waiting:
						tk.take(t)
					default:
						return
					}
				}
			}
		}
	})
}

// taker is one goroutine of Start with what it uses again for each group.
type taker[Op any] struct {
	queue   *Queue[Op]
	commit  Commit[Op]
	tasks   []*task[Op]
	ops     []Op
	results []error
}

// take makes a group of what is queued, and commits and answers it. It yields once
// first, so that callers who were just answered, and are runnable, can join this
// group and not the next.
func (tk *taker[Op]) take(first *task[Op]) {
	runtime.Gosched()
	tk.tasks, tk.ops = tk.tasks[:0], tk.ops[:0]
	for t := first; t != nil; {
		if t.state.CompareAndSwap(queued, running) {
			tk.tasks = append(tk.tasks, t)
			tk.ops = append(tk.ops, t.op)
		}
		if t = nil; len(tk.tasks) < tk.queue.cfg.Max {
			select {
			case t = <-tk.queue.waiting:
			default:
			}
		}
	}
	if len(tk.ops) == 0 {
		return
	}
	tk.results = append(tk.results[:0], make([]error, len(tk.ops))...)
	tk.carryOut()
	for i, t := range tk.tasks {
		t.done <- tk.results[i]
	}
	clear(tk.ops)
}

// carryOut commits the group, and measures that if it is to be measured.
func (tk *taker[Op]) carryOut() {
	o := tk.queue.cfg.Observe
	if o.Now == nil {
		tk.commit(tk.ops, tk.results)
		return
	}
	began := o.Now()
	for _, t := range tk.tasks {
		o.Waited(began.Sub(t.at))
	}
	tk.commit(tk.ops, tk.results)
	o.Committed(o.Now().Sub(began))
}

// Ended is closed once Close has answered everything.
func (q *Queue[Op]) Ended() <-chan struct{} { return q.ended }

// Close refuses what comes, has what is queued answered, and waits for it.
func (q *Queue[Op]) Close() {
	q.closing.Do(func() {
		close(q.stop)
		q.takers.Wait()
		close(q.ended)
	})
}

// Unavailable is the one thing that callers need to know of whatever an engine
// cannot do: nothing was acknowledged.
func (q *Queue[Op]) Unavailable(detail string, cause error) *fault.Error {
	return Unavailable(q.cfg.Engine, detail, cause)
}

// Unavailable is Queue.Unavailable for calls that do not go through a queue.
func Unavailable(engine, detail string, cause error) *fault.Error {
	return &fault.Error{Kind: fault.Unavailable, Detail: engine + ": " + detail, RetryAfter: RetryAfter, Cause: cause}
}

// Refusal tells whether err is a *fault.Error: an answer of the rules, or of an
// engine that has said already that it is unavailable.
func Refusal(err error) bool {
	var f *fault.Error
	return errors.As(err, &f)
}
