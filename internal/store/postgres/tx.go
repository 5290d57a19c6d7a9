package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"codeword/internal/store/group"
)

// tx is an open transaction whose statements are pipelined: queue them, and flush
// sends them all and reads all answers in one round trip. BEGIN goes with the
// first flush.
type tx struct {
	ctx   context.Context //nolint:containedctx // of one transaction
	conn  *pgx.Conn
	batch pgx.Batch
}

func begin(ctx context.Context, conn *pgx.Conn) *tx {
	t := &tx{ctx: ctx, conn: conn}
	t.exec("BEGIN")
	return t
}

// exec queues a statement that returns no rows.
func (t *tx) exec(sql string, args ...any) { t.batch.Queue(sql, args...) }

// change queues a statement and has done told how many rows it changed.
func (t *tx) change(done func(rows int64), sql string, args ...any) {
	t.batch.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		done(tag.RowsAffected())
		return nil
	})
}

// each queues a query and has scan called for each row.
func (t *tx) each(scan func(row), sql string, args ...any) {
	t.batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			scan(rows.RawValues())
		}
		return rows.Err()
	})
}

// flush carries out what is queued.
func (t *tx) flush() error {
	if t.batch.Len() == 0 {
		return nil
	}
	err := t.conn.SendBatch(t.ctx, &t.batch).Close()
	t.batch = pgx.Batch{}
	return err
}

// commit carries out what is queued and commits.
func (t *tx) commit() error {
	t.exec("COMMIT")
	return t.flush()
}

// rollback undoes everything. A connection on which even that fails is closed,
// which undoes it as well.
func (t *tx) rollback() {
	if t.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), rollbackTimeout)
	defer cancel()
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = t.conn.Close(ctx) // it is of no use any more
	}
}

// transact runs f in a transaction on the pool, again when the server asks for it.
// What f queues last is committed with one round trip. A refusal of f undoes
// everything.
func (s *Store) transact(ctx context.Context, f func(*tx) error) error {
	for try := 1; ; try++ {
		again, err := s.attempt(ctx, f)
		if err == nil || !again || try == maxTries {
			return engineError(err)
		}
	}
}

func (s *Store) attempt(ctx context.Context, f func(*tx) error) (again bool, err error) {
	if s.closed.Load() {
		return false, unavailable("store is closed", nil)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Release()
	t := begin(ctx, conn.Conn())
	if err = f(t); err == nil {
		err = t.commit()
	}
	if err != nil {
		t.rollback()
	}
	return worthRepeating(err), err
}

// read runs f on a connection of the pool.
func (s *Store) read(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	return s.atLeisure(ctx, f)
}

// atLeisure is read without a bound of its own.
func (s *Store) atLeisure(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	if s.closed.Load() {
		return unavailable("store is closed", nil)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return engineError(err)
	}
	defer conn.Release()
	if err = f(ctx, conn); errors.Is(err, pgx.ErrNoRows) {
		return err // for the caller to say what is missing
	}
	return engineError(err)
}

// query calls scan for each row of a single query.
func (s *Store) query(ctx context.Context, scan func(row), sql string, args ...any) error {
	return s.queryUntil(ctx, func(c row) error { scan(c); return nil }, sql, args...)
}

// queryUntil calls scan for each row of a single query until it fails.
func (s *Store) queryUntil(ctx context.Context, scan func(row) error, sql string, args ...any) error {
	return s.read(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows.RawValues()); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// snapshot is several reads that see the same state.
func (s *Store) snapshot(ctx context.Context, f func(*tx) error) error {
	return s.transact(ctx, func(t *tx) error {
		t.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
		return f(t)
	})
}

func unavailable(detail string, cause error) error { return group.Unavailable(engine, detail, cause) }
