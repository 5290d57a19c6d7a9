package postgres

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"codeword/internal/store"
)

// PutNotes stores notes, each in the place of one with the same topic and key, all
// or none of them.
func (s *Store) PutNotes(ctx context.Context, _ time.Time, notes []store.Note) error {
	// In one order on all nodes, so that none waits for another in a circle.
	notes = lastOfEach(notes, func(a, b *store.Note) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Key, b.Key))
	})
	if len(notes) == 0 {
		return nil
	}
	var topics, keys, bodies [][]byte
	var ats, ends []int64
	for i := range notes {
		n := &notes[i]
		topics, keys, bodies = append(topics, []byte(n.Topic)), append(keys, []byte(n.Key)), append(bodies, notNull(n.Body))
		ats, ends = append(ats, micros(n.At)), append(ends, micros(n.Until))
	}
	return s.transact(ctx, func(t *tx) error {
		t.exec(`INSERT INTO notes (topic, note_key, at, ends_at, body)
			SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[])
			ON CONFLICT (topic, note_key) DO UPDATE SET at = excluded.at, ends_at = excluded.ends_at, body = excluded.body`,
			topics, keys, ats, ends, bodies)
		return nil
	})
}

// lastOfEach sorts rows, and of those that are equal it keeps the last: one statement
// cannot write a row twice.
func lastOfEach[R any](rows []R, compare func(a, b *R) int) []R {
	rows = slices.Clone(rows)
	slices.Reverse(rows)
	slices.SortStableFunc(rows, func(a, b R) int { return compare(&a, &b) })
	return slices.CompactFunc(rows, func(a, b R) bool { return compare(&a, &b) == 0 })
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
		first = micros(since)
	}
	return s.query(ctx, func(c row) {
		each(&store.Note{Topic: topic, Key: c.text(0), At: c.time(1), Until: c.time(2), Body: c.bytes(3)})
	}, `SELECT note_key, at, ends_at, body FROM notes WHERE topic = $1 AND ends_at > $2 AND at >= $3 ORDER BY note_key`,
		[]byte(topic), micros(now), first)
}

// PutLineFacts stores facts, each in the place of what was known of its phone.
func (s *Store) PutLineFacts(ctx context.Context, _ time.Time, facts []store.LineFact) error {
	facts = lastOfEach(facts, func(a, b *store.LineFact) int { return bytes.Compare(a.Phone[:], b.Phone[:]) })
	if len(facts) == 0 {
		return nil
	}
	var phones [][16]byte
	var types, sources [][]byte
	var ends []int64
	for i := range facts {
		f := &facts[i]
		phones, types, sources = append(phones, f.Phone), append(types, []byte(f.Type)), append(sources, []byte(f.Source))
		ends = append(ends, micros(f.Until))
	}
	return s.transact(ctx, func(t *tx) error {
		t.exec(`INSERT INTO line_facts (phone, line_type, source, ends_at)
			SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bigint[])
			ON CONFLICT (phone) DO UPDATE SET line_type = excluded.line_type, source = excluded.source, ends_at = excluded.ends_at`,
			phones, types, sources, ends)
		return nil
	})
}

// LineFact tells what is known of a phone's line, unless it has to be asked again.
func (s *Store) LineFact(ctx context.Context, now time.Time, phone [16]byte) (fact store.LineFact, found bool, err error) {
	err = s.query(ctx, func(c row) {
		fact, found = store.LineFact{Phone: phone, Type: c.text(0), Source: c.text(1), Until: c.time(2)}, true
	}, `SELECT line_type, source, ends_at FROM line_facts WHERE phone = $1 AND ends_at > $2`, phone, micros(now))
	return fact, found, err
}
