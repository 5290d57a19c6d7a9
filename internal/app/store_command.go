package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"codeword/internal/keyring"
	"codeword/internal/store/sqlite"
)

type migrateCommand struct{ ledgerFlags }

// Run creates the database or brings its schema up to date.
func (c *migrateCommand) Run(ctx context.Context, s streams) error {
	path, err := c.resolveDatabase()
	if err != nil {
		return err
	}
	st, err := sqlite.Open(ctx, sqlite.Config{Path: path})
	if err != nil {
		return err
	}
	if err := st.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, path, "is up to date")
	return err
}

type backupCommand struct {
	ledgerFlags
	Out string `required:"" help:"File to write; it must not exist." placeholder:"FILE"`
}

// Run writes a consistent copy while servers may go on writing. The keyset is
// not part of it, so that a stolen backup can be read by nobody.
func (c *backupCommand) Run(ctx context.Context, s streams) error {
	return c.with(ctx, s, func(l *ledger, _ *slog.Logger) error {
		err := l.store.Backup(ctx, c.Out)
		switch {
		case errors.Is(err, fs.ErrExist):
			return asUsage(fmt.Errorf("%s exists; a backup never overwrites", c.Out))
		case err != nil:
			return err
		}
		_, err = fmt.Fprintf(s.out, "wrote %s\n\nThe keyset %s is not in it; back it up apart.\n", c.Out, c.Keyset)
		return err
	})
}

type restoreCommand struct {
	ledgerFlags
	From string `required:"" help:"File that 'codeword backup' wrote." placeholder:"FILE"`
}

// Run puts the backup in the place of a database that does not exist, or that
// the operator has moved away: nothing is ever overwritten.
func (c *restoreCommand) Run(ctx context.Context, s streams) error {
	path, err := c.resolve()
	if err != nil {
		return err
	}
	for _, p := range []string{path, path + "-wal"} {
		if _, err := os.Stat(p); err == nil {
			return asUsage(fmt.Errorf("%s exists; stop the server and move it away first", p))
		}
	}
	if _, err := os.Stat(c.From); err != nil {
		return asUsage(err)
	}
	if _, err := keyring.Load(c.Keyset); err != nil {
		return asUsage(err) // before anything is copied
	}
	if err := sqlite.Check(ctx, c.From); err != nil {
		return asUsage(fmt.Errorf("%s cannot be restored: %w", c.From, err))
	}
	if err := copyFile(c.From, path); err != nil {
		return err
	}
	l, err := openLedger(ctx, path, c.Keyset, slog.New(slog.NewTextHandler(s.err, nil)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "restored %s with %d clients\n", path, len(l.clients.Clients()))
	return errors.Join(err, l.close())
}

// copyFile copies by way of a temporary name, so that a crash leaves no half
// database under the real one.
func copyFile(from, to string) error {
	raw, err := os.Open(from) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }() // only read
	tmp := to + ".restore"
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(raw)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = os.Rename(tmp, to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	dir, err := os.Open(filepath.Dir(to)) // the new name must survive a crash, too
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
