package postgres

import (
	"context"
	"fmt"
	"strings"

	"codeword/internal/store"
)

// AppendEvents adds events, all or none of them. One whose id is there already is
// left as it is, so that a call may be repeated.
func (s *Store) AppendEvents(ctx context.Context, events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.transact(ctx, func(t *tx) error {
		t.addEvents(events)
		return nil
	})
}

func (t *tx) addEvents(events []store.Event) {
	var ids [][16]byte
	var ats []int64
	var clients, kinds, actors, data [][]byte
	for i := range events {
		e := &events[i]
		ids, ats, data = append(ids, e.ID), append(ats, micros(e.At)), append(data, notNull(e.Data))
		clients, kinds, actors = append(clients, []byte(e.Client)), append(kinds, []byte(e.Kind)), append(actors, []byte(e.Actor))
	}
	// Sorted, so that nodes that repeat each other's events never wait in a circle; of
	// one id the first counts.
	t.exec(`INSERT INTO events (`+eventColumns+`)
		SELECT `+eventColumns+` FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])
			WITH ORDINALITY AS e(`+eventColumns+`, n) ORDER BY event_id, n
		ON CONFLICT (event_id) DO NOTHING`, ids, ats, clients, kinds, actors, data)
}

const eventColumns = `event_id, at, client, kind, actor, data`

func scanEvent(c row) store.Event {
	return store.Event{ID: c.id(0), At: c.time(1), Client: c.text(2), Kind: c.text(3), Actor: c.text(4), Data: c.bytes(5)}
}

// Events lists events, newest first.
func (s *Store) Events(ctx context.Context, in store.EventQuery) ([]store.Event, error) {
	if in.Limit <= 0 {
		return nil, nil
	}
	where, args := ` WHERE true`, []any(nil)
	pick := func(condition string, arg any) {
		args = append(args, arg)
		where += fmt.Sprintf(condition, len(args))
	}
	if in.Before != (store.EventID{}) {
		pick(` AND event_id < $%d`, [16]byte(in.Before))
	}
	if in.Client != "" {
		pick(` AND client = $%d`, []byte(in.Client))
	}
	switch {
	case strings.HasSuffix(in.Kind, "."):
		// So that the order of the ids is read, rather than all of those kinds to sort them.
		pick(` AND substr(kind, 1, length($%[1]d::bytea)) = $%[1]d`, []byte(in.Kind))
	case in.Kind != "":
		pick(` AND kind = $%d`, []byte(in.Kind))
	}
	pick(` ORDER BY event_id DESC LIMIT $%d`, in.Limit)
	var out []store.Event
	err := s.query(ctx, func(c row) { out = append(out, scanEvent(c)) }, `SELECT `+eventColumns+` FROM events`+where, args...)
	return out, err
}
