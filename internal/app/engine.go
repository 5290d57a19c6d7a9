package app

import (
	"context"
	"errors"
	"iter"
	"time"

	"codeword/internal/delivery"
	"codeword/internal/inbound"
	"codeword/internal/otp"
	"codeword/internal/session"
	"codeword/internal/store"
	"codeword/internal/tenant"
	"codeword/internal/webhook"
)

// engine is what stores everything: one part for each consumer, in the consumer's
// own words. Beside this package nobody knows which one runs.
type engine interface {
	otp.Challenges
	session.Store
	session.KeyStore
	tenant.Store
	delivery.Queue
	inbound.ReceiptStore
	inbound.ProofStore
	phoneStore
	messageStore
	noteStore
	lineStore
	documentStore
	eventStore
	rollupStore
	webhook.Queue
	sweepStore
	inspected
}

// phoneStore is the store's part of what the owner of a number may ask for.
type phoneStore interface {
	phoneReader
	ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error)
}

// phoneReader tells what is kept of a phone.
type phoneReader interface {
	PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error)
}

// messageStore is the store's part of the inbox and of the operator's message log.
type messageStore interface {
	Messages(ctx context.Context, q store.MessageQuery) (store.MessagePage, error)
	Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
}

// What the nodes share; see store.Note, LineFact, Document and Event.
type (
	noteStore interface {
		PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
		// Notes lists the live ones of a topic that were put at since or later, in the
		// order of their keys; all of them with the zero time.
		Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
		// EachNote calls each for every one that Notes would list, in that order. Each does
		// not call the store.
		EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error
	}
	lineStore interface {
		PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error
		LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error)
	}
	documentStore interface {
		// Document is the zero one when there is none, and has no body when its revision
		// is the known one.
		Document(ctx context.Context, name string, known int64) (store.Document, error)
		// PutDocument stores the next revision, the first being 1; fault.Conflict with
		// any other.
		PutDocument(ctx context.Context, d store.Document) error
	}
	eventStore interface {
		// AppendEvents may be repeated.
		AppendEvents(ctx context.Context, events []store.Event) error
		// Events lists them, newest first.
		Events(ctx context.Context, q store.EventQuery) ([]store.Event, error)
	}
)

// inspected is what readiness, the metrics and the operator's commands need.
type inspected interface {
	// Ping writes something durably.
	Ping(ctx context.Context) error
	// NewestMessage is when the newest message was accepted; zero without any.
	NewestMessage(ctx context.Context) (time.Time, error)
	// CodeKeyUses counts what could still need that version of the code key.
	CodeKeyUses(ctx context.Context, now time.Time, version uint32) (int, error)
	// Check examines the engine beyond what Ping tells.
	Check(ctx context.Context, now func() time.Time) []store.Finding
	// figures are what the metrics show.
	figures() figures
	Close() error
}

// figures count commits and the operations in them since the start, and the
// operations that wait now.
type figures struct {
	commits, operations int64
	queued              int
}

// What only some engines do; see capability.
type (
	// leader picks, of all nodes on one engine, the one that runs f: until ctx ends,
	// and if it loses its turn, another one. Where it is missing there is one node.
	leader interface {
		Lead(ctx context.Context, name string, f func(context.Context) error) error
	}
	// partitioned keeps the message log in partitions by time, which have to be made
	// before they are needed.
	partitioned interface {
		KeepPartitions(ctx context.Context, now time.Time, keep time.Duration) error
	}
	// watcher tells nodes of messages that others queued, until ctx ends.
	watcher interface {
		Watch(ctx context.Context, wake func()) error
	}
	// singular is a file that one server at a time runs on.
	singular interface {
		// EndLeases makes what a server had claimed when it died due again.
		EndLeases(ctx context.Context, now time.Time) (int, error)
		// Lost is closed when only a fresh process can know what is on the disk.
		Lost() <-chan struct{}
		Backup(ctx context.Context, path string) error
	}
	// forgetful can end everything that expires, as after a copy of the past.
	forgetful interface {
		ForgetEphemeral(ctx context.Context, now time.Time) error
	}
	// layered is an engine in front of another one, whose capabilities it has.
	layered interface{ beneath() engine }
)

// layers are e and the engines beneath it, down to that of the ledger.
func layers(e engine) iter.Seq[engine] {
	return func(yield func(engine) bool) {
		for yield(e) {
			l, ok := e.(layered)
			if !ok {
				return
			}
			e = l.beneath()
		}
	}
}

// capability returns what e, or an engine beneath it, can do beside its duties.
func capability[T any](e engine) (T, bool) {
	for layer := range layers(e) {
		if c, ok := layer.(T); ok {
			return c, true
		}
	}
	var none T
	return none, false
}

// bottom is the engine beneath all others: that of the ledger.
func bottom(e engine) engine {
	for layer := range layers(e) {
		e = layer
	}
	return e
}

// lead runs f on one node: while this one leads, or at once where there is only one.
func lead(ctx context.Context, e engine, name string, f func(context.Context) error) error {
	if l, ok := capability[leader](e); ok {
		return l.Lead(ctx, name, f)
	}
	return f(ctx)
}

// openEngine opens what st names and brings its schema up to date. moved is called,
// at any time, when messages came into the queue by another way than a send of this
// process; nil when nobody wants to know. o is told how long writes wait and take, and calls of Redis.
func openEngine(ctx context.Context, st storage, moved func(), o observers) (engine, error) {
	base, err := openDatabase(ctx, st, o.writes)
	if err != nil || st.Redis.text == "" {
		return base, err
	}
	e, err := openEphemeral(ctx, st, base, moved, o.calls)
	if err != nil {
		return nil, errors.Join(err, base.Close())
	}
	return e, nil
}

// openDatabase opens the engine that keeps the ledger.
func openDatabase(ctx context.Context, st storage, o store.Observe) (engine, error) {
	if st.File != "" {
		return openSQLite(ctx, st.File, o)
	}
	return openPostgres(ctx, st.Postgres, o)
}
