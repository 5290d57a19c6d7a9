package ledgercopy

import (
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
	accounts Source
	phones   *rows[store.PhoneID, store.PhoneRow]
	users    *rows[store.UserID, store.UserRow]
	messages *rows[store.MessageID, store.MessageRow]
}

// verify reads both sides once more and compares them, table by table.
func (c *copier) verify(ctx context.Context) error {
	p, u, m := phones(c.Source, c.Target), users(c.Source, c.Target), messages(c.Source, c.Target, c.state.StartedAt)
	want, err := side{c.Source, p.settled(c.Slice), u.settled(c.Slice), m.settled(c.Slice)}.sums(ctx)
	if err != nil {
		return fmt.Errorf("verify source: %w", err)
	}
	have, err := side{c.Target, p.copied(c.Slice), u.copied(c.Slice), m.copied(c.Slice)}.sums(ctx)
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
	p, u := newSum(), newSum()
	if err := each(ctx, s.phones, func(r *store.PhoneRow) { p.add(r) }); err != nil {
		return nil, err
	}
	if err := each(ctx, s.users, func(r *store.UserRow) { u.add(r) }); err != nil {
		return nil, err
	}
	m, d, r := newSum(), newSum(), newSum()
	err = each(ctx, s.messages, func(row *store.MessageRow) {
		for i := range row.Dispatches {
			d.add(&row.Dispatches[i])
		}
		for i := range row.Receipts {
			r.add(&row.Receipts[i])
		}
		m.add(row) // with its dispatches and receipts, which so belong to it
	})
	return append(out, p.table(tablePhones), u.table(tableUsers), m.table(tableMessages), d.table(tableDispatches), r.table(tableReceipts)), err
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
func each[K ~[16]byte, R any](ctx context.Context, all *rows[K, R], f func(*R)) error {
	for {
		row, err := all.head(ctx)
		if err != nil || row == nil {
			return err
		}
		f(row)
		all.next++
	}
}
