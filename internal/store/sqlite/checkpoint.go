package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"
)

const (
	checkpointEvery = 500 * time.Millisecond
	// checkpointFrames is how long the log may grow before it is folded into the
	// file in the background.
	checkpointFrames = 4000
	// checkpointIdle is how many rounds the log may wait for more.
	checkpointIdle = 10
	// checkpointHard is the length at which the writer pauses for the last few
	// frames, so that the log starts again from its beginning. Under constant
	// load a background checkpoint alone never catches up.
	checkpointHard = 16000
)

// checkpointer folds the write-ahead log into the file on its own connection,
// so that no commit pays for it.
type checkpointer struct {
	conn    *sqlite.Conn
	writer  *writer
	cancel  context.CancelFunc
	stopped chan struct{}
}

func newCheckpointer(conn *sqlite.Conn, w *writer) *checkpointer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &checkpointer{conn: conn, writer: w, cancel: cancel, stopped: make(chan struct{})}
	go c.loop(ctx)
	return c
}

func (c *checkpointer) loop(ctx context.Context) {
	defer close(c.stopped)
	tick := time.NewTicker(checkpointEvery)
	defer tick.Stop()
	var folded int64
	idle := 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// Most operations write a few frames, but a claim or a sweep may write
		// hundreds; so a few operations wait, but not for long.
		ops := c.writer.operations.Load()
		if idle++; ops == folded || ops-folded < checkpointFrames/8 && idle < checkpointIdle {
			continue
		}
		folded, idle = ops, 0
		if frames := c.fold(c.conn); frames >= checkpointHard {
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
