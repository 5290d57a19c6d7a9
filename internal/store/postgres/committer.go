package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"codeword/internal/fault"
	"codeword/internal/store/group"
)

// op is one intent in a group. It may be carried out more than once (a group that
// failed is run again), so it must only depend on its input and the rows.
type op interface {
	// reads notes the rows that the operation will look at.
	reads(*rows)
	// decide looks at the rows, changes them, and notes what it adds. A *fault.Error
	// is a refusal: what was changed before it stands.
	decide(*rows) error
}

// committer carries out groups on a connection of its own, one at a time.
type committer struct {
	store *Store
	conn  *pgx.Conn
	rows  *rows
	// resting runs after a failed try to connect; until it ends nobody waits for the
	// same again.
	resting *time.Timer
}

func newCommitter(s *Store) *committer {
	return &committer{store: s, rows: newRows(uuid.New())}
}

// groupTries is how often a group is tried as a whole that lost against another
// transaction. Mostly a row appeared since it looked, and it sees that the next time.
const groupTries = 3

// commit carries out a group as one transaction. When that fails for what one of
// them, or again and again for what another transaction did, each gets a transaction
// of its own, so that none suffers for another.
func (c *committer) commit(ops []op, results []error) {
	c.store.commits.Add(1)
	c.store.operations.Add(int64(len(ops)))
	err := c.transaction(ops, results)
	for try := 1; worthRepeating(err) && try < groupTries; try++ {
		err = c.transaction(ops, results)
	}
	if err == nil {
		return
	}
	if !oneAtFault(err) || len(ops) == 1 && !worthRepeating(err) {
		c.answer(results, err)
		return
	}
	for i := range ops {
		c.alone(ops[i:i+1], results[i:i+1])
	}
}

// alone carries out one operation, again while it loses against others.
func (c *committer) alone(one []op, result []error) {
	for try := 1; ; try++ {
		err := c.transaction(one, result)
		if err == nil {
			return
		}
		if !worthRepeating(err) || try == maxTries {
			c.answer(result, err)
			return
		}
	}
}

func (c *committer) answer(results []error, err error) {
	for i := range results {
		results[i] = engineError(err)
	}
}

// oneAtFault reports whether the rest of a group may do better without the
// operation that failed. Only an answer of the server can mean that: when the
// connection broke, the transaction may even be committed.
func oneAtFault(err error) bool {
	c := code(err)
	if len(c) != 5 {
		return false
	}
	switch c[:2] {
	case "53", "57", "58": // out of resources, canceled or shutting down, input/output
		return false
	default:
		return true
	}
}

// transaction runs the operations in one transaction of two round trips: all locks
// and reads, then all writes with the commit. When it fails, results mean nothing.
func (c *committer) transaction(ops []op, results []error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.store.cfg.GroupTimeout)
	defer cancel()
	if err := c.connect(ctx); err != nil {
		return err
	}
	r := c.rows
	r.reset()
	for _, o := range ops {
		o.reads(r)
	}
	t := begin(ctx, c.conn)
	r.lock(t)
	if err := t.flush(); err != nil {
		t.rollback()
		return err
	}
	for i, o := range ops {
		if results[i] = o.decide(r); results[i] != nil && !group.Refusal(results[i]) {
			t.rollback()
			return results[i]
		}
	}
	r.write(t)
	if err := t.commit(); err != nil {
		t.rollback()
		if code(err) == "" { // no answer
			return fault.MarkUnsure(engineError(err))
		}
		return err
	}
	if len(r.messages) > 0 {
		c.store.announcer.queued()
	}
	return nil
}

// errResting is what operations are told between two tries to connect.
var errResting = errors.New("waiting to connect again")

// connectPause is between two tries to connect that fail at once.
const connectPause = 100 * time.Millisecond

func (c *committer) connect(ctx context.Context) error {
	if c.conn != nil && !c.conn.IsClosed() {
		return nil
	}
	if c.resting != nil {
		select {
		case <-c.resting.C:
			c.resting = nil
		default:
			return errResting
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.store.connConfig.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c.store.connConfig.Copy())
	if err == nil {
		if err = prepareSession(ctx, conn); err != nil {
			_ = conn.Close(ctx) // it was never used
		}
	}
	if err != nil {
		c.resting = time.NewTimer(connectPause)
		return err
	}
	c.conn = conn
	return nil
}

// hangUp closes the connection; nothing is taken any more.
func (c *committer) hangUp() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	_ = c.conn.Close(ctx) // everything was answered
}
