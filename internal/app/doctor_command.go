package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"codeword/internal/store/sqlite"
)

type doctorCommand struct {
	ledgerFlags
	Carriers  string `help:"Also ask each carrier of this file whether it lets us in." placeholder:"FILE"`
	PublicURL string `help:"The server's public URL, to judge the carriers' callback settings as well." placeholder:"URL"`
}

// finding is one line of the doctor's report.
type finding struct {
	what string
	err  error
	note string
}

// Run checks everything it can reach and reports all of it; it fails when one
// check does.
func (c *doctorCommand) Run(ctx context.Context, s streams) error {
	path, err := c.resolve()
	if err != nil {
		return err
	}
	findings := []finding{{what: "database file", err: checkFile(ctx, path), note: path}}
	if findings[0].err == nil {
		findings = append(findings, c.examine(ctx, path, s)...)
	}
	if c.Carriers != "" {
		findings = append(findings, checkCarriers(ctx, c.Carriers, c.PublicURL, s)...)
	}
	failed, width := 0, 0
	for _, f := range findings {
		width = max(width, len(f.what))
	}
	for _, f := range findings {
		mark := "ok  "
		if f.err != nil {
			mark, f.note = "FAIL", f.err.Error()
			failed++
		}
		if _, err := fmt.Fprintf(s.out, "%s  %-*s  %s\n", mark, width, f.what, f.note); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(findings))
	}
	return nil
}

// checkFile reads the whole file and fails if it is missing, another program's
// or damaged.
func checkFile(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err // SQLite's own words for it are vague
	}
	if err := sqlite.Check(ctx, path); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c *doctorCommand) examine(ctx context.Context, path string, s streams) []finding {
	log := slog.New(slog.NewTextHandler(s.err, nil))
	l, err := openLedger(ctx, path, c.Keyset, log)
	if err != nil {
		return []finding{{what: "keyset", err: err}}
	}
	defer func() { _ = l.close() }() // only looked at
	out := []finding{{what: "keyset", note: c.Keyset}}
	began := time.Now()
	err = l.store.Ping(ctx)
	out = append(out, finding{"durable write", err, fmt.Sprintf("%.1f ms", time.Since(began).Seconds()*1000)})
	stats, err := l.store.QueueStats(ctx)
	out = append(out, finding{"queue", err, queueNote(stats.Depth, stats.Oldest)})
	out = append(out, checkSigning(ctx, l, log), checkClients(ctx, l), checkClock(ctx, l), checkDisk(l.store.Dir()))
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
func checkSigning(ctx context.Context, l *ledger, log *slog.Logger) finding {
	manager, err := l.sessions(ctx, log)
	if err != nil {
		return finding{what: "signing keys", err: err}
	}
	keys, err := manager.ListKeys(ctx)
	if err == nil && len(keys) > 0 {
		err = manager.Load(ctx)
	}
	return finding{"signing keys", err, fmt.Sprintf("%d", len(keys))}
}

func checkClients(ctx context.Context, l *ledger) finding {
	rows, err := l.store.Clients(ctx)
	var errs []error
	for _, row := range rows {
		if v := viewClient(row); v.Problem != "" {
			errs = append(errs, fmt.Errorf("%s: %s", v.ID, v.Problem))
		}
	}
	return finding{"clients", errors.Join(append(errs, err)...), fmt.Sprintf("%d", len(rows))}
}

// checkClock looks for a clock that was set back: nothing stored may be from
// the future.
func checkClock(ctx context.Context, l *ledger) finding {
	newest, err := l.store.NewestMessage(ctx)
	ahead := time.Until(newest)
	if err == nil && ahead > 2*time.Second {
		err = fmt.Errorf("the newest message is %s in the future: was the clock set back?", ahead.Round(time.Second))
	}
	return finding{"clock", err, time.Now().UTC().Format(time.RFC3339)}
}

// checkDisk proves that the directory of the database takes new files.
func checkDisk(dir string) finding {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	return finding{"directory", err, dir}
}
