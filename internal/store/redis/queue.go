package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
)

// ClaimMessages claims in the ledger and adds what only this engine knows: whether
// the code can still be used. While the server does not answer every code counts as
// usable: a message too many is better than one that never comes.
func (s *Store) ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error) {
	messages, err := s.Ledger.ClaimMessages(ctx, in)
	if err != nil || len(messages) == 0 {
		return messages, err
	}
	calls := make([]invocation, len(messages))
	for i := range messages {
		m := &messages[i]
		calls[i] = invocation{"holds", []string{s.phoneKey(m.Client, m.Phone)}, []string{string(m.Challenge[:])}}
	}
	for i, a := range s.invokeAll(ctx, calls) {
		messages[i].Spent = a.err == nil && a.int() == 0
	}
	return messages, nil
}

// QueueStats tells how many messages wait and since when, those on their way to the
// ledger included.
func (s *Store) QueueStats(ctx context.Context) (store.QueueStats, error) {
	out, err := s.Ledger.QueueStats(ctx)
	if err == nil {
		err = s.addIntake(ctx, &out)
	}
	if err != nil {
		return store.QueueStats{}, err
	}
	return out, nil
}

// addIntake adds what waits for the ledger.
func (s *Store) addIntake(ctx context.Context, out *store.QueueStats) error {
	calls := make([]invocation, 0, groups)
	for _, part := range allParts() {
		calls = append(calls, invocation{function: "backlog", keys: []string{s.streamKey(part)}})
	}
	for i, a := range s.invokeAll(ctx, calls) {
		if a.err != nil {
			return a.err
		}
		got, err := a.message.ToArray()
		if err != nil || len(got) < 2 || integer(got[0]) == 0 {
			continue
		}
		out.Depth += int(integer(got[0]))
		oldest, err := got[1].AsXRange()
		if err != nil || len(oldest) == 0 {
			continue
		}
		at := parseEntry(byte(i), oldest[0]).message.CreatedAt
		if out.Oldest.IsZero() || at.Before(out.Oldest) {
			out.Oldest = at
		}
		if out.Waiting.IsZero() || at.Before(out.Waiting) {
			out.Waiting = at
		}
	}
	return nil
}

// CodeKeyUses counts what could still need that version of the code key: what the
// ledger knows of, and phones with a live challenge of that version. It looks at all
// phones, and takes as long.
func (s *Store) CodeKeyUses(ctx context.Context, now time.Time, version uint32) (int, error) {
	n, err := s.Ledger.CodeKeyUses(ctx, now, version)
	if err != nil {
		return 0, err
	}
	found := make(map[string]bool) // a scan may tell a key twice
	err = s.eachPrimary(ctx, func(_ string, c rueidis.Client) error {
		var at rueidis.ScanEntry
		for {
			at, err = c.Do(ctx, c.B().Scan().Cursor(at.Cursor).Match(s.settings.prefix+"{*}:p:*").Count(scanCount).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			calls := make([]invocation, len(at.Elements))
			for i, key := range at.Elements {
				calls[i] = invocation{"uses", []string{key}, []string{micros(now), strconv.FormatUint(uint64(version), 10)}}
			}
			for i, a := range s.invokeAll(ctx, calls) {
				if a.err != nil {
					return a.err
				}
				found[at.Elements[i]] = found[at.Elements[i]] || a.int() == 1
			}
			if at.Cursor == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return 0, translate(err)
	}
	for _, used := range found {
		if used {
			n++
		}
	}
	return n, nil
}

// scanCount is how many keys a server looks at in one step of a scan.
const scanCount = 500

func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// atoi reads a number of ours; 0 for what is none.
func atoi(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n }
