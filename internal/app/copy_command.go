package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"codeword/internal/ledgercopy"
)

type migrateCopy struct {
	From string `help:"Database to copy: sqlite:PATH, or postgres://USER@HOST/NAME." placeholder:"URL"`
	To   string `help:"Database to copy to; it must be empty, or what an interrupted copy has left." placeholder:"URL"`
}

// Help tells what to expect.
func (migrateCopy) Help() string {
	return `What is kept moves: clients and their secrets, signing keys, phones, users, the message log, documents that all nodes read, events, the figures of the overview. What expires does not: sessions (users sign in again and keep their ids), codes, idempotency keys, limits of clients and addresses, line types that were looked up. A message that is queued becomes "expired" in the copy.

The copy may be interrupted anywhere: run the same command again and it goes on. At last both sides are read, counted and summed up. The source is not changed, but for figures that were still to be added up. Servers refuse a database whose copy is not finished. The keyset stays the same.`
}

// Run copies and tells what was copied.
func (c *migrateCopy) Run(ctx context.Context, s streams) error {
	from, err := parseDatabase("from", c.From)
	to, errTo := parseDatabase("to", c.To)
	if err := errors.Join(err, errTo); err != nil {
		return asUsage(err)
	}
	if same(from, to) {
		return asUsage(errors.New("from and to: must differ"))
	}
	if err := from.exists(ctx); err != nil {
		return err
	}
	var report ledgercopy.Report
	err = alone(ctx, from, func(ctx context.Context, source engine) error {
		return alone(ctx, to, func(ctx context.Context, target engine) error {
			report, err = copyLedger(ctx, source, target, s)
			return err
		})
	})
	switch {
	case errors.Is(err, ledgercopy.ErrOther):
		return asUsage(fmt.Errorf("to: %s: %w", to.Database(), err))
	case ctx.Err() != nil:
		return errors.New("interrupted; run the same command again to go on")
	case err != nil:
		return err
	}
	return c.tell(s, from, to, report)
}

// same tells whether both name one database.
func same(a, b storage) bool {
	if a.File == "" || b.File == "" {
		return a == b
	}
	x, errX := filepath.Abs(a.File)
	y, errY := filepath.Abs(b.File)
	return errX == nil && errY == nil && x == y
}

// progressEvery is how often a copy tells how far it is.
const progressEvery = 2 * time.Second

func copyLedger(ctx context.Context, source, target engine, s streams) (ledgercopy.Report, error) {
	in, ok := capability[ledgercopy.Source](source)
	out, okOut := capability[ledgercopy.Target](target)
	if !ok || !okOut {
		return ledgercopy.Report{}, errors.New("the engine cannot be copied")
	}
	if err := foldAll(ctx, source); err != nil {
		return ledgercopy.Report{}, err
	}
	now := time.Now()
	told := now
	return ledgercopy.Run(ctx, ledgercopy.Config{
		Source: in, Target: out, Now: now, Prepare: pastPartitions(target, now),
		Progress: func(table string, rows int) {
			if time.Since(told) >= progressEvery {
				told = time.Now()
				_, _ = fmt.Fprintf(s.err, "%s: %d\n", table, rows)
			}
		},
	})
}

// pastPartitions makes the partitions of a message log that is older than its
// database; nil where there are none.
func pastPartitions(e engine, now time.Time) func(context.Context, time.Time) error {
	p, ok := capability[partitioned](e)
	if !ok {
		return nil
	}
	const (
		day = 24 * time.Hour
		// longest bounds how far back partitions go; what is older stands with the rest.
		longest = 400 * day
	)
	return func(ctx context.Context, oldest time.Time) error {
		if first := now.Add(-longest); oldest.Before(first) {
			oldest = first
		}
		keep := max(now.Sub(oldest)+day, 30*day)
		for at := oldest; at.Before(now); at = at.Add(day) {
			if err := p.KeepPartitions(ctx, at, keep); err != nil {
				return err
			}
		}
		return p.KeepPartitions(ctx, now, keep)
	}
}

func (c *migrateCopy) tell(s streams, from, to storage, r ledgercopy.Report) error {
	if !r.FinishedAt.IsZero() {
		_, err := fmt.Fprintf(s.out, "%s has been a copy of %s since %s; nothing was changed\n",
			to.Database(), from.Database(), r.FinishedAt.Format(time.RFC3339))
		return err
	}
	_, _ = fmt.Fprintf(s.out, "copied %s to %s\n\n", from.Database(), to.Database())
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TABLE\tROWS\tSHA-256 OF BOTH SIDES")
	for _, t := range r.Tables {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%x\n", t.Name, t.Rows, t.Sum[:8])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, `
%d queued messages became expired. Sessions, codes, idempotency keys and the limits of clients and addresses
were not copied: users sign in again.

Start servers on the copy alone, with the same keyset.
`, r.Expired)
	return err
}

// copied refuses a database whose copy is not finished.
func copied(ctx context.Context, e engine) error {
	t, ok := capability[ledgercopy.Target](e)
	if !ok {
		return nil
	}
	state, err := t.CopyState(ctx)
	if err == nil && !state.StartedAt.IsZero() && state.FinishedAt.IsZero() {
		err = asUsage(errors.New("database: a copy into it was interrupted: run 'codeword migrate copy' once more, or take an empty one"))
	}
	return err
}
