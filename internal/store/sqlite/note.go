package sqlite

import (
	"context"
	"math"
	"time"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// PutNotes stores notes, each in the place of one with the same topic and key, all
// or none of them.
func (s *Store) PutNotes(ctx context.Context, _ time.Time, notes []store.Note) error {
	if len(notes) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(t *tx) error {
		for i := range notes {
			n := &notes[i]
			err := prepare(t.conn, `INSERT INTO notes (topic, note_key, at, ends_at, body) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (topic, note_key) DO UPDATE SET at = excluded.at, ends_at = excluded.ends_at, body = excluded.body`).
				blob([]byte(n.Topic)).blob([]byte(n.Key)).time(n.At).time(n.Until).blob(n.Body).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Notes lists the live notes of a topic that were put at since or later, in the
// order of their keys; all of them with the zero time.
func (s *Store) Notes(ctx context.Context, now time.Time, topic string, since time.Time) (out []store.Note, err error) {
	err = s.EachNote(ctx, now, topic, since, func(n *store.Note) { out = append(out, *n) })
	return out, err
}

// EachNote calls each for every note that Notes would list, in that order. It holds a
// connection meanwhile, so each does not call the store.
func (s *Store) EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error {
	first := int64(math.MinInt64)
	if !since.IsZero() {
		first = store.Micros(since)
	}
	return s.read(ctx, func(conn *sqlite.Conn) error {
		return prepare(conn, `SELECT note_key, at, ends_at, body FROM notes
			WHERE topic = ? AND ends_at > ? AND at >= ? ORDER BY note_key`).
			blob([]byte(topic)).time(now).int(first).each(func(st *sqlite.Stmt) {
			each(&store.Note{
				Topic: topic, Key: columnName(st, 0), At: columnTime(st, 1), Until: columnTime(st, 2), Body: columnBlob(st, 3),
			})
		})
	})
}

// columnName reads a string that is kept as a blob.
func columnName(s *sqlite.Stmt, col int) string { return string(columnBlob(s, col)) }

// PutLineFacts stores facts, each in the place of what was known of its phone.
func (s *Store) PutLineFacts(ctx context.Context, _ time.Time, facts []store.LineFact) error {
	if len(facts) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(t *tx) error {
		for i := range facts {
			f := &facts[i]
			err := prepare(t.conn, `INSERT INTO line_facts (phone, line_type, source, ends_at) VALUES (?, ?, ?, ?)
				ON CONFLICT (phone) DO UPDATE SET line_type = excluded.line_type, source = excluded.source, ends_at = excluded.ends_at`).
				blob(f.Phone[:]).blob([]byte(f.Type)).blob([]byte(f.Source)).time(f.Until).exec()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// LineFact tells what is known of a phone's line, unless it has to be asked again.
func (s *Store) LineFact(ctx context.Context, now time.Time, phone [16]byte) (fact store.LineFact, found bool, err error) {
	err = s.read(ctx, func(conn *sqlite.Conn) (err error) {
		found, err = prepare(conn, `SELECT line_type, source, ends_at FROM line_facts WHERE phone = ? AND ends_at > ?`).
			blob(phone[:]).time(now).one(func(st *sqlite.Stmt) {
			fact = store.LineFact{Phone: phone, Type: columnName(st, 0), Source: columnName(st, 1), Until: columnTime(st, 2)}
		})
		return err
	})
	return fact, found, err
}
