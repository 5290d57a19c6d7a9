package inbound

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"codeword/internal/store"
)

// ProofStore notes which messages brought a code that was used.
type ProofStore interface {
	// RecordVerified marks the latest message of each phone and returns those
	// that were not marked before.
	RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error)
}

// ProofsConfig is what Proofs need; Log may be nil.
type ProofsConfig struct {
	Store ProofStore
	// Verified is told what was marked; it is how routes earn their health.
	Verified func([]store.Verified)
	Now      func() time.Time
	Log      *slog.Logger
}

// Proofs gather the phones whose codes were used, beside the calls that proved
// them: a used code shows that its message arrived. What does not fit, or cannot
// be stored, is dropped, since it is a statistic.
type Proofs struct {
	cfg   ProofsConfig
	queue chan store.PhoneID
}

const (
	proofQueue  = 4096
	proofBatch  = 256
	proofGather = 200 * time.Millisecond
)

// NewProofs returns Proofs; Run must be running for anything to be noted.
func NewProofs(cfg ProofsConfig) (*Proofs, error) {
	if cfg.Store == nil || cfg.Verified == nil || cfg.Now == nil {
		return nil, errors.New("inbound: Store, Verified and Now are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Proofs{cfg: cfg, queue: make(chan store.PhoneID, proofQueue)}, nil
}

// Add notes a phone. It never blocks.
func (p *Proofs) Add(phone store.PhoneID) {
	select {
	case p.queue <- phone:
	default:
	}
}

// Run stores what was added, in batches, until ctx ends.
func (p *Proofs) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	batch := make([]store.PhoneID, 0, proofBatch)
	for {
		batch = batch[:0]
		select {
		case phone := <-p.queue:
			batch = append(batch, phone)
		case <-ctx.Done():
			return nil
		}
		timer.Reset(proofGather)
		for full := false; !full && len(batch) < proofBatch; {
			select {
			case phone := <-p.queue:
				batch = append(batch, phone)
			case <-timer.C:
				full = true
			case <-ctx.Done():
				return nil
			}
		}
		found, err := p.cfg.Store.RecordVerified(ctx, p.cfg.Now(), batch)
		if err != nil {
			if ctx.Err() == nil {
				p.cfg.Log.WarnContext(ctx, "verified codes were not noted", "count", len(batch), "error", err)
			}
			continue
		}
		p.cfg.Verified(found)
	}
}
