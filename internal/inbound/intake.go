// Package inbound makes true what comes back from phones and carriers: delivery
// receipts change the status of messages, STOP and START note and lift
// opt-outs, and a code that was used proves that its message arrived.
//
// Whatever is taken here may come twice, late, or out of order: carriers repeat
// a report until they are told that it is durable.
package inbound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/message"
	"codeword/internal/phone"
	"codeword/internal/store"
	"codeword/internal/tenant"
)

// ReceiptStore notes delivery receipts.
type ReceiptStore interface {
	// ApplyReceipts notes receipts in one durable operation and tells, in the
	// same order, what became of each. It may be repeated.
	ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
}

// Config is what an Intake needs. Receipts, Mark, Clients and Now are required.
type Config struct {
	Receipts ReceiptStore
	// Mark notes something about a number that the client knows, durably. It
	// refuses one that the client does not know with fault.NotFound. It is called
	// concurrently and may be repeated.
	Mark func(ctx context.Context, c *tenant.Client, n phone.Number, mark store.Mark) error
	// Clients lists all clients, disabled ones and those that are Unread included: an
	// opt-out outlives a pause.
	Clients func() []*tenant.Client
	// Replier is the carrier that brings answers to keywords over a route; nil,
	// or a nil carrier, where nobody answers or the provider does so itself.
	Replier func(route string) carrier.Carrier
	// Delivered is told whose messages arrived, as their first receipts say so; nil
	// when nobody wants to know. It must not block.
	Delivered func(store.PhoneID)
	// Wake is told that receipts put messages back into the queue.
	Wake    func()
	Metrics Metrics
	Now     func() time.Time
	// Log gets what an operator should know; nil for nothing.
	Log *slog.Logger
}

// Metrics are called as things happen, concurrently; each may be nil. Routes are
// those that Handle was given.
type Metrics struct {
	// Receipt: a delivery receipt had that effect.
	Receipt func(route string, effect store.ReceiptEffect)
	// Arrived: a receipt said first that a message was delivered, so long after it was
	// accepted.
	Arrived func(route string, after time.Duration)
	// Dropped: a report made no sense; what is "reference", "status" or "number",
	// or "start" for a START that came too late.
	Dropped func(route, what string)
	// Inbound: a phone wrote to one of our senders.
	Inbound func(route string, wish message.KeywordKind)
	// Reply: a keyword was to be answered; outcome is "sent", "failed", "limited"
	// when the number was answered enough, or "dropped" when too many waited.
	Reply func(route string, wish message.KeywordKind, outcome string)
}

// maxReports is how many reports are taken at once; no carrier has that many to
// tell in one go.
const maxReports = 4096

// Intake takes reports. It is safe for concurrent use.
type Intake struct {
	cfg     Config
	replies replies
}

// New returns an Intake, or an error that names what is missing.
func New(cfg Config) (*Intake, error) {
	if cfg.Receipts == nil || cfg.Mark == nil || cfg.Clients == nil || cfg.Now == nil {
		return nil, errors.New("inbound: Receipts, Mark, Clients and Now are required")
	}
	if cfg.Replier == nil {
		cfg.Replier = func(string) carrier.Carrier { return nil }
	}
	if cfg.Delivered == nil {
		cfg.Delivered = func(store.PhoneID) {}
	}
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &cfg.Metrics
	if m.Arrived == nil {
		m.Arrived = func(string, time.Duration) {}
	}
	if m.Receipt == nil {
		m.Receipt = func(string, store.ReceiptEffect) {}
	}
	if m.Dropped == nil {
		m.Dropped = func(string, string) {}
	}
	if m.Inbound == nil {
		m.Inbound = func(string, message.KeywordKind) {}
	}
	if m.Reply == nil {
		m.Reply = func(string, message.KeywordKind, string) {}
	}
	return &Intake{cfg: cfg, replies: newReplies()}, nil
}

// Handle makes reports of a route true and returns nil once they are durable.
// After an error the same reports may be handed in again, and should be unless
// it wraps carrier.ErrMalformed; fault.Unavailable says that the store is down.
// What makes no sense by itself is dropped and counted, so that it is not
// repeated forever.
func (i *Intake) Handle(ctx context.Context, route string, r carrier.Reports) error {
	if len(r.Receipts)+len(r.Inbound) > maxReports {
		return fmt.Errorf("inbound: more than %d reports: %w", maxReports, carrier.ErrMalformed)
	}
	return errors.Join(i.applyReceipts(ctx, route, r.Receipts), i.obey(ctx, route, r.Inbound))
}

// Sink returns Handle for one route, as a carrier that reports in band takes it.
func (i *Intake) Sink(route string) carrier.Sink {
	return func(ctx context.Context, r carrier.Reports) error { return i.Handle(ctx, route, r) }
}
