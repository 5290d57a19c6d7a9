package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"codeword/api"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/phone/lookup/lineplan"
)

type numberplanCommand struct {
	Show      numberplanShow      `cmd:"" help:"Tell what is known of a number, and whether a client with default settings may send to it."`
	Import    numberplanImport    `cmd:"" help:"Take the table of line types from NANPA's current lists of blocks and exchanges."`
	Reset     numberplanReset     `cmd:"" help:"Go back to the table of line types that the program brings."`
	Override  numberplanOverride  `cmd:"" help:"Say the line type of a single number, whatever the table says."`
	Overrides numberplanOverrides `cmd:"" help:"List the numbers whose line type was said."`
}

type numberplanShow struct {
	ledgerFlags
	Number string `arg:"" help:"Number in E.164."`
}

// Help says which table is asked.
func (numberplanShow) Help() string {
	return `With --database and --keyset, or --data, it tells what the service goes by: an imported table, with the names of operators, and overrides. Without, what the embedded table says.`
}

// lineFacts are what is known of line types.
type lineFacts struct {
	plan      lineplan.Document
	overrides *lookup.Overrides
}

// Run explains what the tables say of a number.
func (c *numberplanShow) Run(ctx context.Context, s streams) error {
	n, err := phone.Parse(c.Number)
	if err != nil && !errors.Is(err, phone.ErrCountry) {
		return asUsage(fmt.Errorf("number: %w", err))
	}
	var facts lineFacts
	if c.Database == "" && c.Data == "" {
		return explain(s, n, err, facts)
	}
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		if errRead := facts.read(ctx, l); errRead != nil {
			return errRead
		}
		return explain(s, n, err, facts)
	})
}

// read takes what is stored; an engine that keeps nothing of it has nothing to tell.
func (f *lineFacts) read(ctx context.Context, l *ledger) error {
	docs, ok := capability[documentStore](l.store)
	if !ok {
		return nil
	}
	d, err := docs.Document(ctx, planDocument, 0)
	if err != nil {
		return err
	}
	if f.plan, err = parsePlan(d); err != nil {
		return err
	}
	if d, err = docs.Document(ctx, overridesDocument, 0); err != nil {
		return err
	}
	list, err := parseOverrides(d)
	if err != nil {
		return err
	}
	f.overrides, err = lookup.NewOverrides(l.ring, withKey(l.ring, list))
	return err
}

// explain prints what is known of a number; failed is why it is none of the plan's.
func explain(s streams, n phone.Number, failed error, facts lineFacts) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) } // Flush tells
	if failed == nil {
		kind, err := facts.explain(n, line)
		if err != nil {
			return err
		}
		if failed = (phone.Rule{}).Check(n); failed == nil && !phone.LineTypes(0).Has(kind) {
			failed = phone.ErrType
		}
	}
	switch {
	case failed == nil:
		line("send", "accepted")
	case errors.Is(failed, phone.ErrCountry):
		line("send", "refused: %s (%v)", api.CodeInvalidPhoneCountryCode, failed)
	default:
		line("send", "refused: %s (%v)", api.CodeInvalidPhoneType, failed)
	}
	return w.Flush()
}

// explain tells how the line type of a number comes about.
func (f *lineFacts) explain(n phone.Number, line func(name, format string, args ...any)) (phone.LineType, error) {
	area, _ := phone.AreaCode(n.NPA())
	line("area code", "%d: %s", n.NPA(), strings.Join(strings.Fields(area.Kind.String()+" "+area.Country+" "+area.State), ", "))
	line("exchange", "%d-%03d", n.NPA(), n.NXX())
	line("block", "%d-%03d-%d", n.NPA(), n.NXX(), n.Thousands())
	table := planTable(f.plan)
	kind, date := table.Block(n), table.Date().Format(time.DateOnly)
	line("table", "%s, of %s", tableSource(f.plan), date)
	if err := f.operator(n, kind, line); err != nil {
		return kind, err
	}
	said, ok, err := f.overrides.Line(n)
	switch {
	case err != nil:
		return kind, err
	case ok:
		line("line type", "%s, by an override; the table says %s", said, kind)
		return said, nil
	case kind != phone.LineUnknown:
		line("line type", "%s, by the holder of the block on %s", kind, date)
	default:
		line("line type", "%s: the block was not in the records of %s, or its holder does not tell", kind, date)
	}
	return kind, nil
}

// operator tells who holds the number's block, and which rule classed him.
func (f *lineFacts) operator(n phone.Number, kind phone.LineType, line func(name, format string, args ...any)) error {
	if f.plan.Table == nil {
		line("operator", "not in the embedded table; an imported one has the names")
		return nil
	}
	holder, err := f.plan.Holder(n)
	if err != nil {
		return err
	}
	if holder == (lineplan.Holder{}) {
		line("operator", "none in the lists")
		return nil
	}
	line("operator", "%s", holder.Name)
	switch rule := lineplan.Classify(holder.Name); {
	case rule.Name == holder.Rule && rule.Line == kind:
		line("rule", "%s: %s", rule.Name, rule.Note)
	default:
		line("rule", "%s, of the version that imported the lists; this one has %s (%s): import them again", holder.Rule, rule.Name, rule.Line)
	}
	return nil
}

type numberplanOverride struct {
	ledgerFlags
	Number string `arg:"" help:"Number in E.164."`
	Type   string `arg:"" optional:"" help:"mobile, landline, fixed_voip, non_fixed_voip or unknown."`
	Remove bool   `help:"Take back what was said of the number."`
}

// Run says the type of a number, or takes that back.
func (c *numberplanOverride) Run(ctx context.Context, s streams) error {
	n, err := phone.Parse(c.Number)
	if err != nil {
		return asUsage(fmt.Errorf("number: %w", err))
	}
	if c.Remove == (c.Type != "") {
		return asUsage(errors.New("give a line type, or --remove"))
	}
	kind := phone.LineUnknown
	if !c.Remove {
		if kind, err = phone.ParseLineType(c.Type); err != nil {
			return asUsage(fmt.Errorf("type: %w", err))
		}
	}
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		data := map[string]any{"lastDigits": n.Mask()}
		if c.Remove {
			err := removeOverride(ctx, l.recorded(eventOverrideRemove, data), l.ring, n, time.Now())
			return done(s, err, "nothing is said any more of the number ending in %s; servers follow within a minute\n", n.Mask())
		}
		data["type"] = kind.String()
		err := override(ctx, l.recorded(eventOverride, data), l.ring, n, kind, time.Now())
		return done(s, err, "the number ending in %s is %s; servers follow within a minute\n", n.Mask(), kind)
	})
}

type numberplanOverrides struct {
	ledgerFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// overrideView is an override as operators see it.
type overrideView struct {
	Last string    `json:"lastDigits"`
	Type string    `json:"type"`
	At   time.Time `json:"createTime"`
}

// Run lists the overrides, oldest first.
func (c *numberplanOverrides) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		form, err := readOverrides(ctx, l.store)
		if err != nil {
			return err
		}
		views := make([]overrideView, len(form.Overrides))
		for i, e := range form.Overrides {
			views[i] = overrideView{e.Last, e.Type, e.At}
		}
		if c.JSON {
			return printJSON(s.out, views)
		}
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ENDS IN\tTYPE\tSINCE")
		for _, v := range views {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", v.Last, v.Type, v.At.Format(time.RFC3339))
		}
		return w.Flush()
	})
}
