package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
)

const (
	// A clock that is off by skewNoted is worth a word; by skewWrong it makes nodes
	// disagree on what has expired.
	skewNoted = 500 * time.Millisecond
	skewWrong = 2 * time.Second
	// memoryNoted is the part of its memory, in percent, that a server may use before
	// it is worth a word.
	memoryNoted = 80
	// backlogNoted is how long a message may wait for the ledger before it is.
	backlogNoted = 10 * time.Second
)

// Check examines the primaries: what they are, whether they keep what they
// acknowledge, their replicas, memory, clocks and functions, and what waits for the
// ledger. What it finds of the ledger is the ledger's to tell.
func (s *Store) Check(ctx context.Context, now func() time.Time) []store.Finding {
	out := make([]store.Finding, 0, 8)
	for _, look := range [...]struct {
		what string
		at   func(context.Context, *store.Finding) error
	}{
		{"redis server", s.checkServers},
		{"redis eviction", s.checkEviction},
		{"redis persistence", s.checkPersistence},
		{"redis replicas", s.checkReplicas},
		{"redis memory", s.checkMemory},
		{"redis clock skew", func(ctx context.Context, f *store.Finding) error { return s.checkSkew(ctx, now, f) }},
		{"redis functions", s.checkFunctions},
		{"redis intake", func(ctx context.Context, f *store.Finding) error { return s.checkIntake(ctx, now(), f) }},
	} {
		f := store.Finding{What: look.what}
		f.Err = look.at(ctx, &f)
		out = append(out, f)
	}
	return out
}

// eachInfo calls f with one section of what every primary tells of itself.
func (s *Store) eachInfo(ctx context.Context, section string, f func(addr, info string) error) error {
	return s.eachPrimary(ctx, func(addr string, c rueidis.Client) error {
		info, err := c.Do(ctx, c.B().Info().Section(section).Build()).ToString()
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		return f(addr, info)
	})
}

// add puts a note behind those of other primaries.
func add(f *store.Finding, warning bool, addr, note string) {
	if f.Note != "" {
		f.Note += "; "
	}
	f.Note += addr + ": " + note
	f.Warning = f.Warning || warning
}

func (s *Store) checkServers(ctx context.Context, f *store.Finding) error {
	return s.eachInfo(ctx, "server", func(addr, info string) error {
		name, version := "Redis", infoField(info, "redis_version")
		if v := infoField(info, "valkey_version"); v != "" {
			name, version = "Valkey", v
		}
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err == nil && n < 7 {
			return fmt.Errorf("%s: %s %s is too old: at least 7", addr, name, version)
		}
		add(f, false, addr, name+" "+version)
		return nil
	})
}

func (s *Store) checkEviction(ctx context.Context, f *store.Finding) error {
	f.Note = wantedPolicy
	return s.checkPolicy(ctx)
}

func (s *Store) checkPersistence(ctx context.Context, f *store.Finding) error {
	return s.eachInfo(ctx, "persistence", func(addr, info string) error {
		switch aof := infoField(info, "aof_enabled") == "1"; {
		case aof && infoField(info, "aof_last_write_status") == "err":
			return fmt.Errorf("%s: its append-only file cannot be written", addr)
		case aof:
			add(f, false, addr, "append-only file")
		default:
			add(f, true, addr, "no append-only file: a restart forgets limits, and messages on their way to the ledger")
		}
		return nil
	})
}

func (s *Store) checkReplicas(ctx context.Context, f *store.Finding) error {
	need := max(s.settings.wait, s.settings.waitAOF-1)
	return s.eachInfo(ctx, "replication", func(addr, info string) error {
		n, _ := strconv.Atoi(infoField(info, "connected_slaves")) // 0 where it is not told
		if n < need {
			return fmt.Errorf("%s: %d replicas, and writes wait for %d", addr, n, need)
		}
		add(f, false, addr, fmt.Sprintf("%d replicas, writes wait for %d", n, need))
		return nil
	})
}

func (s *Store) checkMemory(ctx context.Context, f *store.Finding) error {
	return s.eachInfo(ctx, "memory", func(addr, info string) error {
		used, err := strconv.ParseInt(infoField(info, "used_memory"), 10, 64)
		if err != nil {
			return nil //nolint:nilerr // a service that does not tell
		}
		most, _ := strconv.ParseInt(infoField(info, "maxmemory"), 10, 64) // 0 for no limit
		if most == 0 {
			add(f, false, addr, fmt.Sprintf("%d MiB, no limit", used>>20))
			return nil
		}
		add(f, used*100 > most*memoryNoted, addr, fmt.Sprintf("%d of %d MiB", used>>20, most>>20))
		return nil
	})
}

// checkSkew compares this node's clock with the servers', which all nodes share.
func (s *Store) checkSkew(ctx context.Context, now func() time.Time, f *store.Finding) error {
	return s.eachPrimary(ctx, func(addr string, c rueidis.Client) error {
		var ahead, doubt time.Duration
		for i := range 3 { // the first one may have to connect
			began := now()
			theirs, err := c.Do(ctx, c.B().Time().Build()).AsStrSlice()
			if err != nil || len(theirs) < 2 {
				return errors.Join(err, fmt.Errorf("%s: tells no time", addr))
			}
			took := now().Sub(began)
			if i == 0 || took/2 < doubt {
				at := time.Unix(atoi(theirs[0]), atoi(theirs[1])*1000)
				ahead, doubt = began.Add(took/2).Sub(at), took/2
			}
		}
		note := fmt.Sprintf("this node is %s ahead (± %s)", ahead.Round(time.Millisecond/10), doubt.Round(time.Millisecond/10))
		off := ahead.Abs() - doubt
		if off > skewWrong {
			return fmt.Errorf("%s: %s: nodes whose clocks differ disagree on what has expired", addr, note)
		}
		add(f, off > skewNoted, addr, note)
		return nil
	})
}

func (s *Store) checkFunctions(ctx context.Context, f *store.Finding) error {
	if err := s.loadLibrary(ctx); err != nil {
		return err
	}
	f.Note = strings.TrimSuffix(libraryPrefix, "_")
	_, err := s.call(ctx, "fence", s.padKey(0))
	return err
}

func (s *Store) checkIntake(ctx context.Context, now time.Time, f *store.Finding) error {
	var waiting store.QueueStats
	if err := s.addIntake(ctx, &waiting); err != nil {
		return err
	}
	f.Note = fmt.Sprintf("%d messages wait for the ledger", waiting.Depth)
	if waiting.Depth > 0 {
		age := now.Sub(waiting.Oldest).Round(time.Second)
		f.Note += fmt.Sprintf(", the oldest for %s", age)
		f.Warning = age > backlogNoted
	}
	return nil
}
