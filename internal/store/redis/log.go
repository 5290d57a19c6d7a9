package redis

import (
	"context"
	"slices"
	"time"

	"codeword/internal/store"
)

const (
	// catchUpLimit bounds how long a reader of the log waits for what was accepted
	// before it asked. It looks after catchUpFirst, and then less and less often.
	catchUpLimit = 2 * time.Second
	catchUpFirst = 2 * time.Millisecond
	catchUpLast  = 64 * time.Millisecond
	// patience is how long it waits before it moves the messages of a phone itself: the
	// node that has them in hand may be dead.
	patience = 200 * time.Millisecond
)

// Messages lists the log as the ledger has it, once it has what was accepted before
// the call. When the ledger is behind for longer than two seconds the list is, too.
func (s *Store) Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error) {
	if in.Phones == nil {
		s.catchUp(ctx, allParts(), catchUpLimit)
		return s.Ledger.Messages(ctx, in)
	}
	parts := partsOf(in.Phones)
	if !s.catchUp(ctx, parts, patience) {
		// What cannot be moved is not in the ledger yet, as the list will tell.
		limited, cancel := context.WithTimeout(ctx, catchUpLimit-patience)
		_ = s.mover.moveAll(limited, parts)
		cancel()
	}
	return s.Ledger.Messages(ctx, in)
}

// partsOf are the parts of phones.
func partsOf(phones []store.PhoneID) []byte {
	var out []byte
	for _, phone := range phones {
		if part := phonePart(phone); !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}

// catchUp waits until everything that is in these parts now is in the ledger; false
// when that takes longer than limit.
func (s *Store) catchUp(ctx context.Context, parts []byte, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := catchUpFirst
	again := time.NewTimer(pause)
	defer again.Stop()
	newest := make(map[byte]string, len(parts))
	for _, part := range parts {
		newest[part] = ""
	}
	for len(newest) > 0 {
		calls := make([]invocation, 0, len(newest))
		asked := make([]byte, 0, len(newest))
		for part, id := range newest {
			calls = append(calls, invocation{"passed", []string{s.streamKey(part)}, []string{id}})
			asked = append(asked, part)
		}
		for i, a := range s.invokeAll(ctx, calls) {
			got, err := a.message.ToArray()
			if a.err != nil || err != nil || len(got) < 2 {
				return true // what the ledger has must do
			}
			if integer(got[0]) == 1 {
				delete(newest, asked[i])
			} else {
				newest[asked[i]] = text(got[1])
			}
		}
		if len(newest) == 0 {
			return true
		}
		select {
		case <-again.C:
			pause = min(2*pause, catchUpLast)
			again.Reset(pause)
		case <-ctx.Done():
			return false
		}
	}
	return true
}
