package inbound

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"codeword/internal/carrier"
	"codeword/internal/store"
)

const (
	// receiptBatch is how many receipts are noted in one operation of the store.
	receiptBatch = 256
	// maxRef bounds a carrier's id of a message, in bytes; none is kept longer.
	maxRef = 128
	// A carrier's time is believed if it is not further from ours: validity
	// periods end after a week, and carriers that write local time without its
	// zone are a day off at most.
	maxAhead, maxBehind = 24 * time.Hour, 8 * 24 * time.Hour
)

// applyReceipts notes delivery receipts, in batches.
func (i *Intake) applyReceipts(ctx context.Context, route string, reported []carrier.DeliveryReceipt) error {
	now := i.cfg.Now()
	receipts := make([]store.Receipt, 0, len(reported))
	for _, d := range reported {
		if r, ok := i.receipt(route, d, now); ok {
			receipts = append(receipts, r)
		}
	}
	for batch := range slices.Chunk(receipts, receiptBatch) {
		applied, err := i.cfg.Receipts.ApplyReceipts(ctx, now, batch)
		if err != nil {
			return err
		}
		requeued := false
		for n, a := range applied {
			if a.Effect == store.ReceiptChanged && batch[n].Status == store.ReceiptDelivered {
				i.cfg.Delivered(a.Phone)
				i.cfg.Metrics.Arrived(route, max(0, now.Sub(a.Message.MadeAt())))
			}
			requeued = requeued || a.Effect == store.ReceiptRequeued
			i.cfg.Metrics.Receipt(route, a.Effect)
		}
		if requeued {
			i.cfg.Wake()
		}
	}
	return nil
}

// receipt turns a carrier's receipt into the store's; false when it names no
// message or says nothing.
func (i *Intake) receipt(route string, d carrier.DeliveryReceipt, now time.Time) (store.Receipt, bool) {
	if d.Ref == "" || len(d.Ref) > maxRef || !utf8.ValidString(d.Ref) {
		i.cfg.Metrics.Dropped(route, "reference")
		return store.Receipt{}, false
	}
	r := store.Receipt{Route: route, CarrierRef: d.Ref, At: believable(d.At, now)}
	switch d.Status {
	case carrier.ReceiptAccepted:
		r.Status = store.ReceiptAccepted
	case carrier.ReceiptDelivered:
		r.Status = store.ReceiptDelivered
	case carrier.ReceiptFailed:
		failure := carrier.Classify(carrier.NewError(d.Reason, nil))
		r.Status, r.Error = store.ReceiptFailed, failure.Reason
		r.Retry = failure.Class == carrier.Retryable
		r.OptOut = failure.Effect == carrier.EffectOptOut
	default:
		i.cfg.Metrics.Dropped(route, "status")
		return store.Receipt{}, false
	}
	return r, true
}

// believable returns a carrier's time, or none when it is too far from ours.
func believable(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now.Add(maxAhead)) || at.Before(now.Add(-maxBehind)) {
		return time.Time{}
	}
	return at
}
