package redis

import (
	"context"
	"time"

	"codeword/internal/store"
)

const (
	// catchUpLimit bounds how long a reader of the log waits for what was accepted
	// before it asked. It looks after catchUpFirst, and then less and less often.
	catchUpLimit = time.Second
	catchUpFirst = 2 * time.Millisecond
	catchUpLast  = 64 * time.Millisecond
)

// Messages lists the log as the ledger has it, once it has what was accepted before
// the call. When the ledger is behind for longer than a second the list is, too.
func (s *Store) Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error) {
	parts := allParts()
	if in.Phones != nil {
		parts = parts[:0]
		for _, phone := range in.Phones {
			parts = append(parts, phonePart(phone))
		}
	}
	s.catchUp(ctx, parts)
	return s.Ledger.Messages(ctx, in)
}

// catchUp waits until everything that is in these parts now is in the ledger.
func (s *Store) catchUp(ctx context.Context, parts []byte) {
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
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
				return // what the ledger has must do
			}
			if integer(got[0]) == 1 {
				delete(newest, asked[i])
			} else {
				newest[asked[i]] = text(got[1])
			}
		}
		if len(newest) == 0 {
			return
		}
		select {
		case <-again.C:
			pause = min(2*pause, catchUpLast)
			again.Reset(pause)
		case <-ctx.Done():
			return
		}
	}
}
