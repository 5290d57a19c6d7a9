package ledgercopy

import (
	"slices"
	"strings"
	"time"

	"codeword/internal/store"
)

func messages(s Source, t Target, ended time.Time) *table[store.MessageID, store.MessageRow] {
	return &table[store.MessageID, store.MessageRow]{
		name: tableMessages, key: func(r *store.MessageRow) store.MessageID { return r.ID }, order: byID[store.MessageID],
		source: s.CopyMessages, target: t.CopyMessages, take: t.TakeMessages,
		settle: func(r *store.MessageRow) { settle(r, ended) },
	}
}

// settle ends what a message may still be waiting for, at the time at which the copy
// was begun: its challenge is not in the copy, so nothing can come of its code.
func settle(m *store.MessageRow, at time.Time) {
	if m.CreatedAt.After(at) { // the source went on after an interrupted copy
		at = m.CreatedAt
	}
	if m.Status == store.MessageQueued {
		m.Status, m.UpdatedAt = store.MessageExpired, at
	}
	if m.ExpiresAt.After(at) {
		m.ExpiresAt = at
	}
	for _, text := range []*string{&m.Route, &m.CarrierRef, &m.Error, &m.Locale} {
		*text = storable(*text)
	}
	for i := range m.Dispatches {
		d := &m.Dispatches[i]
		for _, text := range []*string{&d.Route, &d.Decision, &d.CarrierRef, &d.Error} {
			*text = storable(*text)
		}
	}
	settleReceipts(m)
}

// settleReceipts keeps the receipts' keys unique.
func settleReceipts(m *store.MessageRow) {
	changed := false
	for i := range m.Receipts {
		text := storable(m.Receipts[i].Error)
		changed = changed || text != m.Receipts[i].Error
		m.Receipts[i].Error = text
	}
	if !changed {
		return
	}
	slices.SortStableFunc(m.Receipts, compareReceipts)
	m.Receipts = slices.CompactFunc(m.Receipts, func(a, b store.ReceiptRow) bool { return compareReceipts(a, b) == 0 })
}

func compareReceipts(a, b store.ReceiptRow) int {
	switch {
	case a.N != b.N:
		return a.N - b.N
	case a.Status != b.Status:
		return int(a.Status) - int(b.Status)
	default:
		return strings.Compare(a.Error, b.Error)
	}
}

// storable is s without what some engine cannot hold in a text. Carriers' words are
// kept by some as they came.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
