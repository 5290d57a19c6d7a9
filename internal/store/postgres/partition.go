package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// partitionsKept is about how many partitions the retention is divided into:
	// few, since every statement on the log locks all of them.
	partitionsKept = 10
	dayLength      = 24 * time.Hour
	dayFormat      = "20060102"
	// idSkew is how far the time in an id may be from the message's created_at.
	idSkew = time.Minute
)

// partition is the part of the message log, and of what hangs on it, from one day
// to before another.
type partition struct{ from, to time.Time }

// name carries the bounds, so that they need not be read from the catalog.
func (p partition) name(table string) string {
	return table + "_" + p.from.Format(dayFormat) + "_" + p.to.Format(dayFormat)
}

func parsePartition(name string) (p partition, ok bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		return p, false
	}
	var errFrom, errTo error
	p.from, errFrom = time.Parse(dayFormat, parts[1])
	p.to, errTo = time.Parse(dayFormat, parts[2])
	return p, errFrom == nil && errTo == nil
}

// firstID sorts before every id made from t on (RFC 9562 §5.7).
func firstID(t time.Time) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(max(0, t.UnixMilli()))<<16)
	return id
}

// loggedTables are those that are partitioned by the time of the message.
var loggedTables = [...]string{"receipts", "dispatches", "messages"}

// KeepPartitions makes the partitions of the message log that will be needed soon
// and drops those whose retention has passed, unless a message in them is still to
// be sent. It is to be called at the start, so that no message lands in the
// partition for all others, and then at least once a day, by one node.
func (s *Store) KeepPartitions(ctx context.Context, now time.Time, keep time.Duration) error {
	var have []partition
	err := s.query(ctx, func(c row) {
		if p, ok := parsePartition(c.text(0)); ok {
			have = append(have, p)
		}
	}, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'messages'::regclass ORDER BY 1`)
	if err != nil {
		return err
	}
	width := max(dayLength, (keep / partitionsKept).Truncate(dayLength))
	next := now.UTC().Truncate(dayLength)
	for _, p := range have {
		if p.to.After(next) {
			next = p.to
		}
	}
	// The one that is being filled and another, so that a day in which nothing can
	// be made does no harm.
	for horizon := now.Add(width + dayLength); next.Before(horizon); next = next.Add(width) {
		if err := s.makePartition(ctx, partition{next, next.Add(width)}); err != nil {
			return err
		}
	}
	oldest := now.Add(-max(keep, leastKept) - idSkew)
	for _, p := range have {
		if !p.to.After(oldest) {
			if err := s.dropPartition(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// ddlWait bounds how long a change of partitions waits for the statements under
// way, since all others wait behind it.
const ddlWait = `SET LOCAL lock_timeout = '2s'`

func (s *Store) makePartition(ctx context.Context, p partition) error {
	err := s.transact(ctx, func(t *tx) error {
		t.exec(ddlWait)
		from, to := firstID(p.from), firstID(p.to)
		for _, table := range loggedTables {
			t.exec(fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')
				WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0)`,
				p.name(table), table, uuid.UUID(from), uuid.UUID(to)))
		}
		return nil
	})
	if code(err) == checkViolation {
		return nil // messages of that time stand with the rest already, and stay there
	}
	return err
}

func (s *Store) dropPartition(ctx context.Context, p partition) error {
	return s.transact(ctx, func(t *tx) error {
		busy := false
		t.exec(ddlWait)
		t.each(func(row) { busy = true }, `SELECT 1 FROM `+p.name("messages")+` WHERE due_at IS NOT NULL LIMIT 1`)
		if err := t.flush(); err != nil || busy {
			return err
		}
		for _, table := range loggedTables {
			t.exec(`DROP TABLE IF EXISTS ` + p.name(table))
		}
		return nil
	})
}
