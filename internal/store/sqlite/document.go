package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
	"codeword/internal/store/intent"
)

// Document reads a document; the zero one when there is none, and one without its
// body when its revision is the known one.
func (s *Store) Document(ctx context.Context, name string, known int64) (store.Document, error) {
	var out store.Document
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		_, err := prepare(conn, `SELECT revision, updated_at, CASE WHEN revision = ?2 THEN NULL ELSE body END FROM documents WHERE name = ?1`).
			blob([]byte(name)).int(known).one(func(st *sqlite.Stmt) {
			out = store.Document{Name: name, Revision: st.ColumnInt64(0), UpdatedAt: columnTime(st, 1), Body: columnBlob(st, 2)}
		})
		return err
	})
	return out, err
}

// PutDocument stores the next revision of a document, the first being 1; with any
// other it is fault.Conflict, and nothing was changed.
func (s *Store) PutDocument(ctx context.Context, d store.Document) error {
	if err := intent.CheckDocument(&d); err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		var stored int64
		_, err := prepare(t.conn, `SELECT revision FROM documents WHERE name = ?`).blob([]byte(d.Name)).
			one(func(st *sqlite.Stmt) { stored = st.ColumnInt64(0) })
		if err != nil {
			return err
		}
		if d.Revision != stored+1 {
			return intent.Overtaken()
		}
		return t.putDocument(&d)
	})
}

// putDocument stores a document as it is.
func (t *tx) putDocument(d *store.Document) error {
	return prepare(t.conn, `INSERT INTO documents (name, revision, updated_at, body) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, updated_at = excluded.updated_at, body = excluded.body`).
		blob([]byte(d.Name)).int(d.Revision).time(d.UpdatedAt).blob(d.Body).exec()
}
