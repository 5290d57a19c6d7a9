package redis

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
)

// ErasePhone erases what is kept of a number, here and in the ledger. First no code works
// any more and nothing is known of the line; then the ledger, which has everything that
// the number can be found by, forgets it in one operation and refuses what is still on the
// way to it; the sessions come last. Whatever a failure leaves, a repeated call erases: it
// needs nothing of what was there. What is told of an idempotency key names no phone, and
// ends by itself. A send and an attempt that were begun meanwhile may come after it.
// Refusal: fault.NotFound for a client that is not stored.
func (s *Store) ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error) {
	if _, err := s.Ledger.PhoneRecord(ctx, store.PhoneQuery{Now: in.Now, Client: in.Client, Phones: in.Phones, RowOnly: true}); err != nil {
		return store.Erased{}, err // the ledger is away, or has no such client
	}
	begun := time.Now()
	var out store.Erased
	var calls []invocation
	for _, id := range in.Phones {
		calls = append(calls, invocation{"erase", []string{s.phoneKey(in.Client, id)}, []string{micros(in.Now), itoa(int64(store.LimitsKept))}})
	}
	for _, line := range in.Lines {
		calls = append(calls, invocation{"drop", []string{s.lineKey(line)}, nil})
	}
	for i, a := range s.invokeAll(ctx, calls) {
		if a.err != nil {
			return store.Erased{}, a.err
		}
		if i >= len(in.Phones) {
			out.LineFacts += int(a.int())
			continue
		}
		got, err := a.message.ToArray()
		if err != nil || len(got) < 2 {
			return store.Erased{}, unavailable("answered otherwise than agreed", err)
		}
		out.Challenges += int(integer(got[0]))
		out.Failures = out.Failures || integer(got[1]) > 0
	}
	// What was accepted goes with the rest; what another node has in hand comes too late.
	if err := s.mover.moveAll(ctx, partsOf(in.Phones)); err != nil {
		return store.Erased{}, err
	}
	in.Fence, in.Age = true, time.Since(begun)
	erased, err := s.Ledger.ErasePhone(ctx, in)
	if err != nil {
		return store.Erased{}, err
	}
	out.Add(erased)
	args := []string{in.Client, micros(in.Now)}
	for _, id := range in.Phones {
		args = append(args, string(id[:]))
	}
	err = s.eachSession(ctx, "session_erase", args, func(_ string, a answer) { out.Sessions += int(a.int()) })
	return out, err
}

// eachSession calls a function for every session, and tells of those that it answered
// for. It looks at all sessions, and takes as long.
func (s *Store) eachSession(ctx context.Context, function string, args []string, tell func(key string, a answer)) error {
	seen := make(map[string]bool) // a scan may tell a key twice
	err := s.eachPrimary(ctx, func(_ string, c rueidis.Client) error {
		for at := (rueidis.ScanEntry{}); ; {
			var err error
			at, err = c.Do(ctx, c.B().Scan().Cursor(at.Cursor).Match(s.settings.prefix+"{*}:s:*").Count(scanCount).Build()).AsScanEntry()
			if err != nil {
				return err
			}
			keys := slices.DeleteFunc(at.Elements, func(key string) bool { return seen[key] })
			calls := make([]invocation, len(keys))
			for i, key := range keys {
				calls[i] = invocation{function, []string{key}, args}
			}
			for i, a := range s.invokeAll(ctx, calls) {
				if a.err != nil {
					return a.err
				}
				seen[keys[i]] = true
				tell(keys[i], a)
			}
			if at.Cursor == 0 {
				return nil
			}
		}
	})
	return translate(err)
}

// PhoneRecord reads what is kept of a number, here and in the ledger, which first gets
// what was accepted. Refusal: fault.NotFound for a client that is not stored.
func (s *Store) PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error) {
	if err := s.mover.moveAll(ctx, partsOf(in.Phones)); err != nil {
		return store.PhoneRecord{}, err
	}
	out, err := s.Ledger.PhoneRecord(ctx, in)
	if err != nil {
		return out, err
	}
	out.Challenges, out.Lanes = nil, nil
	calls := make([]invocation, len(in.Phones))
	for i, id := range in.Phones {
		calls[i] = invocation{"record", []string{s.phoneKey(in.Client, id)}, []string{micros(in.Now)}}
	}
	for i, a := range s.invokeAll(ctx, calls) {
		if a.err != nil {
			return out, a.err
		}
		got, err := a.message.ToArray()
		if err != nil || len(got) == 0 {
			continue
		}
		if !out.Known {
			out.Known, out.ID, out.Client = true, in.Phones[i], in.Client
		}
		if sealed := text(got[0]); len(out.Sealed) == 0 && sealed != "" {
			out.ID, out.Sealed = in.Phones[i], []byte(sealed)
		}
		readLive(got, &out)
	}
	if in.RowOnly {
		return out, nil
	}
	err = s.eachSession(ctx, "session_get", []string{micros(in.Now)}, func(key string, a answer) {
		got, err := a.message.ToArray()
		_, id, found := strings.Cut(key, "}:s:")
		if err != nil || !found || len(id) != len(store.SessionID{}) {
			return
		}
		sess, alive := readSession(store.SessionID([]byte(id)), got)
		if alive && sess.Client == in.Client && slices.Contains(in.Phones, sess.Phone) {
			out.Sessions = append(out.Sessions, sess)
		}
	})
	slices.SortFunc(out.Sessions, func(a, b store.Session) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out, err
}

// readLive reads the challenges and the lanes that "record" tells.
func readLive(got []rueidis.RedisMessage, out *store.PhoneRecord) {
	if len(got) < 3 {
		return
	}
	challenges, _ := got[1].ToArray() // the functions answer as agreed
	for i := range challenges {
		if fields, err := challenges[i].ToArray(); err == nil && len(fields) >= 8 {
			out.Challenges = append(out.Challenges, challenge(fields))
		}
	}
	lanes, _ := got[2].ToArray()
	for i := range lanes {
		l, err := lanes[i].ToArray()
		if err != nil || len(l) < 4 {
			continue
		}
		r := store.LaneRecord{Lane: text(l[0]), BurstUntil: store.FromMicros(atoi(text(l[1]))), Sends: stamps(l[2]), Failures: stamps(l[3])}
		if !r.BurstUntil.IsZero() || len(r.Sends)+len(r.Failures) > 0 {
			out.Lanes = append(out.Lanes, r)
		}
	}
}

// stamps reads times in milliseconds.
func stamps(m rueidis.RedisMessage) (out []time.Time) {
	all, _ := m.AsStrSlice() // the functions answer as agreed
	for _, at := range all {
		ms, _ := strconv.ParseInt(at, 10, 64)
		out = append(out, time.UnixMilli(ms).UTC())
	}
	return out
}
