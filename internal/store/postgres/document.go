package postgres

import (
	"context"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// Document reads a document; the zero one when there is none, and one without its
// body when its revision is the known one.
func (s *Store) Document(ctx context.Context, name string, known int64) (store.Document, error) {
	var out store.Document
	err := s.query(ctx, func(c row) {
		out = store.Document{Name: name, Revision: c.int(0), UpdatedAt: c.time(1), Body: c.bytes(2)}
	}, `SELECT revision, updated_at, CASE WHEN revision = $2 THEN NULL ELSE body END FROM documents WHERE name = $1`, []byte(name), known)
	return out, err
}

// PutDocument stores the next revision of a document, the first being 1; with any
// other it is fault.Conflict, and nothing was changed.
func (s *Store) PutDocument(ctx context.Context, d store.Document) error {
	if err := intent.CheckDocument(&d); err != nil {
		return err
	}
	put := `UPDATE documents SET revision = $2::bigint, updated_at = $3, body = $4 WHERE name = $1 AND revision = $2::bigint - 1`
	if d.Revision == 1 {
		put = `INSERT INTO documents (name, revision, updated_at, body) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`
	}
	return s.transact(ctx, func(t *tx) error {
		stored := false
		t.change(func(n int64) { stored = n > 0 }, put, []byte(d.Name), d.Revision, micros(d.UpdatedAt), notNull(d.Body))
		if err := t.flush(); err != nil {
			return err
		}
		if !stored {
			return intent.Overtaken()
		}
		return nil
	})
}
