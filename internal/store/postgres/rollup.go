package postgres

import (
	"cmp"
	"context"
	"slices"
	"time"

	"codeword/internal/rollup"
	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// writeFigures queues what the transaction has caused for the roll-ups, to be added up
// later.
func (t *tx) writeFigures(figures intent.Figures) {
	if len(figures) > 0 {
		t.exec(`INSERT INTO rollup_events (events) VALUES ($1)`, []byte(figures))
	}
}

// foldLock keeps two nodes from adding up at once: "rollups".
const foldLock = `SELECT pg_advisory_xact_lock(x'726f6c6c757073'::bigint)`

// FoldRollups adds up to limit entries of what operations have caused to the roll-ups,
// each once, and tells how many those were.
func (s *Store) FoldRollups(ctx context.Context, limit int) (folded int, err error) {
	err = s.transact(ctx, func(t *tx) error {
		folded = 0
		t.exec(foldLock)
		if err := t.flush(); err != nil { // what is read next must not be older than the lock
			return err
		}
		var fold rollup.Fold
		var entries []int64
		var damaged error
		t.each(func(c row) {
			entries = append(entries, c.int(0))
			if err := fold.Take(c[1]); err != nil {
				damaged = err
			}
		}, `SELECT entry_no, events FROM rollup_events ORDER BY entry_no LIMIT $1`, limit)
		if err := t.flush(); err != nil || len(entries) == 0 {
			return err
		}
		var spans []int16
		var starts, clients []int64
		blocks := fold.Blocks()
		keys := make([]rollup.Key, 0, len(blocks))
		for key := range blocks {
			keys = append(keys, key)
			spans, starts, clients = append(spans, hours(key.Span)), append(starts, micros(key.Start)), append(clients, key.Client)
		}
		t.each(func(c row) {
			if err := blocks[keys[c.int(0)-1]].Merge(c[1]); err != nil {
				damaged = err
			}
		}, `SELECT u.i, r.body FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS u(hours, start_at, client_no, i)
			JOIN rollups r USING (hours, start_at, client_no)`, spans, starts, clients)
		if err := t.flush(); err != nil {
			return err
		}
		if damaged != nil {
			return damaged
		}
		for _, key := range keys {
			t.putRollup(key, blocks[key].Encode())
		}
		t.exec(`DELETE FROM rollup_events WHERE entry_no = ANY($1)`, entries)
		folded = len(entries)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return folded, nil
}

func (t *tx) putRollup(k rollup.Key, body []byte) {
	t.exec(`INSERT INTO rollups (hours, start_at, client_no, body) VALUES ($1, $2, $3, $4)
		ON CONFLICT (hours, start_at, client_no) DO UPDATE SET body = excluded.body`, hours(k.Span), micros(k.Start), k.Client, body)
}

func hours(span time.Duration) int16 { return int16(span / time.Hour) }

// Rollups calls each for the roll-ups in the order of their begins, until it fails.
func (s *Store) Rollups(ctx context.Context, in store.RollupQuery, each func(*store.Rollup) error) error {
	r := store.Rollup{Span: in.Span}
	var failed error
	err := s.queryUntil(ctx, func(c row) error {
		r.Client, r.Start, r.Body = c.text(1), c.time(0), c[2]
		failed = each(&r)
		return failed
	}, `SELECT r.start_at, c.client_id, r.body FROM rollups r JOIN clients c USING (client_no)
		WHERE r.hours = $1 AND r.start_at >= $2 AND r.start_at < $3 AND ($4::text = '' OR c.client_id = $4)
		ORDER BY r.start_at, r.client_no`, hours(in.Span), micros(in.From), micros(in.Until), in.Client)
	return cmp.Or(failed, err)
}

// CopyRollups reads roll-ups in the order of client, span and begin, after one of them.
func (s *Store) CopyRollups(ctx context.Context, after store.RollupKey, limit int) ([]store.Rollup, error) {
	var out []store.Rollup
	err := s.query(ctx, func(c row) {
		out = append(out, store.Rollup{Client: c.text(0), Span: time.Duration(c.int(1)) * time.Hour, Start: c.time(2), Body: slices.Clone(c[3])})
	}, `SELECT c.client_id, r.hours, r.start_at, r.body FROM rollups r JOIN clients c USING (client_no)
		WHERE (c.client_id COLLATE "C", r.hours, r.start_at) > ($1::text COLLATE "C", $2, $3)
		ORDER BY c.client_id COLLATE "C", r.hours, r.start_at LIMIT $4`, after.Client, hours(after.Span), micros(after.Start), limit)
	return out, err
}

// TakeRollups stores roll-ups as they are, and removes others.
func (s *Store) TakeRollups(ctx context.Context, put []store.Rollup, drop []store.RollupKey) error {
	client := func(i int) string {
		if i < len(put) {
			return put[i].Client
		}
		return drop[i-len(put)].Client
	}
	return s.take(ctx, len(put)+len(drop), client, func(t *tx, no []int64) {
		for i, k := range drop {
			t.exec(`DELETE FROM rollups WHERE hours = $1 AND start_at = $2 AND client_no = $3`, hours(k.Span), micros(k.Start), no[len(put)+i])
		}
		for i := range put {
			r := &put[i]
			t.putRollup(rollup.Key{Span: r.Span, Start: r.Start, Client: no[i]}, notNull(r.Body))
		}
	})
}
