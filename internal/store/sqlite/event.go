package sqlite

import (
	"context"
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"codeword/internal/store"
)

// AppendEvents adds events, all or none of them. One whose id is there already is
// left as it is, so that a call may be repeated.
func (s *Store) AppendEvents(ctx context.Context, events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.writer.do(ctx, func(t *tx) error {
		for i := range events {
			if err := t.addEvent(&events[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) addEvent(e *store.Event) error {
	return prepare(t.conn, `INSERT INTO events (event_id, at, client, kind, actor, data) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (event_id) DO NOTHING`).
		blob(e.ID[:]).time(e.At).blob([]byte(e.Client)).blob([]byte(e.Kind)).blob([]byte(e.Actor)).blob(e.Data).exec()
}

const eventColumns = `event_id, at, client, kind, actor, data`

func columnEvent(st *sqlite.Stmt) store.Event {
	return store.Event{
		ID: columnID(st, 0), At: columnTime(st, 1), Client: columnName(st, 2), Kind: columnName(st, 3), Actor: columnName(st, 4),
		Data: columnBlob(st, 5),
	}
}

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, in store.EventQuery) ([]store.Event, error) {
	if in.Limit <= 0 {
		return nil, nil
	}
	where, args := ` WHERE TRUE`, [][]byte(nil)
	pick := func(condition string, arg []byte) {
		args = append(args, arg)
		where += fmt.Sprintf(condition, len(args))
	}
	if in.Before != (store.EventID{}) {
		pick(` AND event_id < ?%d`, in.Before[:])
	}
	if in.Client != "" {
		pick(` AND client = ?%d`, []byte(in.Client))
	}
	switch {
	case strings.HasSuffix(in.Kind, "."):
		// So that the order of the ids is read, rather than all of those kinds to sort them.
		pick(` AND substr(kind, 1, length(?%[1]d)) = ?%[1]d`, []byte(in.Kind))
	case in.Kind != "":
		pick(` AND kind = ?%d`, []byte(in.Kind))
	}
	var out []store.Event
	err := s.read(ctx, func(conn *sqlite.Conn) error {
		out = nil
		q := prepare(conn, `SELECT `+eventColumns+` FROM events`+where+` ORDER BY event_id DESC LIMIT ?`)
		for _, arg := range args {
			q = q.blob(arg)
		}
		return q.int(int64(in.Limit)).each(func(st *sqlite.Stmt) { out = append(out, columnEvent(st)) })
	})
	return out, err
}
