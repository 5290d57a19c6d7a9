package postgres

import (
	"context"

	"codeword/internal/store"
)

// CopyDocuments reads documents in the order of their names, after one of them.
func (s *Store) CopyDocuments(ctx context.Context, after string, limit int) ([]store.Document, error) {
	var out []store.Document
	err := s.query(ctx, func(c row) {
		out = append(out, store.Document{Name: c.text(0), Revision: c.int(1), UpdatedAt: c.time(2), Body: c.bytes(3)})
	}, `SELECT name, revision, updated_at, body FROM documents WHERE name > $1 ORDER BY name LIMIT $2`, []byte(after), limit)
	return out, err
}

// TakeDocuments stores documents as they are, and removes others.
func (s *Store) TakeDocuments(ctx context.Context, put []store.Document, drop []string) error {
	return s.transact(ctx, func(t *tx) error {
		for _, name := range drop {
			t.exec(`DELETE FROM documents WHERE name = $1`, []byte(name))
		}
		for i := range put {
			d := &put[i]
			t.exec(`INSERT INTO documents (name, revision, updated_at, body) VALUES ($1, $2, $3, $4)
				ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, updated_at = excluded.updated_at, body = excluded.body`,
				[]byte(d.Name), d.Revision, micros(d.UpdatedAt), notNull(d.Body))
		}
		return nil
	})
}

// CopyEvents reads events in the order of their ids, after one of them.
func (s *Store) CopyEvents(ctx context.Context, after store.EventID, limit int) ([]store.Event, error) {
	var out []store.Event
	err := s.query(ctx, func(c row) { out = append(out, scanEvent(c)) },
		`SELECT `+eventColumns+` FROM events WHERE event_id > $1 ORDER BY event_id LIMIT $2`, [16]byte(after), limit)
	return out, err
}

// TakeEvents stores events as they are, and removes others.
func (s *Store) TakeEvents(ctx context.Context, put []store.Event, drop []store.EventID) error {
	gone := append([]store.EventID(nil), drop...)
	for i := range put {
		gone = append(gone, put[i].ID)
	}
	if len(gone) == 0 {
		return nil
	}
	ids, _, _ := span(gone)
	return s.transact(ctx, func(t *tx) error {
		t.exec(`DELETE FROM events WHERE event_id = ANY($1)`, ids)
		if len(put) > 0 {
			t.addEvents(put)
		}
		return nil
	})
}
