package ledgercopy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"codeword/internal/store"
)

// The names of the tables, for people.
const (
	tableClients     = "clients"
	tableSigningKeys = "signing keys"
	tablePhones      = "phones"
	tableUsers       = "users"
	tableMessages    = "messages"
	tableDispatches  = "dispatches"
	tableReceipts    = "receipts"
	tableDocuments   = "documents"
	tableEvents      = "events"
	tableRollups     = "rollups"
)

// table is how one table is read on both sides and written on one.
type table[K, R any] struct {
	name string
	key  func(*R) K
	// order compares keys as the engines do.
	order func(a, b K) int
	// slice bounds how many rows are read and written at once where they are large; 0
	// for as many as of any other table.
	slice          int
	source, target func(ctx context.Context, after K, limit int) ([]R, error)
	// settle is what becomes of a row of the source on its way.
	settle func(*R)
	take   func(ctx context.Context, put []R, drop []K) error
}

// byID compares ids byte by byte.
func byID[K ~[16]byte](a, b K) int {
	x, y := [16]byte(a), [16]byte(b)
	return bytes.Compare(x[:], y[:])
}

func phones(s Source, t Target) *table[store.PhoneID, store.PhoneRow] {
	return &table[store.PhoneID, store.PhoneRow]{
		name: tablePhones, key: func(r *store.PhoneRow) store.PhoneID { return r.ID }, order: byID[store.PhoneID],
		source: s.CopyPhones, target: t.CopyPhones, settle: func(*store.PhoneRow) {}, take: t.TakePhones,
	}
}

func users(s Source, t Target) *table[store.UserID, store.UserRow] {
	return &table[store.UserID, store.UserRow]{
		name: tableUsers, key: func(r *store.UserRow) store.UserID { return r.ID }, order: byID[store.UserID],
		source: s.CopyUsers, target: t.CopyUsers, settle: func(*store.UserRow) {}, take: t.TakeUsers,
	}
}

// documents go one by one: each may take megabytes.
func documents(s Source, t Target) *table[string, store.Document] {
	return &table[string, store.Document]{
		name: tableDocuments, key: func(d *store.Document) string { return d.Name }, order: strings.Compare, slice: 1,
		source: s.CopyDocuments, target: t.CopyDocuments, settle: func(*store.Document) {}, take: t.TakeDocuments,
	}
}

func events(s Source, t Target) *table[store.EventID, store.Event] {
	return &table[store.EventID, store.Event]{
		name: tableEvents, key: func(e *store.Event) store.EventID { return e.ID }, order: byID[store.EventID],
		source: s.CopyEvents, target: t.CopyEvents, settle: func(*store.Event) {}, take: t.TakeEvents,
	}
}

// rollups go a few at a time: each may take tens of kilobytes.
func rollups(s Source, t Target) *table[store.RollupKey, store.Rollup] {
	return &table[store.RollupKey, store.Rollup]{
		name: tableRollups, key: (*store.Rollup).Key, order: byRollup, slice: 100,
		source: s.CopyRollups, target: t.CopyRollups, settle: func(*store.Rollup) {}, take: t.TakeRollups,
	}
}

func byRollup(a, b store.RollupKey) int {
	return cmp.Or(strings.Compare(a.Client, b.Client), cmp.Compare(a.Span, b.Span), a.Start.Compare(b.Start))
}

// rows goes through one side of a table, slice by slice.
type rows[K, R any] struct {
	read  func(ctx context.Context, after K, limit int) ([]R, error)
	key   func(*R) K
	limit int

	slice []R
	next  int
	after K
	ended bool
}

// head returns the row that is next, nil after the last.
func (r *rows[K, R]) head(ctx context.Context) (*R, error) {
	for r.next == len(r.slice) {
		if r.ended {
			return nil, nil //nolint:nilnil // the end is not an error
		}
		slice, err := r.read(ctx, r.after, r.limit)
		if err != nil {
			return nil, err
		}
		r.slice, r.next, r.ended = slice, 0, len(slice) < r.limit
		if len(slice) > 0 {
			r.after = r.key(&slice[len(slice)-1])
		}
	}
	return &r.slice[r.next], nil
}

// settled goes through the source's side, with what becomes of each row on its way.
func (t *table[K, R]) settled(limit int) *rows[K, R] {
	read := func(ctx context.Context, after K, limit int) ([]R, error) {
		slice, err := t.source(ctx, after, limit)
		for i := range slice {
			t.settle(&slice[i])
		}
		return slice, err
	}
	return &rows[K, R]{read: read, key: t.key, limit: t.limit(limit)}
}

func (t *table[K, R]) copied(limit int) *rows[K, R] {
	return &rows[K, R]{read: t.target, key: t.key, limit: t.limit(limit)}
}

// limit is how many rows of the table are read and written at once, where it is so
// many of others.
func (t *table[K, R]) limit(others int) int {
	if t.slice > 0 {
		return min(t.slice, others)
	}
	return others
}

// align makes the target's side of the table the source's, writing what differs.
func (t *table[K, R]) align(ctx context.Context, c *copier) error {
	from, to := t.settled(c.Slice), t.copied(c.Slice)
	var put []R
	var drop []K
	flush := func() error {
		if len(put)+len(drop) == 0 {
			return nil
		}
		err := t.take(ctx, put, drop)
		put, drop = put[:0], drop[:0]
		return err
	}
	for seen := 0; ; {
		want, err := from.head(ctx)
		if err != nil {
			return fmt.Errorf("%s: source: %w", t.name, err)
		}
		have, err := to.head(ctx)
		if err != nil {
			return fmt.Errorf("%s: target: %w", t.name, err)
		}
		if want == nil && have == nil {
			c.Progress(t.name, seen)
			return wrap(t.name, flush())
		}
		order := t.compare(want, have)
		if order >= 0 {
			to.next++
		}
		if order <= 0 {
			from.next++
			if seen++; seen%c.Slice == 0 {
				c.Progress(t.name, seen)
			}
		}
		switch {
		case order > 0:
			drop = append(drop, t.key(have))
		case order < 0 || !bytes.Equal(encode(want), encode(have)):
			put = append(put, *want)
		}
		if len(put)+len(drop) >= t.limit(c.Slice) {
			if err := flush(); err != nil {
				return wrap(t.name, err)
			}
		}
	}
}

// compare tells which of two rows comes first; a missing one comes last.
func (t *table[K, R]) compare(a, b *R) int {
	switch {
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return t.order(t.key(a), t.key(b))
}

func wrap(table string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", table, err)
}

// encode writes a row so that equal rows of all engines are equal bytes. It takes
// whatever a row holds, so that a new field is compared without more ado.
func encode(row any) []byte {
	raw, err := json.Marshal(row)
	if err != nil {
		panic("ledgercopy: a row that cannot be written as JSON: " + err.Error()) // rows hold plain values
	}
	return raw
}
