package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"codeword/internal/console"
	"codeword/internal/store"
)

type eventsCommand struct {
	List eventsList `cmd:"" help:"List events, newest first: what operators changed, and what the service decided by itself."`
}

type eventsList struct {
	ledgerFlags
	Client string `help:"Only events of that client." placeholder:"ID"`
	Kind   string `help:"Only events of that kind, or with a dot at its end, such as guard., of all kinds that begin so." placeholder:"KIND"`
	Limit  int    `help:"How many at most, from 1 to 500." default:"50"`
	Before string `help:"Only events older than that one." placeholder:"ID"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// maxEvents is how many events are listed at most.
const maxEvents = 500

func (c *eventsList) query() (store.EventQuery, error) {
	q := store.EventQuery{Client: c.Client, Kind: c.Kind, Limit: c.Limit}
	var errs []error
	if c.Limit < 1 || c.Limit > maxEvents {
		errs = append(errs, fmt.Errorf("limit: not within 1 to %d", maxEvents))
	}
	if !console.IsEventKind(c.Kind) {
		errs = append(errs, errors.New("kind: not a kind such as client.update, or the beginning of kinds up to a dot"))
	}
	if c.Before != "" {
		var ok bool
		if q.Before, ok = store.ParseEventID(c.Before); !ok {
			errs = append(errs, errors.New("before: not the id of an event"))
		}
	}
	return q, asUsage(errors.Join(errs...))
}

// Run lists the events.
func (c *eventsList) Run(ctx context.Context, s streams) error {
	q, err := c.query()
	if err != nil {
		return err
	}
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		events, more, err := console.ListEvents(ctx, l.store, q)
		if err != nil {
			return err
		}
		if err := c.print(s, events); err != nil {
			return err
		}
		if more {
			_, _ = fmt.Fprintf(s.err, "older events: --before %s\n", events[len(events)-1].ID)
		}
		return nil
	})
}

func (c *eventsList) print(s streams, events []console.EventView) error {
	if c.JSON {
		var out bytes.Buffer
		if err := printJSON(&out, events); err != nil {
			return err
		}
		_, err := fmt.Fprint(s.out, escaped(out.String(), "\n"))
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tKIND\tCLIENT\tACTOR\tDATA")
	for _, e := range events {
		var data bytes.Buffer
		if err := json.Compact(&data, e.Data); err != nil {
			return err
		}
		client := e.ClientID
		if client == "" {
			client = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Time.UTC().Format(time.RFC3339),
			escaped(e.Kind, ""), escaped(client, ""), escaped(e.Actor, ""), escaped(data.String(), ""))
	}
	return w.Flush()
}

// escaped writes whatever is neither printable nor kept as JSON escapes it in strings:
// what came from elsewhere must neither command a terminal nor turn the order of what is
// read. JSON means the same afterwards.
func escaped(text, kept string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			b.WriteString(`\ufffd`) // no UTF-8
		case unicode.IsPrint(r) || strings.ContainsRune(kept, r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
