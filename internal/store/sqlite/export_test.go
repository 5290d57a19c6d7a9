package sqlite

import (
	"context"
	"errors"
	"time"

	"zombiezen.com/go/sqlite"
)

// ErrEngine is what OperationFails fails with.
var ErrEngine = errors.New("the engine failed")

// Hold keeps the writer from beginning another group until release is called.
func (s *Store) Hold() (release func()) {
	held, released := make(chan struct{}), make(chan struct{})
	go func() {
		_ = s.writer.between(context.Background(), func() { close(held); <-released })
	}()
	<-held
	return func() { close(released) }
}

// WriterPragma runs a pragma on the writer's connection between groups.
func (s *Store) WriterPragma(sql string) (err error) {
	held := s.writer.between(context.Background(), func() { err = pragma(s.writer.tx.conn, sql) })
	return errors.Join(held, err)
}

// WriterSetting reads a pragma of the writer's connection.
func (s *Store) WriterSetting(sql string) (v int, err error) {
	held := s.writer.between(context.Background(), func() { v, err = pragmaInt(s.writer.tx.conn, sql) })
	return v, errors.Join(held, err)
}

// OperationFails queues an operation that writes and then fails as an engine
// does, counting its runs.
func (s *Store) OperationFails(ctx context.Context, runs *int) error {
	return s.writer.do(ctx, func(t *tx) error {
		*runs++
		if err := prepare(t.conn, `UPDATE padding SET n = n + 1000000 WHERE id = 1`).exec(); err != nil {
			return err
		}
		return ErrEngine
	})
}

// Padding reads what refusals write.
func (s *Store) Padding(ctx context.Context) (n int64, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		_, err := prepare(conn, `SELECT n FROM padding WHERE id = 1`).one(func(st *sqlite.Stmt) { n = st.ColumnInt64(0) })
		return err
	})
	return n, err
}

// TakeReader takes a connection out of the read pool until give is called.
func (s *Store) TakeReader() (give func()) {
	conn := <-s.readers
	return func() { s.readers <- conn }
}

// WithCheckpoint sets when the log is folded.
func WithCheckpoint(cfg Config, every time.Duration, operations, hard int64) Config {
	cfg.checkpoint = checkpointLimits{every: every, operations: operations, idle: 1, hard: hard}
	return cfg
}

// Gathered counts the bytes that wait in the VFS to be written to any log.
func Gathered() (n int) {
	wals.mu.RLock()
	defer wals.mu.RUnlock()
	for _, g := range wals.byFile {
		n += len(g.buf)
	}
	return n
}

// LargeFailure queues an operation that dirties many pages and then fails.
func (s *Store) LargeFailure(ctx context.Context, rows int) error {
	return s.writer.do(ctx, func(t *tx) error {
		for i := range rows {
			key := append([]byte{byte(i >> 8), byte(i)}, make([]byte, 900)...)
			if err := prepare(t.conn, `INSERT INTO limits (limit_key, tat) VALUES (?, 1)`).blob(key).exec(); err != nil {
				return err
			}
		}
		return ErrEngine
	})
}

// TookSincePlan tells how TookSince is carried out.
func (s *Store) TookSincePlan(ctx context.Context) (plan string, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, "EXPLAIN QUERY PLAN "+tookSince).each(func(st *sqlite.Stmt) { plan += st.ColumnText(3) + "\n" })
	})
	return plan, err
}
