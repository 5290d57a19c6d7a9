package redis

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"codeword/internal/store"
)

// PutNotes stores notes, each in the place of one with the same topic and key. Those
// of one topic are stored together; of several topics some may be stored although the
// call fails. A primary that is lost takes those with it that it alone had: they are put
// again before long.
func (s *Store) PutNotes(ctx context.Context, now time.Time, notes []store.Note) error {
	byTopic := make(map[string]int, 1)
	var calls []invocation
	for i := range notes {
		n := &notes[i]
		at, known := byTopic[n.Topic]
		if !known {
			at = len(calls)
			byTopic[n.Topic] = at
			calls = append(calls, invocation{"notes_put", s.notesKeys(n.Topic), []string{micros(now)}})
		}
		until := micros(n.Until)
		calls[at].args = append(calls[at].args, n.Key, until, micros(n.At)+bar+until+bar+string(n.Body))
	}
	return s.invokeEach(ctx, calls)
}

// bar is between the parts of a note's value.
const bar = "|"

// invokeEach carries out functions, in no order, and tells the first failure.
func (s *Store) invokeEach(ctx context.Context, calls []invocation) error {
	for _, a := range s.invokeAll(ctx, calls) {
		if a.err != nil {
			return a.err
		}
	}
	return nil
}

// Notes lists the live notes of a topic that were put at since or later, in the order
// of their keys; all of them with the zero time.
func (s *Store) Notes(ctx context.Context, now time.Time, topic string, since time.Time) ([]store.Note, error) {
	first := micros(since)
	if since.IsZero() {
		first = strconv.FormatInt(math.MinInt64, 10)
	}
	got, err := s.array(ctx, invocation{"notes_get", s.notesKeys(topic), []string{micros(now), first}})
	if err != nil {
		return nil, err
	}
	var out []store.Note
	for i := 0; i+1 < len(got); i += 2 {
		at, rest, _ := strings.Cut(text(got[i+1]), bar)
		until, body, _ := strings.Cut(rest, bar)
		n := store.Note{Topic: topic, Key: text(got[i]), At: store.FromMicros(atoi(at)), Until: store.FromMicros(atoi(until))}
		if body != "" {
			n.Body = []byte(body)
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b store.Note) int { return strings.Compare(a.Key, b.Key) })
	return out, nil
}

// EachNote calls each for every note that Notes would list, in that order. The server
// tells them all at once, so it takes as much memory.
func (s *Store) EachNote(ctx context.Context, now time.Time, topic string, since time.Time, each func(*store.Note)) error {
	notes, err := s.Notes(ctx, now, topic, since)
	for i := range notes {
		each(&notes[i])
	}
	return err
}

// PutLineFacts stores facts, each in the place of what was known of its phone; some
// may be stored although the call fails.
func (s *Store) PutLineFacts(ctx context.Context, now time.Time, facts []store.LineFact) error {
	last := make(map[[16]byte]*store.LineFact, len(facts))
	for i := range facts {
		last[facts[i].Phone] = &facts[i]
	}
	calls := make([]invocation, 0, len(last))
	for phone, f := range last {
		calls = append(calls, invocation{"line_put", []string{s.lineKey(phone)}, []string{micros(now), micros(f.Until), f.Type, f.Source}})
	}
	return s.invokeEach(ctx, calls)
}

// LineFact tells what is known of a phone's line, unless it has to be asked again.
func (s *Store) LineFact(ctx context.Context, now time.Time, phone [16]byte) (store.LineFact, bool, error) {
	got, err := s.array(ctx, invocation{"line_get", []string{s.lineKey(phone)}, []string{micros(now)}})
	if err != nil || len(got) < 3 {
		return store.LineFact{}, false, err
	}
	return store.LineFact{Phone: phone, Type: text(got[1]), Source: text(got[2]), Until: store.FromMicros(integer(got[0]))}, true, nil
}
