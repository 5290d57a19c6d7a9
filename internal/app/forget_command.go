package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"codeword/internal/audit"
)

type forgetCommand struct{ ledgerFlags }

// Run ends what a database of the past must not bring back, as 'restore' does.
func (c *forgetCommand) Run(ctx context.Context, s streams) error {
	st, err := c.resolveDatabase()
	if err == nil {
		err = st.exists(ctx)
	}
	if err != nil {
		return err
	}
	err = alone(ctx, st, func(ctx context.Context, e engine) error {
		past, ok := capability[forgetful](e)
		if !ok {
			return errors.New("the engine cannot forget")
		}
		trail := &audit.Trail{Store: e, Now: time.Now}
		return forget(ctx, past, trail, audit.Entry{Actor: operator(), Kind: eventForget})
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "the sessions, codes and queued messages of %s have ended\n", st.Database())
	return err
}

// forget ends what expires, and records that.
func forget(ctx context.Context, past forgetful, trail *audit.Trail, e audit.Entry) error {
	return trail.Record(ctx, e, func() error { return past.ForgetEphemeral(ctx, time.Now()) })
}
