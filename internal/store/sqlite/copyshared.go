package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// CopyDocuments reads documents in the order of their names, after one of them.
func (s *Store) CopyDocuments(ctx context.Context, after string, limit int) (out []store.Document, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		return prepare(conn, `SELECT name, revision, updated_at, body FROM documents WHERE name > ? ORDER BY name LIMIT ?`).
			blob([]byte(after)).int(int64(limit)).each(func(st *sqlite.Stmt) {
			out = append(out, store.Document{
				Name: columnName(st, 0), Revision: st.ColumnInt64(1), UpdatedAt: columnTime(st, 2), Body: columnBlob(st, 3),
			})
		})
	})
	return out, err
}

// TakeDocuments stores documents as they are, and removes others.
func (s *Store) TakeDocuments(ctx context.Context, put []store.Document, drop []string) error {
	return s.writer.do(ctx, func(t *tx) error {
		for _, name := range drop {
			if err := prepare(t.conn, `DELETE FROM documents WHERE name = ?`).blob([]byte(name)).exec(); err != nil {
				return err
			}
		}
		for i := range put {
			if err := t.putDocument(&put[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// CopyEvents reads events in the order of their ids, after one of them.
func (s *Store) CopyEvents(ctx context.Context, after store.EventID, limit int) (out []store.Event, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		return prepare(conn, `SELECT `+eventColumns+` FROM events WHERE event_id > ? ORDER BY event_id LIMIT ?`).
			blob(after[:]).int(int64(limit)).each(func(st *sqlite.Stmt) { out = append(out, columnEvent(st)) })
	})
	return out, err
}

// TakeEvents stores events as they are, and removes others.
func (s *Store) TakeEvents(ctx context.Context, put []store.Event, drop []store.EventID) error {
	gone := append([]store.EventID(nil), drop...)
	for i := range put {
		gone = append(gone, put[i].ID)
	}
	return s.writer.do(ctx, func(t *tx) error {
		for _, id := range gone {
			if err := prepare(t.conn, `DELETE FROM events WHERE event_id = ?`).blob(id[:]).exec(); err != nil {
				return err
			}
		}
		for i := range put {
			if err := t.addEvent(&put[i]); err != nil {
				return err
			}
		}
		return nil
	})
}
