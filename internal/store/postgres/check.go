package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/store"
)

const (
	// oldestServer is the least server_version_num that the statements here know.
	oldestServer = 150000
	// A clock that is off by skewNoted is worth a word; by skewWrong it makes nodes
	// disagree on what has expired.
	skewNoted = 500 * time.Millisecond
	skewWrong = 2 * time.Second
	// lagNoted is how far a standby may be behind before it is worth a word.
	lagNoted = 30 * time.Second
)

// HasSchema tells whether a database has the tables of this service, of any version.
// It changes nothing.
func HasSchema(ctx context.Context, url string) (found bool, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return false, fmt.Errorf("postgres: %w", err)
	}
	configure(cfg, 10*time.Second)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, fmt.Errorf("postgres: %w", err)
	}
	err = conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, versionTable).Scan(&found)
	return found, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

// Check examines the server: what it is, whether it keeps what it commits, its
// standbys, its clock against this node's, the schema, and what keeps the tables
// from growing.
func (s *Store) Check(ctx context.Context, now func() time.Time) []store.Finding {
	out := make([]store.Finding, 0, 8)
	for _, look := range [...]struct {
		what string
		at   func(context.Context, *store.Finding) error
	}{
		{"server", s.checkServer},
		{"durability", s.checkDurability},
		{"replication", s.checkReplication},
		{"clock skew", func(ctx context.Context, f *store.Finding) error { return s.checkSkew(ctx, now, f) }},
		{"schema", s.checkSchema},
		{"partitions", func(ctx context.Context, f *store.Finding) error { return s.checkPartitions(ctx, now(), f) }},
		{"autovacuum", s.checkVacuum},
		{"connections", s.checkConnections},
	} {
		f := store.Finding{What: look.what}
		f.Err = look.at(ctx, &f)
		out = append(out, f)
	}
	return out
}

// settings reads settings of the server by name.
func (s *Store) settings(ctx context.Context, names ...string) (map[string]string, error) {
	found := make(map[string]string, len(names))
	err := s.query(ctx, func(c row) { found[c.text(0)] = c.text(1) },
		`SELECT name, COALESCE(reset_val, setting) FROM pg_settings WHERE name = ANY($1)`, names)
	return found, err
}

func (s *Store) checkServer(ctx context.Context, f *store.Finding) error {
	var version int64
	standby := false
	err := s.query(ctx, func(c row) {
		version, f.Note, standby = c.int(0), "PostgreSQL "+c.text(1), c.bool(2)
	}, `SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), pg_is_in_recovery()`)
	switch {
	case err != nil:
		return err
	case version < oldestServer:
		return fmt.Errorf("%s is too old: at least PostgreSQL %d", f.Note, oldestServer/10000)
	case standby:
		return errors.New("it is a standby and takes no writes: name the primary, or several hosts with target_session_attrs=read-write")
	}
	return nil
}

func (s *Store) checkDurability(ctx context.Context, f *store.Finding) error {
	set, err := s.settings(ctx, "fsync", "full_page_writes", "synchronous_commit")
	if err != nil {
		return err
	}
	f.Note = "fsync " + set["fsync"] + ", full_page_writes " + set["full_page_writes"] + ", synchronous_commit " + set["synchronous_commit"]
	switch {
	case set["fsync"] != "on" || set["full_page_writes"] != "on":
		f.Warning = true
		f.Note += ": a crash of the machine can damage the database"
	case set["synchronous_commit"] == "off":
		f.Note += ": overruled with on"
	}
	return nil
}

func (s *Store) checkReplication(ctx context.Context, f *store.Finding) error {
	var standbys, synchronous int64
	var lag time.Duration
	err := s.query(ctx, func(c row) {
		standbys, synchronous, lag = c.int(0), c.int(1), time.Duration(c.int(2))*time.Microsecond
	}, `SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
			COALESCE((extract(epoch FROM max(replay_lag)) * 1000000)::bigint, 0)
		FROM pg_stat_replication`)
	if err != nil {
		return err
	}
	set, err := s.settings(ctx, "synchronous_standby_names")
	if err != nil {
		return err
	}
	f.Note = fmt.Sprintf("%d standbys, %d of them synchronous", standbys, synchronous)
	switch {
	case standbys == 0 && set["synchronous_standby_names"] != "":
		f.Warning = true
		f.Note += ": commits wait for one"
	case standbys == 0:
		f.Note = "no standby"
	case lag > lagNoted:
		f.Warning = true
		f.Note += fmt.Sprintf(": one is %s behind", lag.Round(time.Second))
	}
	return nil
}

// checkSkew compares this node's clock with the server's, which all nodes share.
func (s *Store) checkSkew(ctx context.Context, now func() time.Time, f *store.Finding) error {
	var ahead, doubt time.Duration
	for range 3 { // the first one may have to connect
		var theirs int64
		began := now()
		err := s.query(ctx, func(c row) { theirs = c.int(0) }, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`)
		if err != nil {
			return err
		}
		took := now().Sub(began)
		if doubt == 0 || took/2 < doubt {
			ahead, doubt = began.Add(took/2).Sub(time.UnixMicro(theirs)), took/2
		}
	}
	f.Note = fmt.Sprintf("this node is %s ahead of the server (± %s)", ahead.Round(time.Millisecond/10), doubt.Round(time.Millisecond/10))
	if ahead < 0 {
		f.Note = fmt.Sprintf("this node is %s behind the server (± %s)", -ahead.Round(time.Millisecond/10), doubt.Round(time.Millisecond/10))
	}
	switch off := ahead.Abs() - doubt; {
	case off > skewWrong:
		return errors.New(f.Note + ": nodes whose clocks differ disagree on what has expired")
	case off > skewNoted:
		f.Warning = true
	}
	return nil
}

func (s *Store) checkSchema(ctx context.Context, f *store.Finding) error {
	return s.query(ctx, func(c row) { f.Note = fmt.Sprintf("version %d", c.int(0)) }, `SELECT version::bigint FROM `+versionTable)
}

func (s *Store) checkPartitions(ctx context.Context, now time.Time, f *store.Finding) error {
	n, covered := 0, false
	var until time.Time
	err := s.query(ctx, func(c row) {
		p, ok := parsePartition(c.text(0))
		if !ok {
			return
		}
		n++
		covered = covered || !now.Before(p.from) && now.Before(p.to)
		if p.to.After(until) {
			until = p.to
		}
	}, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'messages'::regclass`)
	if err != nil {
		return err
	}
	switch {
	case n == 0:
		f.Note = "none yet; a server makes them when it starts"
	case !covered:
		f.Warning = true
		f.Note = fmt.Sprintf("made until %s: messages of today are swept row by row; does a server run?", until.Format(time.DateOnly))
	default:
		f.Note = fmt.Sprintf("%d, made until %s", n, until.Format(time.DateOnly))
	}
	return nil
}

func (s *Store) checkVacuum(ctx context.Context, f *store.Finding) error {
	set, err := s.settings(ctx, "autovacuum", "track_counts")
	if err != nil {
		return err
	}
	var off []string
	for _, name := range []string{"autovacuum", "track_counts"} {
		if set[name] != "on" {
			off = append(off, name)
		}
	}
	if len(off) > 0 {
		return fmt.Errorf("%s off: the tables grow with every send", strings.Join(off, " and "))
	}
	f.Note = "on"
	return nil
}

// besidePool are the connections of a node that are neither a committer's nor the
// pool's: one that leads, one that listens, and one that migrates.
const besidePool = 3

func (s *Store) checkConnections(ctx context.Context, f *store.Finding) error {
	var allowed, used int64
	err := s.query(ctx, func(c row) { allowed, used = c.int(0), c.int(1) },
		`SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
				- COALESCE(current_setting('reserved_connections', true)::bigint, 0),
			(SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND COALESCE(backend_type, 'client backend') = 'client backend')`)
	if err != nil {
		return err
	}
	need := int64(s.cfg.Committers + s.cfg.Pool + besidePool)
	f.Note = fmt.Sprintf("%d of %d are in use; a node takes %d at most", used, allowed, need)
	if allowed-used < need {
		f.Warning = true
		f.Note += ": there is no room for one more"
	}
	return nil
}
