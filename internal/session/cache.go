package session

import (
	"sync"
	"time"
)

const shardCount = 64

// The bounds of the caches, in entries per node.
const (
	maxTokens    = 64 << 10
	maxLive      = 64 << 10
	maxRefreshed = 16 << 10
)

// cache is a bounded map whose entries end. It is split in shards so that
// requests on different cores seldom meet at one lock.
type cache[K comparable, V any] struct {
	pick   func(K) byte
	room   int
	shards [shardCount]shard[K, V]
}

type shard[K comparable, V any] struct {
	mu    sync.Mutex
	items map[K]item[V]
	// drops counts calls of drop: whoever loaded a value before a drop must
	// not put it back after.
	drops uint64
}

type item[V any] struct {
	value V
	until int64
}

// newCache returns a cache of at most size entries; pick spreads the keys.
func newCache[K comparable, V any](size int, pick func(K) byte) *cache[K, V] {
	c := &cache[K, V]{pick: pick, room: max(1, size/shardCount)}
	for i := range c.shards {
		c.shards[i].items = make(map[K]item[V])
	}
	return c
}

func (c *cache[K, V]) shard(k K) *shard[K, V] { return &c.shards[c.pick(k)%shardCount] }

// get returns the value unless it has ended.
func (c *cache[K, V]) get(k K, now time.Time) (V, bool) {
	s := c.shard(k)
	s.mu.Lock()
	it, ok := s.items[k]
	s.mu.Unlock()
	if !ok || it.until <= now.UnixNano() {
		var none V
		return none, false
	}
	return it.value, true
}

// mark is taken before a value is loaded and given to put.
func (c *cache[K, V]) mark(k K) uint64 {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drops
}

// put keeps a value until a time, unless something of its shard was dropped
// since mark. A full shard gives up an entry.
func (c *cache[K, V]) put(k K, v V, now, until time.Time, mark uint64) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drops != mark {
		return
	}
	if _, ok := s.items[k]; !ok && len(s.items) >= c.room {
		s.evict(now.UnixNano())
	}
	s.items[k] = item[V]{value: v, until: until.UnixNano()}
}

// evict looks at a few entries, which Go's maps give in random order, and
// removes those that have ended or else the one that ends first.
func (s *shard[K, V]) evict(now int64) {
	const sample = 8
	var (
		seen, removed int
		first         K
		firstUntil    int64
	)
	for k, it := range s.items {
		switch {
		case it.until <= now:
			delete(s.items, k)
			removed++
		case seen == removed || it.until < firstUntil:
			first, firstUntil = k, it.until
		}
		if seen++; seen == sample {
			break
		}
	}
	if removed == 0 {
		delete(s.items, first)
	}
}

// drop forgets a key and whatever is being loaded for its shard right now.
func (c *cache[K, V]) drop(k K) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, k)
	s.drops++
}

// sweep removes what has ended.
func (c *cache[K, V]) sweep(now time.Time) {
	ended := now.UnixNano()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for k, it := range s.items {
			if it.until <= ended {
				delete(s.items, k)
			}
		}
		s.mu.Unlock()
	}
}

// len counts the entries, ended ones included.
func (c *cache[K, V]) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.items)
		s.mu.Unlock()
	}
	return n
}
