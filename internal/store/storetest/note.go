package storetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
)

func noteChecks() []check {
	return []check{
		{name: "a later note takes the place of an earlier one", run: noteReplaced},
		{name: "a note ends exactly at its end", run: noteEnds},
		{name: "those put since", run: notesSince},
		{name: "in the order of their keys", run: notesInOrder},
		{name: "bodies of any size, and of any bytes", run: noteBodies},
		{name: "nothing in a name is special", run: noteNames},
		{name: "several topics at once, and nothing", run: noteTopics},
		{name: "nodes that write at once", run: notesAtOnce},
		{name: "dead notes do not take live ones along", run: notesOutlive},
	}
}

func note(topic, key string, put, until time.Duration, body string) store.Note {
	n := store.Note{Topic: topic, Key: key, At: at(put), Until: at(until)}
	if body != "" {
		n.Body = []byte(body)
	}
	return n
}

// put stores notes.
func (s *suite) put(t *testing.T, now time.Time, notes ...store.Note) {
	t.Helper()
	ok(t, "PutNotes", s.PutNotes(t.Context(), now, notes))
}

// list is what Notes tells, and EachNote as well.
func (s *suite) list(t *testing.T, now time.Time, topic string, since time.Time) []store.Note {
	t.Helper()
	out, err := s.Notes(t.Context(), now, topic, since)
	ok(t, "Notes", err)
	var each []store.Note
	ok(t, "EachNote", s.EachNote(t.Context(), now, topic, since, func(n *store.Note) { each = append(each, *n) }))
	if !reflect.DeepEqual(each, out) {
		t.Errorf("one by one %+v, together %+v", each, out)
	}
	return out
}

// notes checks which keys are listed.
func (s *suite) notes(t *testing.T, now time.Time, topic string, since time.Time, want ...string) {
	t.Helper()
	var got []string
	for _, n := range s.list(t, now, topic, since) {
		got = append(got, n.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("notes of %q at +%v: %q, want %q", topic, now.Sub(at(0)), got, want)
	}
}

func noteReplaced(t *testing.T, s *suite) {
	const topic = "replaced"
	first := note(topic, "k", 0, time.Hour, "first")
	other := note(topic, "other", 0, time.Hour, "other")
	s.put(t, at(0), first, other)
	if got := s.list(t, at(0), topic, time.Time{}); !reflect.DeepEqual(got, []store.Note{first, other}) {
		t.Errorf("listed %+v", got)
	}
	second := note(topic, "k", time.Second, time.Minute, "second") // which ends before
	s.put(t, at(time.Second), second)
	if got := s.list(t, at(time.Second), topic, time.Time{}); !reflect.DeepEqual(got, []store.Note{second, other}) {
		t.Errorf("listed %+v", got)
	}
	s.notes(t, at(time.Minute), topic, time.Time{}, "other")
	last := note(topic, "k", 2*time.Second, time.Hour, "last")
	s.put(t, at(2*time.Second), second, note(topic, "k", 0, 0, ""), last) // of one call the last counts
	if got := s.list(t, at(2*time.Second), topic, time.Time{}); !reflect.DeepEqual(got, []store.Note{last, other}) {
		t.Errorf("listed %+v", got)
	}
	s.put(t, at(3*time.Second), note(topic, "k", 3*time.Second, 3*time.Second, "dead")) // a dead one, too
	s.notes(t, at(3*time.Second), topic, time.Time{}, "other")
}

func noteEnds(t *testing.T, s *suite) {
	const topic = "ends"
	s.put(t, at(0), note(topic, "a", 0, time.Minute, "x"), note(topic, "b", 0, 1000*day, "x"))
	s.notes(t, at(time.Minute-time.Microsecond), topic, time.Time{}, "a", "b")
	s.notes(t, at(time.Minute), topic, time.Time{}, "b")
	s.notes(t, at(1000*day-time.Microsecond), topic, time.Time{}, "b")
	s.notes(t, at(1000*day), topic, time.Time{})
}

func notesSince(t *testing.T, s *suite) {
	const topic = "since"
	for i, key := range []string{"c", "a", "b"} {
		s.put(t, at(time.Duration(i)*time.Microsecond), note(topic, key, time.Duration(i)*time.Microsecond, time.Hour, "x"))
	}
	s.notes(t, at(time.Second), topic, time.Time{}, "a", "b", "c")
	s.notes(t, at(time.Second), topic, at(0), "a", "b", "c")
	s.notes(t, at(time.Second), topic, at(time.Microsecond), "a", "b")
	s.notes(t, at(time.Second), topic, at(2*time.Microsecond), "b")
	s.notes(t, at(time.Second), topic, at(3*time.Microsecond))
	s.put(t, at(time.Second), note(topic, "c", time.Second, time.Hour, "again"))
	s.notes(t, at(time.Second), topic, at(3*time.Microsecond), "c")
}

func notesInOrder(t *testing.T, s *suite) {
	keys := []string{"b", "a", "", "ä", "B", "a\x00", "aa", "\xff", "~", "a b", "10", "9"}
	var notes []store.Note
	for _, key := range keys {
		notes = append(notes, note("order", key, 0, time.Hour, key))
	}
	s.put(t, at(0), notes...)
	slices.Sort(keys)
	s.notes(t, at(0), "order", time.Time{}, keys...)
	for _, n := range s.list(t, at(0), "order", time.Time{}) {
		if string(n.Body) != n.Key {
			t.Errorf("%q has the body %q", n.Key, n.Body)
		}
	}
}

func noteBodies(t *testing.T, s *suite) {
	large := make([]byte, 1<<20)
	_, _ = rand.Read(large) // never fails
	for name, body := range map[string][]byte{
		"empty": {}, "none": nil, "large": large, "text": []byte("1|2|3\n"), "bars": []byte("||"), "bytes": {0, 0xff, '|', 0},
	} {
		n := note("body", name, 0, time.Hour, "")
		n.Body = body
		s.put(t, at(0), n)
		for _, got := range s.list(t, at(0), "body", time.Time{}) {
			if got.Key == name && !bytes.Equal(got.Body, body) {
				t.Errorf("%s: %d bytes came back", name, len(got.Body))
			}
		}
	}
	s.put(t, at(0), note("body", "large", 0, time.Hour, "small again"))
	s.notes(t, at(0), "body", time.Time{}, "bars", "bytes", "empty", "large", "none", "text")
}

// hostile are names that mean something to one engine or another.
var hostile = []string{
	"", " ", "'", "''; DROP TABLE notes; --", `"quoted"`, `\`, "%", "_", "*", "{a}", "}{", "a:b", "|", "\n", "\x00", "a\x00b", "\xff\xfe",
	"é", "e\u0301", "💬", "NULL", "-1", strings.Repeat("long ", 100),
}

func noteNames(t *testing.T, s *suite) {
	for _, topic := range hostile {
		var notes []store.Note
		for _, key := range hostile {
			notes = append(notes, note("h"+topic, key, 0, time.Hour, topic+"/"+key))
		}
		s.put(t, at(0), notes...)
	}
	want := slices.Sorted(slices.Values(hostile))
	for _, topic := range hostile {
		s.notes(t, at(0), "h"+topic, time.Time{}, want...)
		for _, n := range s.list(t, at(0), "h"+topic, time.Time{}) {
			if string(n.Body) != topic+"/"+n.Key || n.Topic != "h"+topic {
				t.Errorf("%q %q has the body %q", n.Topic, n.Key, n.Body)
			}
		}
	}
}

func noteTopics(t *testing.T, s *suite) {
	s.put(t, at(0))
	s.notes(t, at(0), "never was", time.Time{})
	s.put(t, at(0), note("one", "k", 0, time.Hour, "1"), note("two", "k", 0, time.Minute, "2"), note("three", "k", 0, time.Hour, "3"))
	for topic, body := range map[string]string{"one": "1", "two": "2", "three": "3"} {
		if got := s.list(t, at(0), topic, time.Time{}); len(got) != 1 || string(got[0].Body) != body {
			t.Errorf("%s: %+v", topic, got)
		}
	}
	s.notes(t, at(time.Minute), "two", time.Time{})
	s.notes(t, at(time.Minute), "one", time.Time{}, "k")
}

func notesAtOnce(t *testing.T, s *suite) {
	const nodes, rounds = 8, 20
	var all sync.WaitGroup
	for n := range nodes {
		all.Go(func() {
			for r := range rounds {
				notes := []store.Note{
					note("at once", fmt.Sprint("node ", n), 0, time.Hour, fmt.Sprint(r)),
					note("at once", "everybody's", 0, time.Hour, fmt.Sprint(n)),
				}
				if n%2 == 1 {
					slices.Reverse(notes)
				}
				if err := s.PutNotes(t.Context(), at(0), notes); err != nil {
					t.Errorf("PutNotes: %v", err)
				}
			}
		})
	}
	all.Wait()
	got := s.list(t, at(0), "at once", time.Time{})
	if len(got) != nodes+1 {
		t.Fatalf("listed %+v", got)
	}
	for _, n := range got[1:] {
		if string(n.Body) != fmt.Sprint(rounds-1) {
			t.Errorf("%s has %s", n.Key, n.Body)
		}
	}
}

// notesOutlive: what is written long after some notes of a topic have ended leaves
// the others alone.
func notesOutlive(t *testing.T, s *suite) {
	const topic = "outlive"
	var dead []store.Note
	for i := range 250 {
		dead = append(dead, note(topic, fmt.Sprint("dead ", i), 0, time.Second, ""))
	}
	s.put(t, at(0), append(dead, note(topic, "live", 0, 10*day, "x"))...)
	for i := range 4 {
		now := at(day + time.Duration(i)*time.Second)
		s.put(t, now, note(topic, "short", day, day+time.Minute, "x"))
		s.notes(t, now, topic, time.Time{}, "live", "short")
	}
	s.put(t, at(2*day), dead[0]) // long dead when it comes
	s.notes(t, at(2*day), topic, time.Time{}, "live")
}

func lineFactChecks() []check {
	return []check{
		{name: "what was looked up last, until its end", run: lineFacts},
		{name: "many at once", run: manyLineFacts},
	}
}

// fact checks what is known of a line.
func (s *suite) fact(t *testing.T, now time.Time, phone [16]byte, want store.LineFact, found bool) {
	t.Helper()
	got, is, err := s.LineFact(t.Context(), now, phone)
	ok(t, "LineFact", err)
	if got != want || is != found {
		t.Errorf("at +%v got %+v, %t; want %+v, %t", now.Sub(at(0)), got, is, want, found)
	}
}

func lineFacts(t *testing.T, s *suite) {
	phone, none := random(), store.LineFact{}
	s.fact(t, at(0), phone, none, false)
	f := store.LineFact{Phone: phone, Type: "mobile", Source: "twilio", Until: at(90 * day)}
	ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), at(0), []store.LineFact{f}))
	s.fact(t, at(0), phone, f, true)
	s.fact(t, at(90*day-time.Microsecond), phone, f, true)
	s.fact(t, at(90*day), phone, none, false)
	s.fact(t, at(0), random(), none, false)
	for _, name := range hostile {
		f = store.LineFact{Phone: phone, Type: name, Source: "s" + name, Until: at(time.Hour)}
		earlier := f
		earlier.Type = "earlier"
		ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), at(0), []store.LineFact{earlier, f}))
		s.fact(t, at(0), phone, f, true)
	}
	s.fact(t, at(time.Hour), phone, none, false)
	f.Until = at(0)
	ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), at(0), []store.LineFact{f}))
	s.fact(t, at(0), phone, none, false)
	ok(t, "PutLineFacts", s.PutLineFacts(t.Context(), at(0), nil))
}

func manyLineFacts(t *testing.T, s *suite) {
	var all []store.LineFact
	for i := range 300 {
		all = append(all, store.LineFact{Phone: random(), Type: fmt.Sprint("type ", i), Source: "s", Until: at(time.Hour)})
	}
	var nodes sync.WaitGroup
	for n := range 4 {
		mine := slices.Clone(all)
		if n%2 == 1 {
			slices.Reverse(mine)
		}
		nodes.Go(func() {
			if err := s.PutLineFacts(t.Context(), at(0), mine); err != nil {
				t.Errorf("PutLineFacts: %v", err)
			}
		})
	}
	nodes.Wait()
	for _, f := range all {
		s.fact(t, at(0), f.Phone, f, true)
	}
}
