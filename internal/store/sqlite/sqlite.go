// Package sqlite is the embedded engine: ledger and ephemeral store in one
// file, written by one group-committing writer and read through a small pool.
//
// Durability: WAL with synchronous=FULL, so an operation that returned nil
// survives a crash of the process and of the machine. Whatever SQLite cannot do
// (busy, full, damaged) is fault.Unavailable with nothing acknowledged.
package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/group"
)

//go:embed migrations/*.sql
var migrations embed.FS

// appID marks the file as ours ("CWRD"), so that another program's database is
// refused instead of migrated.
const appID = 0x43575244

// Config says where the file is and how much may wait.
type Config struct {
	// Path of the database file; its directory must exist.
	Path string
	// Queue bounds the operations that wait for the writer; beyond it calls are
	// refused at once. Default 1024.
	Queue int
	// MaxGroup bounds the operations in one commit. Default 256.
	MaxGroup int
	// Readers is the size of the read pool. Default 4.
	Readers int
	// BusyTimeout is how long to wait for another process (a command line tool)
	// that writes. Default 5 s.
	BusyTimeout time.Duration
	// PageSize for a new file, in bytes. Default 4096.
	PageSize int
	// Observe is told how long writes wait and take; the zero value measures nothing.
	Observe store.Observe

	checkpoint checkpointLimits
}

func (c *Config) setDefaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.Queue, 1024)
	set(&c.MaxGroup, 256)
	set(&c.Readers, 4)
	set(&c.PageSize, 4096)
	if c.BusyTimeout <= 0 {
		c.BusyTimeout = 5 * time.Second
	}
	if c.checkpoint == (checkpointLimits{}) {
		c.checkpoint = defaultCheckpoint()
	}
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	path    string
	writer  *writer
	readers chan *sqlite.Conn
	nReader int
	check   *checkpointer
	sweep   sweeper
	folding sync.Mutex

	clientNos sync.Map // client id -> int64, never changes once known
	closing   sync.Once
}

// Open opens or creates the file, brings its schema up to date and starts the
// writer.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	if err := create(cfg.Path); err != nil {
		return nil, err
	}
	// Opened before the first connection and closed after the last; see create.
	file, err := os.OpenFile(cfg.Path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s, err := openAll(ctx, cfg, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func openAll(ctx context.Context, cfg Config, file *os.File) (*Store, error) {
	conn, err := open(cfg, true)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlite: migrate %s: %w", cfg.Path, err), conn.Close())
	}
	s := &Store{path: cfg.Path, readers: make(chan *sqlite.Conn, cfg.Readers), nReader: cfg.Readers}
	for range cfg.Readers {
		r, err := open(cfg, false)
		if err != nil {
			return nil, errors.Join(err, s.closeReaders(len(s.readers)), conn.Close())
		}
		s.readers <- r
	}
	checkConn, err := open(cfg, true)
	if err != nil {
		return nil, errors.Join(err, s.closeReaders(len(s.readers)), conn.Close())
	}
	s.writer = newWriter(conn, group.Config{Queue: cfg.Queue, Max: cfg.MaxGroup, Observe: cfg.Observe})
	s.check = newCheckpointer(checkConn, file, s.writer, cfg.checkpoint)
	return s, nil
}

// create makes the file if it is missing, readable by its owner alone; SQLite
// would use the process's umask. An existing file is not touched: to close any
// descriptor of a file drops all POSIX locks that the process holds on it, and
// without them a command line tool would think itself alone and remove the log
// under the server.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	switch {
	case errors.Is(err, fs.ErrExist):
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return fmt.Errorf("sqlite: %s is a directory", path)
		}
		return nil
	case err != nil:
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return nil
}

func open(cfg Config, write bool) (*sqlite.Conn, error) {
	if err := registerOnce(); err != nil {
		return nil, err
	}
	uri := url.URL{Scheme: "file", Opaque: (&url.URL{Path: cfg.Path}).EscapedPath(), RawQuery: "vfs=" + walVFS}
	conn, err := sqlite.OpenConn(uri.String(), sqlite.OpenReadWrite, sqlite.OpenURI)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", cfg.Path, err)
	}
	conn.SetBusyTimeout(cfg.BusyTimeout)
	pragmas := []string{
		fmt.Sprintf("PRAGMA page_size = %d", cfg.PageSize),
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA trusted_schema = OFF",
		"PRAGMA cache_size = -2048",
	}
	if write {
		pragmas = append(pragmas,
			// A page and its header take 8 KiB of the translated C library's memory, which
			// has room in powers of two: so this is 32 MiB.
			"PRAGMA cache_size = -16384",
			// What is deleted or replaced is overwritten where that costs no page more.
			"PRAGMA secure_delete = FAST",
			// Pages of an open transaction stay in memory. Spilled ones would be
			// gathered by the VFS and could outlive a rollback (walvfs.go).
			"PRAGMA cache_spill = OFF",
			// What one long backup made the log grow to is given back.
			"PRAGMA journal_size_limit = 67108864",
			// macOS's fsync does not reach the disk; elsewhere these do nothing.
			"PRAGMA fullfsync = ON",
			"PRAGMA checkpoint_fullfsync = ON",
		)
	} else {
		pragmas = append(pragmas, "PRAGMA query_only = ON")
	}
	for _, p := range pragmas {
		if err := pragma(conn, p); err != nil {
			return nil, errors.Join(fmt.Errorf("sqlite: %s: %s: %w", cfg.Path, p, err), conn.Close())
		}
	}
	return conn, nil
}

func pragma(conn *sqlite.Conn, sql string) error {
	stmt, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return err
	}
	return errors.Join(query{stmt: stmt}.each(func(*sqlite.Stmt) {}), stmt.Finalize())
}

func pragmaInt(conn *sqlite.Conn, sql string) (v int, err error) {
	stmt, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return 0, err
	}
	_, err = query{stmt: stmt}.one(func(s *sqlite.Stmt) { v = s.ColumnInt(0) })
	return v, errors.Join(err, stmt.Finalize())
}

func migrate(ctx context.Context, conn *sqlite.Conn) error {
	scripts, err := migrationScripts()
	if err != nil {
		return err
	}
	// sqlitemigration leaves a newer schema alone, but its rows may mean what
	// this release does not know.
	id, err := pragmaInt(conn, "PRAGMA application_id")
	if err != nil {
		return err
	}
	version, err := pragmaInt(conn, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if id == appID && version > len(scripts) {
		return fmt.Errorf("schema version %d is newer than this release's %d", version, len(scripts))
	}
	return sqlitemigration.Migrate(ctx, conn, sqlitemigration.Schema{AppID: appID, Migrations: scripts})
}

func migrationScripts() ([]string, error) {
	entries, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	var scripts []string
	for _, e := range entries {
		raw, err := fs.ReadFile(migrations, "migrations/"+e.Name())
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, string(raw))
	}
	return scripts, nil
}

// read runs f on a connection of the read pool. It sees everything that was
// committed before it began.
func (s *Store) read(ctx context.Context, f func(*sqlite.Conn) error) error {
	if dead := s.writer.dead.Load(); dead != nil {
		return engineError(*dead)
	}
	select {
	case conn, ok := <-s.readers:
		if !ok {
			return unavailable("store is closed", nil)
		}
		defer func() { s.readers <- conn }()
		return engineError(f(conn))
	case <-ctx.Done():
		return unavailable("gave up waiting to read", ctx.Err())
	}
}

// snapshot is read with all of f's statements seeing the same state.
func (s *Store) snapshot(ctx context.Context, f func(*sqlite.Conn) error) error {
	return s.read(ctx, func(conn *sqlite.Conn) error {
		if err := prepare(conn, "BEGIN").exec(); err != nil {
			return err
		}
		err := f(conn)
		if end := prepare(conn, "COMMIT").exec(); err == nil {
			err = end
		}
		return err
	})
}

// clientNo maps a client id to the number that rows refer to.
func (s *Store) clientNo(ctx context.Context, id string) (int64, error) {
	if no, ok := s.clientNos.Load(id); ok {
		return no.(int64), nil //nolint:errcheck,forcetypeassert // only int64 is stored
	}
	var no int64
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		found, err := prepare(conn, `SELECT client_no FROM clients WHERE client_id = ?`).text(id).
			one(func(st *sqlite.Stmt) { no = st.ColumnInt64(0) })
		if err == nil && !found {
			return fault.New(fault.NotFound, "client is not stored")
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	s.clientNos.Store(id, no)
	return no, nil
}

// Ping says whether the store can write right now.
func (s *Store) Ping(ctx context.Context) error {
	return s.writer.do(ctx, func(t *tx) error {
		return prepare(t.conn, `UPDATE padding SET n = n + 1 WHERE id = 1`).exec()
	})
}

// Lost is closed when a failed fsync may have lost pages that were written. From
// then on every call fails; opening the file again, in a new process, replays
// what is truly on the disk.
func (s *Store) Lost() <-chan struct{} { return s.writer.lost }

// Stats counts commits and the operations in them since Open, and the
// operations waiting now.
type Stats struct {
	Commits, Operations int64
	Queued              int
}

// Stats tells how the writer is doing.
func (s *Store) Stats() Stats {
	return Stats{Commits: s.writer.groups.Load(), Operations: s.writer.operations.Load(), Queued: s.writer.queue.Len()}
}

// Close answers what is queued, folds the log into the file and closes it.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		s.check.close()
		s.writer.queue.Close()
		err = errors.Join(
			pragma(s.writer.tx.conn, "PRAGMA wal_checkpoint(TRUNCATE)"),
			s.closeReaders(s.nReader),
			s.check.conn.Close(),
			s.writer.tx.conn.Close(),
			s.check.file.Close(),
		)
	})
	return err
}

func (s *Store) closeReaders(n int) error {
	var errs []error
	for range n {
		errs = append(errs, (<-s.readers).Close())
	}
	close(s.readers)
	return errors.Join(errs...)
}

// Dir is the directory of the file.
func (s *Store) Dir() string { return filepath.Dir(s.path) }
