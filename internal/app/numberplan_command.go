package app

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"codeword/api"
	"codeword/internal/phone"
	"codeword/internal/phone/lookup"
	"codeword/internal/store"
)

type numberplanCommand struct {
	Show numberplanShow `cmd:"" help:"Tell what is known of a number, and whether a client with default settings may send to it."`
}

type numberplanShow struct {
	Number string `arg:"" help:"Number in E.164."`
}

// Run explains what the tables say of a number.
func (c *numberplanShow) Run(s streams) error {
	n, err := phone.Parse(c.Number)
	if err != nil && !errors.Is(err, phone.ErrCountry) {
		return asUsage(fmt.Errorf("number: %w", err))
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) } // Flush tells
	if err == nil {
		area, _ := phone.AreaCode(n.NPA())
		line("area code", "%d: %s", n.NPA(), strings.Join(strings.Fields(area.Kind.String()+" "+area.Country+" "+area.State), ", "))
		line("block", "%d-%03d-%d", n.NPA(), n.NXX(), n.Thousands())
		table := lookup.Embedded()
		if kind := table.Block(n); kind != phone.LineUnknown {
			line("line type", "%s, by the holder of the block on %s", kind, table.Date().Format(time.DateOnly))
		} else {
			line("line type", "%s: the block was not in the records of %s, or its holder does not tell", kind, table.Date().Format(time.DateOnly))
		}
		if err = (phone.Rule{}).Check(n); err == nil && !phone.LineTypes(0).Has(table.Block(n)) {
			err = phone.ErrType
		}
	}
	switch {
	case err == nil:
		line("send", "accepted")
	case errors.Is(err, phone.ErrCountry):
		line("send", "refused: %s (%v)", api.CodeInvalidPhoneCountryCode, err)
	default:
		line("send", "refused: %s (%v)", api.CodeInvalidPhoneType, err)
	}
	return w.Flush()
}

// oldTable is when the table of line types deserves a word.
const oldTable = 2 * 365 * 24 * time.Hour

// checkLineTypes tells how old the table of line types is and what it knows.
func checkLineTypes(now time.Time) store.Finding {
	table := lookup.Embedded()
	known := 0
	for _, n := range table.Known() {
		known += n
	}
	age := now.Sub(table.Date())
	out := store.Finding{What: "line types", Note: fmt.Sprintf("%d thousands-blocks, as of %s", known, table.Date().Format(time.DateOnly))}
	if age > oldTable {
		out.Note += fmt.Sprintf(" (%d days ago: blocks given out since are unknown, and pass)", int(age.Hours()/24))
	}
	return out
}
