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
		return trail.Record(ctx, audit.Entry{Actor: operator(), Kind: eventForget}, func() error {
			return past.ForgetEphemeral(ctx, time.Now())
		})
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "the sessions, codes and queued messages of %s have ended\n", st.Database())
	return err
}
