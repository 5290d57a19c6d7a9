package sqlite

import (
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// query binds the parameters of one cached statement from left to right and
// runs it. The first error sticks; nothing is boxed, since this is the hot path.
type query struct {
	stmt *sqlite.Stmt
	n    int
	err  error
}

func prepare(conn *sqlite.Conn, sql string) query {
	stmt, err := conn.Prepare(sql)
	return query{stmt: stmt, err: err}
}

func (q query) blob(v []byte) query {
	if q.n++; q.err == nil {
		q.stmt.BindBytes(q.n, v)
	}
	return q
}

// blobOrNull binds an empty value as NULL.
func (q query) blobOrNull(v []byte) query {
	if len(v) > 0 {
		return q.blob(v)
	}
	return q.null()
}

func (q query) null() query {
	if q.n++; q.err == nil {
		q.stmt.BindNull(q.n)
	}
	return q
}

func (q query) text(v string) query {
	if q.n++; q.err == nil {
		q.stmt.BindText(q.n, v)
	}
	return q
}

func (q query) int(v int64) query {
	if q.n++; q.err == nil {
		q.stmt.BindInt64(q.n, v)
	}
	return q
}

func (q query) time(t time.Time) query { return q.int(store.Micros(t)) }

// timeOrNull binds the zero time as NULL.
func (q query) timeOrNull(t time.Time) query {
	if t.IsZero() {
		return q.null()
	}
	return q.time(t)
}

// exec runs a statement that returns no rows.
func (q query) exec() error {
	if q.err != nil {
		return q.err
	}
	_, err := q.stmt.Step()
	if rerr := q.stmt.Reset(); err == nil {
		err = rerr
	}
	return err
}

// one calls scan for the first row, if there is one, and says whether.
func (q query) one(scan func(*sqlite.Stmt)) (bool, error) {
	if q.err != nil {
		return false, q.err
	}
	found, err := q.stmt.Step()
	if err == nil && found {
		scan(q.stmt)
	}
	if rerr := q.stmt.Reset(); err == nil {
		err = rerr
	}
	return found, err
}

// each calls scan for every row.
func (q query) each(scan func(*sqlite.Stmt)) error {
	return q.until(func(st *sqlite.Stmt) error { scan(st); return nil })
}

// until calls scan for every row until it fails, and returns what that says.
func (q query) until(scan func(*sqlite.Stmt) error) error {
	if q.err != nil {
		return q.err
	}
	for {
		found, err := q.stmt.Step()
		if err == nil && found {
			err = scan(q.stmt)
		}
		if err != nil {
			_ = q.stmt.Reset() // what went wrong first is what to report
			return err
		}
		if !found {
			return q.stmt.Reset()
		}
	}
}

func columnTime(s *sqlite.Stmt, col int) time.Time { return store.FromMicros(s.ColumnInt64(col)) }

// columnID copies a 16-byte id; a NULL or short column leaves the rest zero.
func columnID(s *sqlite.Stmt, col int) (id [16]byte) {
	s.ColumnBytes(col, id[:])
	return id
}

func columnBlob(s *sqlite.Stmt, col int) []byte {
	n := s.ColumnLen(col)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	s.ColumnBytes(col, b)
	return b
}
