// Package postgres is the engine for several nodes on one PostgreSQL database:
// ledger and ephemeral store, for PostgreSQL 15 and later.
//
// The intents of callers are carried out in groups (group.go): what is queued in
// a node becomes one transaction of two pipelined round trips, so that many share
// one flush of the write-ahead log. Everything else is a transaction of its own.
//
// Durability is the server's: an operation that returned nil was committed, and
// synchronous_commit is never below "local". Whatever PostgreSQL cannot do is
// fault.Unavailable; if the connection broke during a commit nobody knows what
// became of it, and that is fault.Unavailable, too.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/group"
)

// engine begins the detail of what goes wrong here.
const engine = "postgres"

// readers is how many groups of reads may be on their way at once.
const readers = 2

// Config says where the database is and how much may wait.
type Config struct {
	// URL is a connection URL or key=value string, as libpq takes it.
	URL string
	// Queue bounds the operations that wait for a committer; beyond it calls are
	// refused at once. Default 1024.
	Queue int
	// MaxGroup bounds the operations in one commit. Default 256.
	MaxGroup int
	// Committers is how many groups may be on their way at once, each on a
	// connection of its own. Default 2.
	Committers int
	// Pool bounds the connections for everything else. Default 8.
	Pool int
	// Timeout bounds every transaction, the wait for a connection and for locks
	// included. Default 5 s.
	Timeout time.Duration
	// GroupTimeout is the same for groups; callers wait for those, and for the group
	// before. Default 3 s.
	GroupTimeout time.Duration
	// Observe is told how long the operations of callers wait and take; the zero value
	// measures nothing.
	Observe store.Observe
}

func (c *Config) setDefaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&c.Queue, 1024)
	set(&c.MaxGroup, 256)
	set(&c.Committers, 2)
	set(&c.Pool, 8)
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.GroupTimeout <= 0 {
		c.GroupTimeout = 3 * time.Second
	}
}

// Validate reports what is wrong with a URL, without its password.
func Validate(url string) error {
	_, err := parse(url)
	return err
}

func parse(url string) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	switch pc.ConnConfig.DefaultQueryExecMode {
	case pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol:
		return nil, errors.New("default_query_exec_mode has to prepare statements: leave it out")
	}
	return pc, nil
}

// Store is an open database. It is safe for concurrent use.
type Store struct {
	cfg        Config
	pool       *pgxpool.Pool
	queue      *group.Queue[op]
	reads      *group.Queue[*factsRead]
	receipts   *group.Queue[*receiptCall]
	committers []*committer
	sweep      sweeper
	announcer  *announcer
	// connConfig is for connections beside the pool.
	connConfig *pgx.ConnConfig

	clientNos sync.Map // client id -> int64, never changes once known
	clientIDs sync.Map // the other way round
	closing   sync.Once
	closed    atomic.Bool
	// commits and operations count groups and what they carried.
	commits, operations atomic.Int64
}

// Open connects, brings the schema up to date and starts the committers.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	pc, err := parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	configure(pc.ConnConfig, cfg.Timeout)
	pc.AfterConnect = prepareSession
	pc.MaxConns = int32(min(cfg.Pool, 1000))
	if err := migrate(ctx, pc.ConnConfig.Copy()); err != nil {
		return nil, fmt.Errorf("postgres: migrate: %w", err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	s := &Store{cfg: cfg, pool: pool, announcer: newAnnouncer(), connConfig: pc.ConnConfig.Copy()}
	s.queue = group.New[op](group.Config{Engine: engine, Queue: cfg.Queue, Max: cfg.MaxGroup, Observe: cfg.Observe})
	for range cfg.Committers {
		c := newCommitter(s)
		s.committers = append(s.committers, c)
		s.queue.Start(c.commit, nil)
	}
	s.reads = group.New[*factsRead](group.Config{Engine: engine, Queue: cfg.Queue, Max: cfg.MaxGroup})
	for range readers {
		s.reads.Start(s.readFacts, nil)
	}
	s.receipts = group.New[*receiptCall](group.Config{Engine: engine, Queue: cfg.Queue, Max: cfg.MaxGroup})
	for range receiptGroups {
		s.receipts.Start(s.applyGroup, nil)
	}
	return s, nil
}

// configure sets what every session of ours needs. Statements are few and always
// the same, and their keys lead to a handful of rows: a plan is made once, without
// looking at values, and never reads a whole table because statistics of a table
// that was empty a moment ago say so.
func configure(c *pgx.ConnConfig, timeout time.Duration) {
	ms := fmt.Sprint(timeout.Milliseconds())
	for name, value := range map[string]string{
		"application_name": "codeword",
		"plan_cache_mode":  "force_generic_plan",
		"enable_seqscan":   "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"enable_bitmapscan": "off", "enable_material": "off",
		"jit": "off",
		// To start workers takes longer than any of them.
		"max_parallel_workers_per_gather": "0",
		// Each statement sees what was committed before it: who has waited for a lock
		// has to see what its holder wrote.
		"default_transaction_isolation": "read committed",
		"statement_timeout":             ms,
		// A node that dies or stalls with a transaction open must not hold its locks
		// for long.
		"idle_in_transaction_session_timeout": ms,
	} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	// Without a limit in the URL the driver's is two minutes.
	c.ConnectTimeout = min(c.ConnectTimeout, timeout/2)
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = timeout / 2
	}
}

// prepareSession sees to it that a commit is durable whatever the server's default is,
// or becomes while the session lasts.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)`)
	return err
}

// Ping says whether the store can write right now.
func (s *Store) Ping(ctx context.Context) error { return s.queue.Do(ctx, pad{}) }

// Stats counts commits of groups and the operations in them since Open, and the
// operations waiting now.
type Stats struct {
	Commits, Operations int64
	Queued              int
}

// Stats tells how the committers are doing.
func (s *Store) Stats() Stats {
	return Stats{Commits: s.commits.Load(), Operations: s.operations.Load(), Queued: s.queue.Len()}
}

// Close answers what is queued and ends all connections.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.queue.Close()
		s.reads.Close()
		s.receipts.Close()
		for _, c := range s.committers {
			c.hangUp()
		}
		s.closed.Store(true)
		s.pool.Close()
	})
	return nil
}

// clientNo maps a client id to the number that rows refer to.
func (s *Store) clientNo(ctx context.Context, id string) (int64, error) {
	if no, ok := s.clientNos.Load(id); ok {
		return no.(int64), nil //nolint:errcheck,forcetypeassert // only int64 is stored
	}
	var no int64
	err := s.read(ctx, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, `SELECT client_no FROM clients WHERE client_id = $1`, id).Scan(&no)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fault.New(fault.NotFound, "client is not stored")
	}
	if err != nil {
		return 0, err
	}
	s.clientNos.Store(id, no)
	s.clientIDs.Store(no, id)
	return no, nil
}
