package sqlite

import (
	"context"
	"os"
	"time"

	"zombiezen.com/go/sqlite"
)

// checkpointLimits say when the write-ahead log is folded into the file.
type checkpointLimits struct {
	every time.Duration
	// operations is how many may wait to be folded, and idle for how many rounds
	// fewer may: most write a few frames, but a claim or a sweep hundreds.
	operations int64
	idle       int
	// hard is the length in frames at which the writer pauses for the last few
	// frames, so that the log starts again from its beginning. Under constant
	// load a background checkpoint alone never catches up.
	hard int64
}

func defaultCheckpoint() checkpointLimits {
	return checkpointLimits{every: 500 * time.Millisecond, operations: 500, idle: 10, hard: 16000}
}

// checkpointer folds the write-ahead log into the file on its own connection,
// so that no commit pays for it.
type checkpointer struct {
	conn *sqlite.Conn
	// file is the database, for fsync alone. It must stay open for as long as any
	// connection is (see create).
	file    *os.File
	writer  *writer
	limits  checkpointLimits
	cancel  context.CancelFunc
	stopped chan struct{}
}

func newCheckpointer(conn *sqlite.Conn, file *os.File, w *writer, limits checkpointLimits) *checkpointer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &checkpointer{conn: conn, file: file, writer: w, limits: limits, cancel: cancel, stopped: make(chan struct{})}
	go c.loop(ctx)
	return c
}

func (c *checkpointer) loop(ctx context.Context) {
	defer close(c.stopped)
	tick := time.NewTicker(c.limits.every)
	defer tick.Stop()
	var folded int64
	idle := 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		ops := c.writer.operations.Load()
		if idle++; ops == folded || ops-folded < c.limits.operations && idle < c.limits.idle {
			continue
		}
		folded, idle = ops, 0
		if frames := c.fold(c.conn); frames >= c.limits.hard {
			// SQLite syncs the file only when it has folded the whole log, which
			// under load is in the writer's pause: do the bulk of it here. An error
			// will meet the sync that counts.
			_ = c.file.Sync()
			// Failure (the store is closing) only means a longer log.
			_ = c.writer.between(ctx, func() { c.fold(c.writer.tx.conn) })
		}
	}
}

// fold runs a passive checkpoint and returns the length of the log in frames.
// Errors are left to the next commit, which will meet them itself.
func (c *checkpointer) fold(conn *sqlite.Conn) (frames int64) {
	_ = prepare(conn, "PRAGMA wal_checkpoint(PASSIVE)").each(func(s *sqlite.Stmt) {
		frames = s.ColumnInt64(1)
	})
	return frames
}

func (c *checkpointer) close() {
	c.cancel()
	<-c.stopped
}
