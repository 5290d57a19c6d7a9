package ledgercopy_test

import (
	"context"
	"errors"
	"testing"

	"codeword/internal/store"
)

// failing is a target whose n-th call is its last.
type failing struct {
	ledger
	left int
}

var errCut = errors.New("cut off")

func (f *failing) cut() error {
	if f.left--; f.left < 0 {
		return errCut
	}
	return nil
}

func (f *failing) TakeAccounts(ctx context.Context, clients []store.Client, keys []store.SigningKey) error {
	return errors.Join(f.cut(), f.ledger.TakeAccounts(ctx, clients, keys))
}

func (f *failing) TakePhones(ctx context.Context, put []store.PhoneRow, drop []store.PhoneID) error {
	if err := f.cut(); err != nil {
		return err
	}
	return errors.Join(f.ledger.TakePhones(ctx, put, drop), f.cut()) // nobody heard that it was done
}

func (f *failing) TakeUsers(ctx context.Context, put []store.UserRow, drop []store.UserID) error {
	if err := f.cut(); err != nil {
		return err
	}
	return f.ledger.TakeUsers(ctx, put, drop)
}

func (f *failing) TakeMessages(ctx context.Context, put []store.MessageRow, drop []store.MessageID) error {
	if err := f.cut(); err != nil {
		return err
	}
	return errors.Join(f.ledger.TakeMessages(ctx, put, drop), f.cut())
}

func (f *failing) TakeDocuments(ctx context.Context, put []store.Document, drop []string) error {
	if err := f.cut(); err != nil {
		return err
	}
	return errors.Join(f.ledger.TakeDocuments(ctx, put, drop), f.cut())
}

func (f *failing) TakeEvents(ctx context.Context, put []store.Event, drop []store.EventID) error {
	if err := f.cut(); err != nil {
		return err
	}
	return errors.Join(f.ledger.TakeEvents(ctx, put, drop), f.cut())
}

func (f *failing) TakeRollups(ctx context.Context, put []store.Rollup, drop []store.RollupKey) error {
	if err := f.cut(); err != nil {
		return err
	}
	return errors.Join(f.ledger.TakeRollups(ctx, put, drop), f.cut())
}

func (f *failing) SetCopyState(ctx context.Context, s store.CopyState) error {
	if err := f.cut(); err != nil {
		return err
	}
	return f.ledger.SetCopyState(ctx, s)
}

func (f *failing) CopyMessages(ctx context.Context, after store.MessageID, limit int) ([]store.MessageRow, error) {
	if err := f.cut(); err != nil {
		return nil, err
	}
	return f.ledger.CopyMessages(ctx, after, limit)
}

// TestInterrupted cuts the copy off at every step in turn, and goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	pairs(t, func(t *testing.T, from, to string) {
		source, target := fill(t, newLedger(t, from), 30), newLedger(t, to)
		cuts, reach := 0, 0
		for ; ; cuts++ {
			// Each run gets a little further than the one before.
			report, err := run(t, source, &failing{ledger: target, left: cuts})
			if err == nil {
				if !report.Resumed {
					t.Error("the run does not know that it goes on")
				}
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			state, err := target.CopyState(t.Context())
			if err != nil || !state.FinishedAt.IsZero() {
				t.Fatalf("after %d cuts %+v, %v", cuts, state, err)
			}
			rows, err := target.CopyMessages(t.Context(), store.MessageID{}, 1000)
			if err != nil || len(rows) < reach {
				t.Fatalf("after %d cuts %d messages, %v; there were %d", cuts, len(rows), err, reach)
			}
			reach = len(rows)
		}
		if cuts < 20 {
			t.Errorf("only %d cuts", cuts)
		}
		compareLedgers(t, source, target)
	})
}
