package app

import (
	"context"
	"fmt"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// postgresEngine is the engine that nodes share.
type postgresEngine struct{ *postgres.Store }

func openPostgres(ctx context.Context, u engineURL, o store.Observe) (engine, error) {
	st, err := postgres.Open(ctx, postgres.Config{URL: u.text, Observe: o})
	if err != nil {
		return nil, err
	}
	return postgresEngine{st}, nil
}

func (e postgresEngine) figures() figures {
	s := e.Stats()
	return figures{commits: s.Commits, operations: s.Operations, queued: s.Queued}
}

// schemaExists refuses a database that is not ours, or not yet: a mistyped name must
// not get our tables.
func schemaExists(ctx context.Context, u engineURL) error {
	found, err := postgres.HasSchema(ctx, u.text)
	switch {
	case err != nil:
		return err
	case !found:
		return asUsage(fmt.Errorf("database: %s has no tables of ours; 'codeword migrate' makes them", u))
	}
	return nil
}
