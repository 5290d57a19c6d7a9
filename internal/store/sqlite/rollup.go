package sqlite

import (
	"cmp"
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/rollup"
	"codeword/internal/store"
)

// writeFigures writes what the transaction has caused for the roll-ups, to be added up
// later.
func (t *tx) writeFigures() error {
	if len(t.figures) == 0 {
		return nil
	}
	return prepare(t.conn, `INSERT INTO rollup_events (events) VALUES (?)`).blob(t.figures).exec()
}

// storedBlock is a roll-up on its way.
type storedBlock struct {
	rollup.Key
	body []byte
}

// FoldRollups adds up to limit entries of what operations have caused to the roll-ups,
// each once, and tells how many those were.
func (s *Store) FoldRollups(ctx context.Context, limit int) (folded int, err error) {
	// All but the writing is done on the read pool: nobody else changes what it reads.
	s.folding.Lock()
	defer s.folding.Unlock()
	var last int64
	var blocks []storedBlock
	err = s.snapshot(ctx, func(conn *sqlite.Conn) error {
		folded, last, blocks = 0, 0, nil
		var fold rollup.Fold
		var damaged error
		err := prepare(conn, `SELECT entry_no, events FROM rollup_events ORDER BY entry_no LIMIT ?`).int(int64(limit)).
			each(func(st *sqlite.Stmt) {
				folded, last = folded+1, st.ColumnInt64(0)
				if err := fold.Take(columnBlob(st, 1)); err != nil {
					damaged = err
				}
			})
		if err == nil {
			err = damaged
		}
		for key, b := range fold.Blocks() {
			if err != nil {
				return err
			}
			_, err = prepare(conn, `SELECT body FROM rollups WHERE hours = ? AND start_at = ? AND client_no = ?`).block(key).
				one(func(st *sqlite.Stmt) { damaged = b.Merge(columnBlob(st, 0)) })
			if err == nil {
				err = damaged
			}
			blocks = append(blocks, storedBlock{key, b.Encode()})
		}
		return err
	})
	if err != nil || folded == 0 {
		return 0, engineError(err)
	}
	err = s.writer.do(ctx, func(t *tx) error {
		for i := range blocks {
			if err := t.putRollup(&blocks[i]); err != nil {
				return err
			}
		}
		return prepare(t.conn, `DELETE FROM rollup_events WHERE entry_no <= ?`).int(last).exec()
	})
	if err != nil {
		return 0, err
	}
	return folded, nil
}

func (t *tx) putRollup(b *storedBlock) error {
	return prepare(t.conn, `INSERT INTO rollups (hours, start_at, client_no, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (hours, start_at, client_no) DO UPDATE SET body = excluded.body`).block(b.Key).blob(b.body).exec()
}

// block binds hours, start_at and client_no.
func (q query) block(k rollup.Key) query {
	return q.int(hours(k.Span)).time(k.Start).int(k.Client)
}

func hours(span time.Duration) int64 { return int64(span / time.Hour) }

// Rollups calls each for the roll-ups in the order of their begins, until it fails.
func (s *Store) Rollups(ctx context.Context, in store.RollupQuery, each func(*store.Rollup) error) error {
	r := store.Rollup{Span: in.Span}
	var body []byte
	var failed error
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, `SELECT r.start_at, c.client_id, r.body FROM rollups r JOIN clients c USING (client_no)
			WHERE r.hours = ?1 AND r.start_at >= ?2 AND r.start_at < ?3 AND (?4 = '' OR c.client_id = ?4) ORDER BY r.start_at, r.client_no`).
			int(hours(in.Span)).time(in.From).time(in.Until).text(in.Client).until(func(st *sqlite.Stmt) error {
			body = slices.Grow(body[:0], st.ColumnLen(2))
			r.Client, r.Start, r.Body = st.ColumnText(1), columnTime(st, 0), body[:st.ColumnBytes(2, body[:cap(body)])]
			failed = each(&r)
			return failed
		})
	})
	return cmp.Or(failed, err)
}

// CopyRollups reads roll-ups in the order of client, span and begin, after one of them.
func (s *Store) CopyRollups(ctx context.Context, after store.RollupKey, limit int) (out []store.Rollup, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		// The bodies are not sorted with the keys: they are large.
		return prepare(conn, `SELECT k.client_id, r.hours, r.start_at, r.body FROM (
				SELECT rollup_no, client_id FROM rollups JOIN clients USING (client_no)
				WHERE (client_id, hours, start_at) > (?, ?, ?) ORDER BY client_id, hours, start_at LIMIT ?
			) k JOIN rollups r USING (rollup_no) ORDER BY k.client_id, r.hours, r.start_at`).
			text(after.Client).int(hours(after.Span)).time(after.Start).int(int64(limit)).each(func(st *sqlite.Stmt) {
			out = append(out, store.Rollup{
				Client: st.ColumnText(0), Span: time.Duration(st.ColumnInt64(1)) * time.Hour, Start: columnTime(st, 2), Body: columnBlob(st, 3),
			})
		})
	})
	return out, err
}

// TakeRollups stores roll-ups as they are, and removes others.
func (s *Store) TakeRollups(ctx context.Context, put []store.Rollup, drop []store.RollupKey) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, k := range drop {
			no, err := t.clientOf(k.Client)
			if err != nil {
				return err
			}
			err = prepare(t.conn, `DELETE FROM rollups WHERE hours = ? AND start_at = ? AND client_no = ?`).
				block(rollup.Key{Span: k.Span, Start: k.Start, Client: no}).exec()
			if err != nil {
				return err
			}
		}
		for i := range put {
			r := &put[i]
			no, err := t.clientOf(r.Client)
			if err != nil {
				return err
			}
			if err := t.putRollup(&storedBlock{rollup.Key{Span: r.Span, Start: r.Start, Client: no}, r.Body}); err != nil {
				return err
			}
		}
		return nil
	})
}
