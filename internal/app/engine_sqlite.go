package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// sqliteEngine is the engine in a file. Its tools are those of files: a lock, a
// backup, the directory it lies in.
type sqliteEngine struct{ *sqlite.Store }

func openSQLite(ctx context.Context, path string, o store.Observe) (engine, error) {
	st, err := sqlite.Open(ctx, sqlite.Config{Path: path, Observe: o})
	if err != nil {
		return nil, err
	}
	return sqliteEngine{st}, nil
}

func (e sqliteEngine) figures() figures {
	s := e.Stats()
	return figures{commits: s.Commits, operations: s.Operations, queued: s.Queued}
}

// Check proves that the directory of the database takes new files.
func (e sqliteEngine) Check(context.Context, func() time.Time) []store.Finding {
	f, err := os.CreateTemp(e.Dir(), ".doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	return []store.Finding{{What: "directory", Note: e.Dir(), Err: err}}
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

// fileExists refuses what would become an empty database.
func fileExists(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return asUsage(fmt.Errorf("database: %s does not exist; 'codeword migrate' creates it", path))
	}
	return nil
}
