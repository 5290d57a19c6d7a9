package sqlite

import (
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/guard"
	"codeword/internal/store"
)

// limitCacheSize bounds the theoretical arrival times kept in memory.
const limitCacheSize = 4096

// limitCache keeps hot limits (a client's own is touched by every send) in the
// writer's memory and writes each at most once a group. It belongs to the
// writer's goroutine; only one process may write limits to a file.
type limitCache struct {
	tats  map[string]time.Time
	dirty map[string]struct{}
}

func newLimitCache() *limitCache {
	return &limitCache{tats: make(map[string]time.Time), dirty: make(map[string]struct{})}
}

func (c *limitCache) load(conn *sqlite.Conn, key string) (time.Time, error) {
	if tat, ok := c.tats[key]; ok {
		return tat, nil
	}
	var tat time.Time
	_, err := prepare(conn, `SELECT tat FROM limits WHERE limit_key = ?`).blob([]byte(key)).
		one(func(s *sqlite.Stmt) { tat = columnTime(s, 0) })
	if err != nil {
		return time.Time{}, err
	}
	c.evict()
	c.tats[key] = tat
	return tat, nil
}

// evict makes room by dropping what is not waiting to be written, in map order.
func (c *limitCache) evict() {
	if len(c.tats) < limitCacheSize {
		return
	}
	for key := range c.tats {
		if _, dirty := c.dirty[key]; !dirty {
			delete(c.tats, key)
		}
		if len(c.tats) < limitCacheSize*3/4 {
			return
		}
	}
}

func (c *limitCache) store(key string, tat time.Time) {
	c.tats[key] = tat
	c.dirty[key] = struct{}{}
}

// flush writes what changed; part of the group's transaction.
func (c *limitCache) flush(conn *sqlite.Conn) error {
	for key := range c.dirty {
		err := prepare(conn, `INSERT INTO limits (limit_key, tat) VALUES (?, ?)
			ON CONFLICT (limit_key) DO UPDATE SET tat = excluded.tat`).
			blob([]byte(key)).time(c.tats[key]).exec()
		if err != nil {
			return err
		}
	}
	clear(c.dirty)
	return nil
}

// forget drops everything after a rollback: memory may be ahead of the file.
func (c *limitCache) forget() {
	clear(c.tats)
	clear(c.dirty)
}

// check decides about one charge without taking it.
func (t *tx) check(now time.Time, c *store.Charge) (guard.Decision, error) {
	if c.Bucket.Unlimited() {
		return guard.Decision{Allowed: true}, nil
	}
	tat, err := t.limits.load(t.conn, c.Key)
	if err != nil {
		return guard.Decision{}, err
	}
	return c.Bucket.Take(now, tat), nil
}
