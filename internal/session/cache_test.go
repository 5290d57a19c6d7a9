package session

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

func newTestCache(size int) *cache[int, string] {
	return newCache[int, string](size, func(k int) byte { return byte(k) })
}

func TestCacheEnds(t *testing.T) {
	c := newTestCache(64)
	now := time.Unix(1000, 0)
	c.put(1, "a", now, now.Add(time.Second), c.mark(1))
	if v, ok := c.get(1, now.Add(time.Second-1)); !ok || v != "a" {
		t.Errorf("before its end: %q, %v", v, ok)
	}
	if _, ok := c.get(1, now.Add(time.Second)); ok {
		t.Error("given out at its end")
	}
	c.sweep(now.Add(time.Second))
	if c.len() != 0 {
		t.Error("still there after a sweep")
	}
}

func TestCacheIsBounded(t *testing.T) {
	const size = 256
	c := newTestCache(size)
	now := time.Unix(1000, 0)
	for i := range 100 * size {
		c.put(i, "v", now, now.Add(time.Duration(1+i%7)*time.Second), c.mark(i))
		if v, ok := c.get(i, now); !ok || v != "v" {
			t.Fatalf("entry %d is not there after it was put", i)
		}
	}
	if n := c.len(); n > size {
		t.Errorf("%d entries, at most %d", n, size)
	}
}

// Ended entries go first, whatever their place.
func TestCacheEvictsTheEnded(t *testing.T) {
	c := newTestCache(4 * shardCount)
	now := time.Unix(1000, 0)
	for i := range 4 {
		until := now.Add(time.Hour)
		if i == 2 {
			until = now.Add(time.Second)
		}
		c.put(i*shardCount, "v", now, until, 0)
	}
	now = now.Add(time.Minute)
	c.put(4*shardCount, "v", now, now.Add(time.Hour), 0)
	for _, i := range []int{0, 1, 3, 4} {
		if _, ok := c.get(i*shardCount, now); !ok {
			t.Errorf("entry %d was given up for one that had ended", i)
		}
	}
}

func TestCacheDropBeatsALoad(t *testing.T) {
	c := newTestCache(64)
	now := time.Unix(1000, 0)
	mark := c.mark(1)
	c.drop(1)
	c.put(1, "stale", now, now.Add(time.Hour), mark)
	if _, ok := c.get(1, now); ok {
		t.Error("a value loaded before the drop came back")
	}
	c.put(1, "new", now, now.Add(time.Hour), c.mark(1))
	if v, _ := c.get(1, now); v != "new" {
		t.Error("a value loaded after the drop was refused")
	}
}

func TestCacheConcurrent(t *testing.T) {
	c := newTestCache(128)
	now := time.Unix(1000, 0)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				k := i % 300
				c.put(k, "v", now, now.Add(time.Minute), c.mark(k))
				if v, ok := c.get(k, now); ok && v != "v" {
					t.Errorf("got %q", v)
				}
				if i%50 == g {
					c.drop(k)
				}
			}
		})
	}
	all.Wait()
	if n := c.len(); n > 128 {
		t.Errorf("%d entries", n)
	}
}

// The digests of two lists differ wherever the lists do.
func TestEncodeIsUnambiguous(t *testing.T) {
	seen := make(map[string][]string)
	for _, list := range [][]string{
		{"a", "b", "c"},
		{"ab", "c"},
		{"a", "bc"},
		{"abc"},
		{"", "abc"},
		{"abc", ""},
		{"a", "b", "c", ""},
		{},
		{string(binary.BigEndian.AppendUint32(nil, 1)) + "a"},
		{"", "a"},
	} {
		k := string(encode(list...))
		if was, ok := seen[k]; ok {
			t.Errorf("%q and %q are encoded alike", was, list)
		}
		seen[k] = list
	}
}
