package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"codeword/internal/store"
)

// upkeepTurn is the name of the turn that one node has; see node.upkeep.
const upkeepTurn = "upkeep"

// serverWait is how long a command tries to have the turn. One that no server has is
// had at once; one that has just stopped gave it up with its connection.
const serverWait = 3 * time.Second

// alone opens a database and runs f while no server runs on it.
func alone(ctx context.Context, st storage, f func(context.Context, engine) error) error {
	unlock, err := st.lock()
	if err != nil {
		return asUsage(err)
	}
	defer unlock()
	e, err := openDatabase(ctx, st, store.Observe{})
	if err != nil {
		return err
	}
	run := func(ctx context.Context) error { return f(ctx, e) }
	if l, ok := capability[leader](e); ok {
		err = leadNow(ctx, l, st.Database(), run)
	} else {
		err = run(ctx)
	}
	return errors.Join(err, e.Close())
}

// leadNow runs f while this process leads, and fails if another one does.
func leadNow(ctx context.Context, l leader, where string, f func(context.Context) error) error {
	turn, stop := context.WithCancel(ctx)
	defer stop()
	giveUp := time.AfterFunc(serverWait, stop)
	defer giveUp.Stop()
	var led, done bool
	err := l.Lead(turn, upkeepTurn, func(ctx context.Context) error {
		if !led && !giveUp.Stop() {
			return ctx.Err()
		}
		led = true
		err := f(ctx)
		done = err == nil
		return err
	})
	switch {
	case done || led && err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		return asUsage(fmt.Errorf("a server runs on %s, or it cannot be reached: stop all servers first", where))
	}
}
