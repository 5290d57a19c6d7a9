package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"codeword/internal/fault"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
	"codeword/internal/store"
)

type numberplanImport struct {
	ledgerFlags
	Files []string `arg:"" name:"file" help:"NANPA's lists, as text or zip: ThousandsBlockAssignment (augmented), and best CoCodeAssignment (utilized) too."`
	Date  string   `help:"The day that the list of blocks is of, where it does not tell." placeholder:"YYYY-MM-DD"`
	Force bool     `help:"Store the table also if it knows suspiciously few blocks, or if a newer version of codeword stored the present one."`
}

// Help tells where the lists are.
func (numberplanImport) Help() string {
	return `Get both lists from ` + listsAddress + ` ("thousands-block reports", all regions, augmented; "CO code reports", utilized, all states). They are free. What a file is, is told by what is in it; lists can be in several files. Nothing changes unless all of them are good. Servers take the table within a minute.`
}

// Run makes a table of the files and stores it.
func (c *numberplanImport) Run(ctx context.Context, s streams) error {
	if _, err := c.resolve(); err != nil {
		return err // before the files, which take seconds
	}
	built, err := c.build(time.Now())
	if err != nil {
		return err
	}
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		docs := l.recorded(eventPlanImport, map[string]any{
			"date": built.Table.Date().Format(time.DateOnly), "blocks": knownBlocks(built.Table), "force": c.Force,
		})
		body, err := built.Document()
		if err != nil {
			return err
		}
		var sum summary
		revision, err := putPlan(ctx, docs, body, time.Now(), c.Force, func(current lineplan.Document) error {
			sum = summarize(built, planTable(current))
			if c.Force {
				return nil
			}
			return sum.plausible()
		})
		if err != nil {
			return err
		}
		return sum.print(s.out, revision)
	})
}

// build reads the files.
func (c *numberplanImport) build(now time.Time) (*lineplan.Built, error) {
	im := lineplan.NewImport(now)
	for _, path := range c.Files {
		if err := addFile(im, path); err != nil {
			return nil, fmt.Errorf("%w\nnothing was imported", err)
		}
	}
	date := im.Date()
	if c.Date != "" {
		var err error
		if date, err = time.Parse(time.DateOnly, c.Date); err != nil || date.After(now) {
			return nil, asUsage(fmt.Errorf("date: %q is not a day YYYY-MM-DD of the past", c.Date))
		}
	}
	if im.BlockRows > 0 && date.IsZero() {
		return nil, asUsage(errors.New("date: required, since the list of blocks does not tell of which day it is"))
	}
	return im.Build(date)
}

func addFile(im *lineplan.Import, path string) error {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", path)
	}
	return im.Add(path, f, info.Size())
}

// putPlan stores a plan after the one that is stored, if judge agrees, which sees what
// that says. Another import that was faster is judged against, once. What a newer version
// of codeword stored is replaced only if newer says so: its nodes read it.
func putPlan(ctx context.Context, docs documentStore, body []byte, now time.Time, newer bool, judge func(lineplan.Document) error) (revision int64, err error) {
	for range 2 {
		var d store.Document
		if d, err = docs.Document(ctx, planDocument, 0); err != nil {
			return 0, err
		}
		current, errCurrent := parsePlan(d)
		if errors.Is(errCurrent, lineplan.ErrNewer) && !newer {
			return 0, fmt.Errorf("%w; --force replaces it all the same", errCurrent)
		}
		// One that is damaged counts as none: this is how to get rid of it.
		if err = judge(current); err != nil {
			return 0, err
		}
		revision = d.Revision + 1
		err = docs.PutDocument(ctx, store.Document{Name: planDocument, Revision: revision, UpdatedAt: now, Body: body})
		if !fault.Is(err, fault.Conflict) {
			return revision, err
		}
	}
	return 0, fmt.Errorf("other commands change the number plan at the same time: try again: %w", err)
}

// What an import has to know: blocks, and as a share of what the table in use knows.
const (
	fewestBlocks  = 200_000
	smallestShare = 0.7
)

// summary is what an import changes.
type summary struct {
	date    time.Time
	types   map[phone.LineType]int
	known   int
	before  int
	changes lookup.Changes
}

func summarize(built *lineplan.Built, current *lookup.Table) summary {
	return summary{
		date: built.Table.Date(), types: built.Table.Known(), known: knownBlocks(built.Table),
		before: knownBlocks(current), changes: built.Table.ChangesFrom(current),
	}
}

// plausible refuses what cannot be the whole of NANPA's lists.
func (m *summary) plausible() error {
	switch {
	case m.known < fewestBlocks:
		return fmt.Errorf("the files tell the type of %d blocks, at least %d are expected: is a part missing? --force imports them all the same", m.known, fewestBlocks)
	case float64(m.known) < smallestShare*float64(m.before):
		return fmt.Errorf("the files tell the type of %d blocks, the table in use of %d: is a part missing? --force imports them all the same", m.known, m.before)
	}
	return nil
}

// print tells what was imported.
func (m *summary) print(out io.Writer, revision int64) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) } // Flush tells
	line("date", "%s", m.date.Format(time.DateOnly))
	line("blocks", "%d", m.known)
	for _, t := range []phone.LineType{phone.LineMobile, phone.LineLandline, phone.LineNonFixedVoIP} {
		line(t.String(), "%d", m.types[t])
	}
	line("changed", "%d: %d new, %d gone, %d of another type",
		m.changes.Added+m.changes.Gone+m.changes.Other, m.changes.Added, m.changes.Gone, m.changes.Other)
	line("stored", "revision %d; servers follow within a minute", revision)
	return w.Flush()
}

type numberplanReset struct{ ledgerFlags }

// Run stores that the embedded table is to be used.
func (c *numberplanReset) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		docs := l.recorded(eventPlanReset, nil)
		_, err := putPlan(ctx, docs, lineplan.EmbeddedDocument(), time.Now(), true, func(lineplan.Document) error { return nil })
		return done(s, err, "the embedded table of %s is in use; servers follow within a minute\n", lookup.Embedded().Date().Format(time.DateOnly))
	})
}
