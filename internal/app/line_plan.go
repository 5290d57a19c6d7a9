package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
	"codeword/internal/store"
)

// The documents that tell line types.
const (
	planDocument      = "numberplan"
	overridesDocument = "line-overrides"
)

// Nodes look for newer documents every planPollLeast to planPollMost, each at other times
// than the rest, so that all have them within a minute.
const (
	planPollLeast = 20 * time.Second
	planPollMost  = 40 * time.Second
)

// linePlan keeps a node's line types to what is stored.
type linePlan struct {
	docs  documentStore
	keys  *keyring.Ring
	lines *lookup.Lines
	log   *slog.Logger
	// planSeen and overridesSeen are the revisions that were read last, whether they
	// could be used or not: what is wrong with one is logged once.
	planSeen, overridesSeen int64
}

func newLinePlan(docs documentStore, keys *keyring.Ring, log *slog.Logger) *linePlan {
	return &linePlan{docs: docs, keys: keys, lines: new(lookup.Lines), log: log}
}

// load takes what is stored into use. It fails when the store cannot be read. What is
// stored but cannot be used is logged, and what was in use before stays: at the start
// that is the embedded table, and no override.
func (p *linePlan) load(ctx context.Context) error {
	return errors.Join(p.loadPlan(ctx), p.loadOverrides(ctx))
}

func (p *linePlan) loadPlan(ctx context.Context) error {
	d, err := p.docs.Document(ctx, planDocument, p.planSeen)
	if err != nil || d.Revision == p.planSeen {
		return err
	}
	p.planSeen = d.Revision
	plan, err := parsePlan(d)
	if err != nil {
		p.log.ErrorContext(ctx, "the stored number plan cannot be used: line types are told by the table of before; 'codeword numberplan import' makes another",
			"error", err, "revision", d.Revision, "table_date", p.lines.Table().Date().Format(time.DateOnly))
		return nil
	}
	p.lines.Use(plan.Table)
	p.log.InfoContext(ctx, "the number plan is in use", "table", tableSource(plan), "table_date", p.lines.Table().Date().Format(time.DateOnly), "revision", d.Revision)
	return nil
}

func (p *linePlan) loadOverrides(ctx context.Context) error {
	d, err := p.docs.Document(ctx, overridesDocument, p.overridesSeen)
	if err != nil || d.Revision == p.overridesSeen {
		return err
	}
	p.overridesSeen = d.Revision
	list, err := parseOverrides(d)
	var usable *lookup.Overrides
	if err == nil {
		readable := withKey(p.keys, list)
		if n := len(list) - len(readable); n > 0 {
			p.log.WarnContext(ctx, "overrides of single numbers are not heeded: they were made with an index key that this server does not have; restart it", "overrides", n)
		}
		usable, err = lookup.NewOverrides(p.keys, readable)
	}
	if err != nil {
		p.log.ErrorContext(ctx, "the stored overrides of single numbers cannot be used: those of before stay", "error", err, "revision", d.Revision)
		return nil
	}
	p.lines.Override(usable)
	return nil
}

// run loads what is newer until ctx ends.
func (p *linePlan) run(ctx context.Context) error {
	repeat(ctx, planPause(), func(ctx context.Context) (pause time.Duration) {
		if err := p.load(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "the number plan could not be refreshed", "error", err)
		}
		return planPause()
	})
	return nil
}

func planPause() time.Duration {
	return planPollLeast + rand.N(planPollMost-planPollLeast) //nolint:gosec // jitter
}

// parsePlan reads a stored plan; that of no document says to use the embedded table.
func parsePlan(d store.Document) (lineplan.Document, error) {
	if d.Revision == 0 {
		return lineplan.Document{}, nil
	}
	return lineplan.ParseDocument(d.Body)
}

// tableSource says where a plan's table comes from.
func tableSource(d lineplan.Document) string {
	if d.Table == nil {
		return "embedded"
	}
	return "imported"
}

// planTable is the table that a plan says to use.
func planTable(d lineplan.Document) *lookup.Table {
	if d.Table == nil {
		return lookup.Embedded()
	}
	return d.Table
}

// knownBlocks counts the blocks that a table tells the type of.
func knownBlocks(t *lookup.Table) (n int) {
	for _, of := range t.Known() {
		n += of
	}
	return n
}

// NANPA's lists, for those who have to fetch them.
const listsAddress = "https://www.nanpa.com/reports"

// oldTable is when an import is due.
const oldTable = 180 * 24 * time.Hour

// checkLineTypes tells how old the table of line types is and what it knows.
func checkLineTypes(ctx context.Context, docs documentStore, now time.Time) store.Finding {
	out := store.Finding{What: "line types"}
	var plan lineplan.Document
	d, err := docs.Document(ctx, planDocument, 0)
	if err == nil {
		plan, err = parsePlan(d)
	}
	said, errSaid := readOverrides(ctx, docs)
	if out.Err = errors.Join(err, errSaid); out.Err != nil {
		return out
	}
	overrides := len(said.Overrides)
	table := planTable(plan)
	known := knownBlocks(table)
	out.Note = fmt.Sprintf("%s table of %s: %d thousands-blocks (%d %% of those that the area codes have)",
		tableSource(plan), table.Date().Format(time.DateOnly), known, known*100/lineplan.Blocks())
	if overrides > 0 {
		out.Note += fmt.Sprintf("; overrides of single numbers: %d", overrides)
	}
	switch age := now.Sub(table.Date()); {
	case age > oldTable:
		out.Warning = true
		out.Note += fmt.Sprintf("; it is %d days old: get NANPA's lists (%s) and run 'codeword numberplan import'", int(age.Hours()/24), listsAddress)
	case plan.Table != nil && !plan.SameRules:
		out.Warning = true
		out.Note += "; another version of codeword classed its operators: run 'codeword numberplan import' again"
	}
	return out
}
