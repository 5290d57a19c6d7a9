package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"codeword/internal/audit"
	"codeword/internal/keyring"
	"codeword/internal/store/sqlite"
)

type migrateCommand struct {
	Up   migrateUp   `cmd:"" default:"withargs" help:"Create the database or bring its schema up to date."`
	Copy migrateCopy `cmd:"" help:"Copy what is kept to another database, to move there. Stop all servers first."`
}

type migrateUp struct{ storeFlags }

// Run creates the database or brings its schema up to date.
func (c *migrateUp) Run(ctx context.Context, s streams) error {
	st, err := c.resolveDatabase()
	if err != nil {
		return err
	}
	e, err := openEngine(ctx, st, nil, observers{})
	if err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, st.Database(), "is up to date")
	return err
}

// errNotAFile is why a command does nothing for a database that has its own tools.
func errNotAFile(what, instead string) error {
	return asUsage(fmt.Errorf("%s works on sqlite:PATH alone; %s (docs/operations.md, Backup and restore)", what, instead))
}

type backupCommand struct {
	ledgerFlags
	Out string `required:"" help:"File to write; it must not exist." placeholder:"FILE"`
}

// Run writes a consistent copy while servers may go on writing. The keyset is
// not part of it, so that a stolen backup can be read by nobody.
func (c *backupCommand) Run(ctx context.Context, s streams) error {
	st, err := c.resolve()
	if err != nil {
		return err
	}
	if st.File == "" {
		return errNotAFile("backup", "back PostgreSQL up with pg_dump")
	}
	return withLedger(ctx, st, c.Keyset, s, func(l *ledger, _ *slog.Logger) error {
		file, _ := capability[singular](l.store) // which every file is
		err := file.Backup(ctx, c.Out)
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
	st, err := c.resolve()
	if err != nil {
		return err
	}
	if st.File == "" {
		return errNotAFile("restore", "restore PostgreSQL with pg_restore, and then run 'codeword forget'")
	}
	path := st.File
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
	clients, err := c.place(ctx, s, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "restored %s with %d clients\n\nIts sessions, codes and queued messages have ended.\n", path, clients)
	return err
}

// place works on a copy under a temporary name, so that a crash leaves under the
// real one neither half a database nor one in which sessions and codes live
// again that were revoked or used since. It returns the number of clients.
func (c *restoreCommand) place(ctx context.Context, s streams, path string) (clients int, err error) {
	tmp := path + ".restore"
	if err := removeDatabase(tmp); err != nil { // what an earlier crash left
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeDatabase(tmp))
		}
	}()
	if err := copyFile(c.From, tmp); err != nil {
		return 0, err
	}
	l, err := openLedger(ctx, storage{File: tmp}, c.Keyset, slog.New(slog.NewTextHandler(s.err, nil)))
	if err != nil {
		return 0, err
	}
	clients = len(l.clients.Clients())
	past, _ := capability[forgetful](l.store) // which every ledger is
	data := map[string]string{"from": c.From}
	err = forget(ctx, past, l.audit, audit.Entry{Actor: l.actor, Kind: eventRestore, Data: data})
	if err := errors.Join(err, l.close()); err != nil {
		return 0, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return 0, err
	}
	return clients, syncDir(filepath.Dir(path))
}

// removeDatabase removes a database with its log, or what there is of them.
func removeDatabase(path string) error {
	var errs []error
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// copyFile writes a durable copy that its owner alone can read.
func copyFile(from, to string) error {
	raw, err := os.Open(from) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }() // only read

	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(raw)
	return errors.Join(err, out.Sync(), out.Close())
}

// syncDir makes a new name in a directory survive a crash. Windows cannot flush
// a directory.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
