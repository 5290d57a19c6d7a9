// Package audit keeps who changed what. An operation that operators carry out writes
// its entry here before it changes anything, and changes nothing when that fails; see
// docs/decisions/0021-audit.md.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

// Who acts, beside operators on the command line (see CLI) and those who are logged in
// (see login.Person).
const (
	// Token is whoever holds the admin token.
	Token = "token"
	// Service is the service itself.
	Service = "service"
)

// CLI is the operator of a command: the name of the account, and whom sudo says it
// acts for; empty for nobody.
func CLI(account, sudo string) string {
	if sudo == "" || sudo == account {
		return "cli:" + account
	}
	return "cli:" + account + " sudo:" + sudo
}

// Store is the part of the ledger that keeps entries.
type Store interface {
	// AppendEvents is durable when it returns.
	AppendEvents(ctx context.Context, events []store.Event) error
}

// Trail writes entries. A nil Trail writes none, so that what would have to be
// recorded fails.
type Trail struct {
	Store Store
	Now   func() time.Time
	// Made is told of entries whose change was made; nil when nobody wants to know.
	Made func(ctx context.Context, entry *store.Event)
}

// Entry is who changes what.
type Entry struct {
	// Actor is required.
	Actor string
	// Client is the id of the client that it is about; empty for none.
	Client string
	Kind   string
	// Data is written as a JSON object, which must hold no code, no secret and no
	// whole phone number; nil for nothing to tell.
	Data any
}

// Outcomes of a change that is not known to have been made.
const (
	// Failed: nothing was changed.
	Failed = "failed"
	// Unknown: the change may have been made, or a part of it.
	Unknown = "unknown"
)

// Done is the outcome of a change that has something to tell.
const Done = "done"

// Success is the Data of the second entry, of the same kind, that follows the entry of
// a change that has something to tell: what was done is known only then.
type Success struct {
	// Entry is the id of the entry that it is about.
	Entry   string `json:"entry"`
	Outcome string `json:"outcome"`
	Result  any    `json:"result"`
}

// Failure is the Data of the second entry, of the same kind, that follows the entry
// of a change that did not succeed.
type Failure struct {
	// Entry is the id of the entry that it is about.
	Entry   string `json:"entry"`
	Outcome string `json:"outcome"`
}

// tellTimeout bounds the writing of a Failure, which goes on when the caller has gone.
const tellTimeout = 5 * time.Second

// Record writes the entry and then makes the change. When the entry cannot be written
// change is not called. When change fails, a Failure follows; that this could not be
// written either is joined to the error.
func (t *Trail) Record(ctx context.Context, e Entry, change func() error) error {
	return t.RecordTold(ctx, e, func() (any, error) { return nil, change() })
}

// RecordTold is Record for a change that has something to tell: a Success with it
// follows. That this could not be written is an error, although the change was made; who
// calls may repeat it.
func (t *Trail) RecordTold(ctx context.Context, e Entry, change func() (result any, err error)) error {
	entry, err := t.write(ctx, e)
	if err != nil {
		return err
	}
	result, err := change()
	if err == nil && t.Made != nil {
		t.Made(ctx, &entry)
	}
	if err == nil && result == nil {
		return nil
	}
	id := entry.ID
	tell, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	if err == nil {
		e.Data = Success{Entry: id.String(), Outcome: Done, Result: result}
		_, err = t.write(tell, e)
		return err
	}
	e.Data = Failure{Entry: id.String(), Outcome: outcome(err)}
	if _, wrong := t.write(tell, e); wrong != nil {
		return errors.Join(err, fmt.Errorf("entry %s stands nevertheless: %w", id, wrong))
	}
	return err
}

// outcome: a refusal changed nothing. Anything else may come after the change, such as
// the loss of the connection that would have told of a commit.
func outcome(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != fault.Unavailable && f.Kind != fault.Internal {
		return Failed
	}
	return Unknown
}

func (t *Trail) write(ctx context.Context, e Entry) (store.Event, error) {
	if t == nil {
		return store.Event{}, fault.New(fault.Internal, "audit: there is no trail to record "+e.Kind)
	}
	if e.Actor == "" {
		return store.Event{}, fault.New(fault.Internal, "audit: nobody is named for "+e.Kind)
	}
	data := []byte("{}")
	if e.Data != nil {
		var err error
		if data, err = json.Marshal(e.Data); err != nil {
			return store.Event{}, fault.Wrap(fault.Internal, "audit: "+e.Kind, err)
		}
	}
	event := store.Event{ID: store.NewEventID(), At: t.Now(), Client: e.Client, Kind: e.Kind, Actor: e.Actor, Data: data}
	if err := t.Store.AppendEvents(ctx, []store.Event{event}); err != nil {
		return event, fmt.Errorf("audit: %s cannot be recorded: %w", e.Kind, err)
	}
	return event, nil
}
