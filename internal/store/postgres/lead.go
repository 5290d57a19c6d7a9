package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// leadEvery is how often a node that does not lead asks whether it may, and one
	// that does makes sure that it still may.
	leadEvery = 5 * time.Second
	leadLimit = 2 * time.Second
)

// tryTurn takes the turn of a name if it is free. Locks are a database's, and so the
// schema, which makes the service's tables apart from another's, is part of the key. Keys
// of two numbers never meet those of one, which references have (changes.go).
const tryTurn = `SELECT pg_try_advisory_lock(hashtext('codeword'), hashtext(current_schema() || '/' || $1::text))`

// Lead runs f while this node, of all nodes on the database, is the one to do what
// name says. It waits for its turn, and ends f's context when the connection that
// holds the turn is lost: then another node may have it after leadEvery. It returns
// when ctx ends or f returns by itself.
func (s *Store) Lead(ctx context.Context, name string, f func(context.Context) error) error {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
		if led, err := s.lead(ctx, name, f); led {
			return err
		}
		again.Reset(leadEvery)
	}
}

// lead takes a turn if it is free. led is false when f is to be run again.
func (s *Store) lead(ctx context.Context, name string, f func(context.Context) error) (led bool, err error) {
	conn, err := pgx.ConnectConfig(ctx, s.connConfig.Copy())
	if err != nil {
		return false, err
	}
	defer func() { // gives the turn back
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = conn.Close(end)
	}()
	if err := conn.QueryRow(ctx, tryTurn, name).Scan(&led); err != nil || !led {
		return false, err
	}
	leading, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- f(leading) }()
	tick := time.NewTicker(leadEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return true, err
		case <-tick.C:
			ask, cancel := context.WithTimeout(ctx, leadLimit)
			err := conn.Ping(ask)
			cancel()
			if err != nil && ctx.Err() == nil {
				stop()
				return false, errors.Join(err, <-done)
			}
		}
	}
}
