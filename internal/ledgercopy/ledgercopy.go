// Package ledgercopy moves a ledger from one engine to another: clients with their
// secrets, signing keys, phones, users, the message log, documents, events and roll-ups,
// as far as they are added up. What expires stays behind: sessions, challenges, limits of clients and addresses,
// idempotency keys, notes, facts of lines; a message that is queued has expired in the
// copy, since its code has.
//
// A copy may be interrupted anywhere and run again: it compares both sides in the
// order of their keys, writes what is missing or differs, and removes what the source
// does not have (any more). At last every table is read once more on both sides, and
// counted and summed up.
//
// Nobody else may write to either side meanwhile.
package ledgercopy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"codeword/internal/store"
)

// Source is a ledger to be read. Its slices are in the order of the keys, after a
// key (the zero one: from the first); a slice that is shorter than limit is the last.
type Source interface {
	// Clients lists all clients, oldest first.
	Clients(ctx context.Context) ([]store.Client, error)
	// SigningKeys lists all signing keys, oldest first.
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	CopyPhones(ctx context.Context, after store.PhoneID, limit int) ([]store.PhoneRow, error)
	CopyUsers(ctx context.Context, after store.UserID, limit int) ([]store.UserRow, error)
	CopyMessages(ctx context.Context, after store.MessageID, limit int) ([]store.MessageRow, error)
	CopyDocuments(ctx context.Context, after string, limit int) ([]store.Document, error)
	CopyEvents(ctx context.Context, after store.EventID, limit int) ([]store.Event, error)
	CopyRollups(ctx context.Context, after store.RollupKey, limit int) ([]store.Rollup, error)
}

// Target is a ledger to be written. Each operation is atomic, and what it is given may
// be there already.
type Target interface {
	Source
	// TakeAccounts makes the clients (in their order, all that is kept of them
	// included) and the signing keys those that are given. Clients are never fewer
	// than before.
	TakeAccounts(ctx context.Context, clients []store.Client, keys []store.SigningKey) error
	// The others store some rows as they are, and remove others by their keys.
	TakePhones(ctx context.Context, put []store.PhoneRow, drop []store.PhoneID) error
	TakeUsers(ctx context.Context, put []store.UserRow, drop []store.UserID) error
	TakeMessages(ctx context.Context, put []store.MessageRow, drop []store.MessageID) error
	TakeDocuments(ctx context.Context, put []store.Document, drop []string) error
	TakeEvents(ctx context.Context, put []store.Event, drop []store.EventID) error
	TakeRollups(ctx context.Context, put []store.Rollup, drop []store.RollupKey) error
	CopyState(ctx context.Context) (store.CopyState, error)
	SetCopyState(ctx context.Context, s store.CopyState) error
}

// Config is what a copy needs. Source, Target and Now are required.
type Config struct {
	Source Source
	Target Target
	// Now is when what expires ends, unless the copy was begun before.
	Now time.Time
	// Slice is how many rows are read and written at once. Default 500.
	Slice int
	// Prepare is called before the first message is written, with the time of the
	// oldest one; nil when there is nothing to prepare.
	Prepare func(ctx context.Context, oldest time.Time) error
	// Progress is told, after each slice, how many rows of a table are behind it.
	Progress func(table string, rows int)
}

// Report tells what was done.
type Report struct {
	// FinishedAt is when the target had been finished before this run, which then
	// looked at nothing else; else zero.
	FinishedAt time.Time
	// Resumed: an earlier run had begun.
	Resumed bool
	Tables  []Table
	// Expired counts the messages that were queued.
	Expired int
}

// Table is the same on both sides.
type Table struct {
	Name string
	Rows int
	// Sum is the SHA-256 of the rows in the order of their keys.
	Sum [32]byte
}

// ErrOther means that the target is in use, or holds what another ledger left.
var ErrOther = errors.New("the target has other data")

// ErrDiffers means that both sides are not the same after all: somebody else wrote.
var ErrDiffers = errors.New("the copy differs from its source")

// Run copies, or goes on with a copy that was interrupted.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if cfg.Slice <= 0 {
		cfg.Slice = 500
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, int) {}
	}
	c := &copier{Config: cfg}
	if err := c.begin(ctx); err != nil || !c.report.FinishedAt.IsZero() {
		return c.report, err
	}
	for _, step := range []func(context.Context) error{c.prepare, c.accounts, c.tables, c.verify, c.finish} {
		if err := step(ctx); err != nil {
			return c.report, err
		}
	}
	return c.report, nil
}

type copier struct {
	Config
	state   store.CopyState
	clients []store.Client
	keys    []store.SigningKey
	report  Report
}

// begin finds out what the target is: empty, or what an earlier run has left.
func (c *copier) begin(ctx context.Context) (err error) {
	if c.clients, err = c.Source.Clients(ctx); err != nil {
		return err
	}
	if c.keys, err = c.Source.SigningKeys(ctx); err != nil {
		return err
	}
	// Clients are never removed, so the oldest one names the ledger.
	origin := ""
	if len(c.clients) > 0 {
		origin = c.clients[0].ID
	}
	if c.state, err = c.Target.CopyState(ctx); err != nil {
		return err
	}
	switch {
	case c.state.StartedAt.IsZero():
		if err := c.empty(ctx); err != nil {
			return err
		}
		c.state = store.CopyState{Origin: origin, StartedAt: c.Now.UTC().Truncate(time.Microsecond)}
		return c.Target.SetCopyState(ctx, c.state)
	case c.state.Origin != origin:
		return fmt.Errorf("%w: it is a copy of another database", ErrOther)
	}
	c.report.FinishedAt = c.state.FinishedAt
	c.report.Resumed = true
	return nil
}

// empty refuses a target with anything in it.
func (c *copier) empty(ctx context.Context) error {
	for _, look := range []func() (string, int, error){
		func() (string, int, error) { r, err := c.Target.Clients(ctx); return "clients", len(r), err },
		func() (string, int, error) { r, err := c.Target.SigningKeys(ctx); return "signing keys", len(r), err },
		func() (string, int, error) {
			r, err := c.Target.CopyPhones(ctx, store.PhoneID{}, 1)
			return "phones", len(r), err
		},
		func() (string, int, error) {
			r, err := c.Target.CopyUsers(ctx, store.UserID{}, 1)
			return "users", len(r), err
		},
		func() (string, int, error) {
			r, err := c.Target.CopyMessages(ctx, store.MessageID{}, 1)
			return "messages", len(r), err
		},
		func() (string, int, error) {
			r, err := c.Target.CopyDocuments(ctx, "", 1)
			return "documents", len(r), err
		},
		func() (string, int, error) {
			r, err := c.Target.CopyEvents(ctx, store.EventID{}, 1)
			return "events", len(r), err
		},
		func() (string, int, error) {
			r, err := c.Target.CopyRollups(ctx, store.RollupKey{}, 1)
			return "rollups", len(r), err
		},
	} {
		what, n, err := look()
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: there are %s in it", ErrOther, what)
		}
	}
	return nil
}

func (c *copier) prepare(ctx context.Context) error {
	if c.Prepare == nil {
		return nil
	}
	oldest := c.Now
	first, err := c.Source.CopyMessages(ctx, store.MessageID{}, 1)
	if err != nil {
		return err
	}
	if len(first) > 0 && first[0].CreatedAt.Before(oldest) {
		oldest = first[0].CreatedAt
	}
	return c.Prepare(ctx, oldest)
}

func (c *copier) accounts(ctx context.Context) error {
	if err := c.Target.TakeAccounts(ctx, c.clients, c.keys); err != nil {
		return fmt.Errorf("clients and signing keys: %w", err)
	}
	c.Progress(tableClients, len(c.clients))
	c.Progress(tableSigningKeys, len(c.keys))
	return nil
}

func (c *copier) tables(ctx context.Context) error {
	if err := phones(c.Source, c.Target).align(ctx, c); err != nil {
		return err
	}
	if err := users(c.Source, c.Target).align(ctx, c); err != nil {
		return err
	}
	t := messages(c.Source, c.Target, c.state.StartedAt)
	c.report.Expired = 0
	read := t.source
	t.source = func(ctx context.Context, after store.MessageID, limit int) ([]store.MessageRow, error) {
		rows, err := read(ctx, after, limit)
		for i := range rows {
			if rows[i].Status == store.MessageQueued {
				c.report.Expired++
			}
		}
		return rows, err
	}
	if err := t.align(ctx, c); err != nil {
		return err
	}
	if err := documents(c.Source, c.Target).align(ctx, c); err != nil {
		return err
	}
	if err := events(c.Source, c.Target).align(ctx, c); err != nil {
		return err
	}
	return rollups(c.Source, c.Target).align(ctx, c)
}

func (c *copier) finish(ctx context.Context) error {
	c.state.FinishedAt = c.Now.UTC().Truncate(time.Microsecond)
	return c.Target.SetCopyState(ctx, c.state)
}
