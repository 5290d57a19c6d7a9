package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/redis"
)

// redisEngine keeps what expires, in front of the engine of the ledger.
type redisEngine struct {
	*redis.Store
	ledger engine
}

// openEphemeral puts the engine of what expires in front of the ledger's, and owns
// that from then on.
func openEphemeral(ctx context.Context, st storage, base engine, moved func(), called func(string, time.Duration)) (engine, error) {
	ledger, ok := capability[redis.Ledger](base)
	if !ok {
		return nil, errors.New("ephemeral: the database cannot stand behind it")
	}
	s, err := redis.Open(ctx, redis.Config{URL: st.Redis.text, Ledger: ledger, Moved: moved, Called: called, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("ephemeral: %w", err)
	}
	return redisEngine{s, base}, nil
}

// beneath implements layered.
func (e redisEngine) beneath() engine { return e.ledger }

// Check examines both engines.
func (e redisEngine) Check(ctx context.Context, now func() time.Time) []store.Finding {
	return append(e.ledger.Check(ctx, now), e.Store.Check(ctx, now)...)
}

func (e redisEngine) figures() figures { return e.ledger.figures() }
