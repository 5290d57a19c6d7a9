package ledgercopy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"strings"

	"codeword/internal/store"
)

// sum counts the rows of a table and digests them.
type sum struct {
	rows int
	hash hash.Hash
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) add(row any) {
	s.rows++
	_, _ = s.hash.Write(encode(row)) // never fails
}

func (s *sum) table(name string) Table {
	return Table{Name: name, Rows: s.rows, Sum: [32]byte(s.hash.Sum(nil))}
}

// side is one of the two ledgers, to be read once from beginning to end.
type side struct {
	accounts  Source
	phones    *rows[store.PhoneID, store.PhoneRow]
	users     *rows[store.UserID, store.UserRow]
	messages  *rows[store.MessageID, store.MessageRow]
	documents *rows[string, store.Document]
	events    *rows[store.EventID, store.Event]
	rollups   *rows[store.RollupKey, store.Rollup]
}

// verify reads both sides once more and compares them, table by table.
func (c *copier) verify(ctx context.Context) error {
	p, u, m := phones(c.Source, c.Target), users(c.Source, c.Target), messages(c.Source, c.Target, c.state.StartedAt)
	d, e, r, n := documents(c.Source, c.Target), events(c.Source, c.Target), rollups(c.Source, c.Target), c.Slice
	want, err := side{c.Source, p.settled(n), u.settled(n), m.settled(n), d.settled(n), e.settled(n), r.settled(n)}.sums(ctx)
	if err != nil {
		return fmt.Errorf("verify source: %w", err)
	}
	have, err := side{c.Target, p.copied(n), u.copied(n), m.copied(n), d.copied(n), e.copied(n), r.copied(n)}.sums(ctx)
	if err != nil {
		return fmt.Errorf("verify target: %w", err)
	}
	for i := range want {
		switch {
		case want[i].Rows != have[i].Rows:
			return fmt.Errorf("%w: %d %s, the source has %d", ErrDiffers, have[i].Rows, want[i].Name, want[i].Rows)
		case want[i].Sum != have[i].Sum:
			return fmt.Errorf("%w: the checksum of %s is another one", ErrDiffers, want[i].Name)
		}
	}
	c.report.Tables = want
	return nil
}

func (s side) sums(ctx context.Context) ([]Table, error) {
	clients, err := s.clients(ctx)
	if err != nil {
		return nil, err
	}
	out := []Table{clients}
	keys, err := s.accounts.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	k := newSum()
	for i := range keys {
		k.add(&keys[i])
	}
	out = append(out, k.table(tableSigningKeys))
	p, errPhones := sumOf(ctx, tablePhones, s.phones)
	u, errUsers := sumOf(ctx, tableUsers, s.users)
	out = append(out, p, u)
	m, d, r := newSum(), newSum(), newSum()
	errMessages := each(ctx, s.messages, func(row *store.MessageRow) {
		for i := range row.Dispatches {
			d.add(&row.Dispatches[i])
		}
		for i := range row.Receipts {
			r.add(&row.Receipts[i])
		}
		m.add(row) // with its dispatches and receipts, which so belong to it
	})
	out = append(out, m.table(tableMessages), d.table(tableDispatches), r.table(tableReceipts))
	doc, errDocuments := sumOf(ctx, tableDocuments, s.documents)
	e, errEvents := sumOf(ctx, tableEvents, s.events)
	up, errRollups := sumOf(ctx, tableRollups, s.rollups)
	return append(out, doc, e, up), cmp.Or(errPhones, errUsers, errMessages, errDocuments, errEvents, errRollups)
}

// sumOf reads a table to its end.
func sumOf[K, R any](ctx context.Context, name string, all *rows[K, R]) (Table, error) {
	out := newSum()
	err := each(ctx, all, func(r *R) { out.add(r) })
	return out.table(name), err
}

// clients sums up the clients, each with its secrets in the order of their ids.
func (s side) clients(ctx context.Context) (Table, error) {
	clients, err := s.accounts.Clients(ctx)
	out := newSum()
	for i := range clients {
		slices.SortFunc(clients[i].Secrets, func(a, b store.Secret) int { return strings.Compare(a.ID, b.ID) })
		out.add(&clients[i])
	}
	return out.table(tableClients), err
}

// each calls f for all rows of one side.
func each[K, R any](ctx context.Context, all *rows[K, R], f func(*R)) error {
	for {
		row, err := all.head(ctx)
		if err != nil || row == nil {
			return err
		}
		f(row)
		all.next++
	}
}
