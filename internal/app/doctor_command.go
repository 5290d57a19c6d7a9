package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"codeword/internal/keyring"
	"codeword/internal/store"
)

type doctorCommand struct {
	storeFlags
	Carriers  string `help:"Also ask each carrier and look-up service of this file whether it lets us in." placeholder:"FILE"`
	PublicURL string `help:"The server's public URL, to judge the carriers' callback settings as well." placeholder:"URL"`
	providerFlags
}

// Run checks everything it can reach and reports all of it; it fails when one
// check does.
func (c *doctorCommand) Run(ctx context.Context, s streams) error {
	st, err := c.resolve()
	if err != nil {
		return err
	}
	findings := c.examine(ctx, st, s)
	if c.Carriers != "" {
		findings = append(findings, checkCarriers(ctx, c.Carriers, c.PublicURL, s)...)
	}
	return tell(append(findings, checkProvider(ctx, &c.providerFlags)...), s)
}

// tell prints the findings and fails when one is that something does not work.
func tell(findings []store.Finding, s streams) error {
	failed, width := 0, 0
	for _, f := range findings {
		width = max(width, len(f.What))
	}
	for _, f := range findings {
		mark := "ok  "
		switch {
		case f.Err != nil:
			mark, f.Note = "FAIL", oneLine(f.Err)
			failed++
		case f.Warning:
			mark = "warn"
		}
		if _, err := fmt.Fprintf(s.out, "%s  %-*s  %s\n", mark, width, f.What, f.Note); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(findings))
	}
	return nil
}

// oneLine is an error that may be several on one line of the report.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}

// examine checks the engines, and what is in them.
func (c *doctorCommand) examine(ctx context.Context, st storage, s streams) []store.Finding {
	database := checkDatabase(ctx, st)
	out := []store.Finding{database}
	if database.Err != nil {
		return out
	}
	e, err := openDatabase(ctx, st, store.Observe{})
	if err != nil {
		out[0].Err = err
		return out
	}
	if st.Redis.text != "" {
		ephemeral := store.Finding{What: "ephemeral", Note: st.Redis.String()}
		if front, err := openEphemeral(ctx, st, e, nil, nil); err == nil {
			e = front
		} else {
			ephemeral.Err = err
		}
		out = append(out, ephemeral)
	}
	defer func() { _ = e.Close() }() // only looked at
	if err := copied(ctx, e); err != nil {
		out = append(out, store.Finding{What: "copy", Err: err})
	}
	return append(append(out, c.contents(ctx, e, s)...), e.Check(ctx, time.Now)...)
}

// checkDatabase looks whether there is a database of ours, and changes nothing.
func checkDatabase(ctx context.Context, st storage) store.Finding {
	if st.File != "" {
		return store.Finding{What: "database file", Note: st.File, Err: checkFile(ctx, st.File)}
	}
	return store.Finding{What: "database", Note: st.Database(), Err: st.exists(ctx)}
}

// contents checks what is in the store, whichever engine runs.
func (c *doctorCommand) contents(ctx context.Context, e engine, s streams) []store.Finding {
	log := slog.New(slog.NewTextHandler(s.err, nil))
	ring, err := keyring.Load(c.Keyset)
	var l *ledger
	if err == nil {
		l, err = newLedger(ctx, e, ring, log)
	}
	if err != nil {
		return []store.Finding{{What: "keyset", Err: err}}
	}
	out := []store.Finding{{What: "keyset", Note: c.Keyset}}
	began := time.Now()
	err = e.Ping(ctx)
	out = append(out, store.Finding{What: "durable write", Err: err, Note: fmt.Sprintf("%.1f ms", time.Since(began).Seconds()*1000)})
	stats, err := e.QueueStats(ctx)
	out = append(out, store.Finding{What: "queue", Err: err, Note: queueNote(stats.Depth, stats.Oldest)})
	out = append(out, checkSigning(ctx, l, log), checkClients(ctx, l), checkClock(ctx, l), checkLineTypes(ctx, l.store, time.Now()))
	if c.Carriers != "" {
		out = append(out, checkOnline(ctx, l, c.Carriers)...)
	}
	return out
}

func queueNote(depth int, oldest time.Time) string {
	if depth == 0 {
		return "empty"
	}
	return fmt.Sprintf("%d messages, the oldest %s old", depth, time.Since(oldest).Round(time.Second))
}

// checkSigning opens every signing key, which shows that keyset and database
// belong together.
func checkSigning(ctx context.Context, l *ledger, log *slog.Logger) store.Finding {
	manager, err := l.sessions(ctx, log)
	if err != nil {
		return store.Finding{What: "signing keys", Err: err}
	}
	keys, err := manager.ListKeys(ctx)
	if err == nil && len(keys) > 0 {
		err = manager.Load(ctx)
	}
	return store.Finding{What: "signing keys", Err: err, Note: fmt.Sprintf("%d", len(keys))}
}

func checkClients(ctx context.Context, l *ledger) store.Finding {
	rows, err := l.store.Clients(ctx)
	var errs []error
	for _, row := range rows {
		if v := viewClient(row); v.Problem != "" {
			errs = append(errs, fmt.Errorf("%s: %s", v.ID, v.Problem))
		}
	}
	return store.Finding{What: "clients", Err: errors.Join(append(errs, err)...), Note: fmt.Sprintf("%d", len(rows))}
}

// checkClock looks for a clock that was set back, or is behind another node's:
// nothing stored may be from the future.
func checkClock(ctx context.Context, l *ledger) store.Finding {
	newest, err := l.store.NewestMessage(ctx)
	ahead := time.Until(newest)
	if err == nil && ahead > 2*time.Second {
		err = fmt.Errorf("the newest message is %s in the future: was the clock set back, or is another node's ahead?", ahead.Round(time.Second))
	}
	return store.Finding{What: "clock", Err: err, Note: time.Now().UTC().Format(time.RFC3339)}
}
