package app

import (
	"context"
	"maps"

	"codeword/internal/audit"
	"codeword/internal/store"
)

// The kinds of entries about the number plan.
const (
	eventPlanImport     = "numberplan.import"
	eventPlanReset      = "numberplan.reset"
	eventOverride       = "numberplan.override"
	eventOverrideRemove = "numberplan.override.remove"
)

// recordedDocuments records each document that is put.
type recordedDocuments struct {
	documentStore

	ledger *ledger
	kind   string
	data   map[string]any
}

// recorded are the ledger's documents; what is put is recorded under that kind, with
// data and the revision.
func (l *ledger) recorded(kind string, data map[string]any) documentStore {
	return &recordedDocuments{documentStore: l.store, ledger: l, kind: kind, data: data}
}

// PutDocument implements documentStore.
func (r *recordedDocuments) PutDocument(ctx context.Context, d store.Document) error {
	data := map[string]any{"revision": d.Revision}
	maps.Copy(data, r.data)
	return r.ledger.audit.Record(ctx, audit.Entry{Actor: r.ledger.actor, Kind: r.kind, Data: data}, func() error {
		return r.documentStore.PutDocument(ctx, d)
	})
}
