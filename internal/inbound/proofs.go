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
	// proofLast is how long storing may go on after the end.
	proofLast = 3 * time.Second
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

// Run stores what was added, in batches, until ctx ends; what is there then it stores
// still, as far as that takes no longer than proofLast.
func (p *Proofs) Run(ctx context.Context) error {
	storing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(proofLast, cancel) })()
	batch := make([]store.PhoneID, 0, proofBatch)
	for ctx.Err() == nil {
		batch = p.gather(ctx, batch[:0])
		p.note(storing, batch)
	}
	for len(p.queue) > 0 && p.note(storing, p.waiting(batch[:0])) {
	}
	return nil
}

// gather waits for a phone and adds those that follow soon, or what there is when ctx
// ends.
func (p *Proofs) gather(ctx context.Context, batch []store.PhoneID) []store.PhoneID {
	select {
	case phone := <-p.queue:
		batch = append(batch, phone)
	case <-ctx.Done():
		return batch
	}
	timer := time.NewTimer(proofGather)
	defer timer.Stop()
	for len(batch) < proofBatch {
		select {
		case phone := <-p.queue:
			batch = append(batch, phone)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// waiting adds the phones that are there.
func (p *Proofs) waiting(batch []store.PhoneID) []store.PhoneID {
	for len(batch) < proofBatch {
		select {
		case phone := <-p.queue:
			batch = append(batch, phone)
		default:
			return batch
		}
	}
	return batch
}

// note stores a batch and tells what was marked.
func (p *Proofs) note(ctx context.Context, batch []store.PhoneID) (ok bool) {
	if len(batch) == 0 {
		return true
	}
	found, err := p.cfg.Store.RecordVerified(ctx, p.cfg.Now(), batch)
	if err != nil {
		p.cfg.Log.WarnContext(ctx, "verified codes were not noted", "count", len(batch), "error", err)
		return false
	}
	p.cfg.Verified(found)
	return true
}
