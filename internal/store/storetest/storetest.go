// Package storetest is the conformance suite of the storage engines: what an
// operation of the store means, as tests. Every engine runs it from its own
// tests; nothing above the ports has to know which engine it stands on.
//
// An engine that cannot keep a promise says so in Engine.Lacks; nothing else is
// ever skipped. Times are compared as they were given: an engine must keep
// microseconds and answer in UTC.
package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"codeword/internal/store"
)

// The ports as their consumers see them, together what an engine implements.
type (
	// Challenges is what package otp needs.
	Challenges interface {
		StartChallenge(ctx context.Context, in store.Start) (store.Started, error)
		Attempt(ctx context.Context, in store.Attempt) (store.Session, error)
		MarkPhone(ctx context.Context, in store.PhoneMark) error
	}
	// Phones is what an operator can do for the owner of a number.
	Phones interface {
		ErasePhone(ctx context.Context, in store.Erase) (store.Erased, error)
		PhoneRecord(ctx context.Context, in store.PhoneQuery) (store.PhoneRecord, error)
	}
	// Sessions is what package session needs to know a bearer.
	Sessions interface {
		Session(ctx context.Context, now time.Time, id store.SessionID) (store.Session, error)
		TouchSession(ctx context.Context, now time.Time, id store.SessionID, expires time.Time) error
		RevokeSession(ctx context.Context, now time.Time, id store.SessionID) error
	}
	// SigningKeys is what package session needs to rotate its keys.
	SigningKeys interface {
		SigningKeys(ctx context.Context) ([]store.SigningKey, error)
		AddSigningKey(ctx context.Context, key store.SigningKey, after string) error
		RetireSigningKey(ctx context.Context, kid string, at time.Time) error
		DeleteSigningKey(ctx context.Context, kid string) error
	}
	// Clients is what package tenant needs.
	Clients interface {
		Clients(ctx context.Context) ([]store.Client, error)
		CreateClient(ctx context.Context, c store.Client) error
		UpdateClient(ctx context.Context, c store.Client) error
		RecordSecretUse(ctx context.Context, uses []store.SecretUse) error
	}
	// Queue is what package delivery needs.
	Queue interface {
		ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error)
		RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error)
		QueueStats(ctx context.Context) (store.QueueStats, error)
	}
	// Feedback is what comes back: receipts of carriers, and codes that were used.
	Feedback interface {
		ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
		RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error)
	}
	// Log is what the inbox and the operator's interface need.
	Log interface {
		Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error)
		Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
	}
	// Notes are what nodes leave for each other, and what was looked up of lines.
	Notes interface {
		PutNotes(ctx context.Context, now time.Time, notes []store.Note) error
		Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error)
		EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error
		PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error
		LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error)
	}
	// Records are what all nodes read and few write, and what an operator may ask for.
	Records interface {
		Document(ctx context.Context, name string, known int64) (store.Document, error)
		PutDocument(ctx context.Context, d store.Document) error
		AppendEvents(ctx context.Context, events []store.Event) error
		Events(ctx context.Context, q store.EventQuery) ([]store.Event, error)
	}
	// Rollups are what was counted of messages.
	Rollups interface {
		FoldRollups(ctx context.Context, limit int) (folded int, err error)
		// Rollups calls each until it fails, and returns what that says.
		Rollups(ctx context.Context, q store.RollupQuery, each func(*store.Rollup) error) error
	}
	// Webhooks is what package webhook needs.
	Webhooks interface {
		QueueWebhooks(ctx context.Context, webhooks []store.Webhook) error
		ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error)
		RecordWebhooks(ctx context.Context, now time.Time, outcomes []store.WebhookOutcome) error
		ReplayWebhooks(ctx context.Context, in store.WebhookReplay) (store.WebhookReplayed, error)
		Webhooks(ctx context.Context, in store.WebhookQuery) ([]store.WebhookDelivery, error)
		TookSince(ctx context.Context, endpoint store.EndpointID, since time.Time) (bool, error)
		EraseWebhooks(ctx context.Context, events []store.EventID) error
	}
	// Upkeep is what the process that owns the store needs.
	Upkeep interface {
		SweepExpired(ctx context.Context, in store.Sweep) (store.Swept, error)
		Ping(ctx context.Context) error
		Close() error
	}
	// Store is an engine.
	Store interface {
		Challenges
		Phones
		Sessions
		SigningKeys
		Clients
		Queue
		Feedback
		Log
		Notes
		Records
		Rollups
		Webhooks
		Upkeep
	}
)

// Capability is a promise that an engine may be unable to keep.
type Capability string

const (
	// Durable means that what was acknowledged is there after Reopen.
	Durable Capability = "durable"
	// AtomicGrant means that a code is consumed if and only if its session was created,
	// even when the engine fails in between.
	AtomicGrant Capability = "atomic grant"
	// CountedSweep means that what expires is removed by SweepExpired, and counted,
	// rather than by the server's own clock.
	CountedSweep Capability = "counted sweep"
)

// Engine is an engine under test.
type Engine struct {
	// New returns a new, empty store. The suite closes it.
	New func(t *testing.T) Store
	// Reopen closes a store and opens its data again. It may be nil for an
	// engine that lacks Durable.
	Reopen func(t *testing.T, s Store) Store
	// Lacks are the promises that this engine does not make.
	Lacks []Capability
}

// Run runs the whole suite.
func Run(t *testing.T, e Engine) {
	t.Helper()
	if e.Reopen == nil && !slices.Contains(e.Lacks, Durable) {
		t.Fatal("an engine that can be reopened must say how, or declare that it lacks Durable")
	}
	for _, aggregate := range []struct {
		name   string
		checks []check
	}{
		{"challenge", challengeChecks()},
		{"binding", bindingChecks()},
		{"lane", laneChecks()},
		{"mark", markChecks()},
		{"erasure", eraseChecks()},
		{"limit", limitChecks()},
		{"idempotency", idempotencyChecks()},
		{"grant", grantChecks()},
		{"session", sessionChecks()},
		{"signing key", signingKeyChecks()},
		{"client", clientChecks()},
		{"message", messageChecks()},
		{"dispatch", dispatchChecks()},
		{"receipt", receiptChecks()},
		{"verified", verifiedChecks()},
		{"message list", listChecks()},
		{"message query", queryChecks()},
		{"note", noteChecks()},
		{"line fact", lineFactChecks()},
		{"document", documentChecks()},
		{"event", eventChecks()},
		{"rollup", rollupChecks()},
		{"webhook", webhookChecks()},
		{"sweep", sweepChecks()},
		{"reopen", reopenChecks()},
		{"concurrency", concurrencyChecks()},
		{"delivery race", deliveryRaceChecks()},
		{"model", modelChecks()},
		{"linearizability", linearChecks()},
	} {
		t.Run(aggregate.name, func(t *testing.T) {
			s := e.open(t)
			for _, c := range aggregate.checks {
				t.Run(c.name, func(t *testing.T) {
					if slices.Contains(e.Lacks, c.needs) {
						t.Skipf("the engine declares that it lacks %q", c.needs)
					}
					if c.alone {
						c.run(t, e.open(t))
						return
					}
					c.run(t, s)
				})
			}
		})
	}
}

// check is one promise. The checks of an aggregate share a store, and keep
// apart by phone; alone is for those that look at the store as a whole.
type check struct {
	name  string
	run   func(*testing.T, *suite)
	alone bool
	needs Capability
}

// open makes a store with one client.
func (e Engine) open(t *testing.T) *suite {
	t.Helper()
	s := &suite{Store: e.New(t), engine: e, client: "client-a", other: "client-b"}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	for _, id := range []string{s.client, s.other} {
		err := s.CreateClient(t.Context(), store.Client{ID: id, Name: id, Settings: []byte("{}"), CreatedAt: at(0)})
		if err != nil {
			t.Fatalf("CreateClient(%s): %v", id, err)
		}
	}
	return s
}

// reopen closes the store and opens it again on the same data.
func (s *suite) reopen(t *testing.T) {
	t.Helper()
	s.Store = s.engine.Reopen(t, s.Store)
}
