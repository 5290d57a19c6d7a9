package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// TestNotesExpire: the server keeps the notes of a topic until the last one has ended,
// and no longer than clocks may differ; and of a topic that lives on it forgets those
// that have ended.
func TestNotesExpire(t *testing.T) {
	t.Parallel()
	server := redistest.Single(t)
	s := open(t, redis.Config{URL: server.URL()})
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	number := func(c rueidis.Completed) int64 {
		t.Helper()
		n, err := client.Do(t.Context(), c).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	put := func(now time.Time, notes ...store.Note) {
		t.Helper()
		if err := s.PutNotes(t.Context(), now, notes); err != nil {
			t.Fatal(err)
		}
	}
	keys := s.NotesKeys("topic")
	lasts := func(want time.Duration) {
		t.Helper()
		for _, key := range keys {
			left := time.Duration(number(client.B().Pttl().Key(key).Build())) * time.Millisecond
			if left < want-time.Minute || left > want+time.Hour {
				t.Errorf("a key lasts for %v, want %v", left, want)
			}
		}
	}
	const day = 24 * time.Hour
	put(moment(0), store.Note{Topic: "topic", Key: "long", At: moment(0), Until: moment(100 * day)})
	lasts(100 * day)
	put(moment(day), store.Note{Topic: "topic", Key: "short", At: moment(day), Until: moment(day + time.Minute)})
	lasts(99 * day)
	for i := range 20 {
		now := moment(2*day + time.Duration(i)*time.Hour)
		var notes []store.Note
		for n := range 50 {
			notes = append(notes, store.Note{Topic: "topic", Key: fmt.Sprint(i, " ", n), At: now, Until: now.Add(time.Minute)})
		}
		put(now, notes...)
	}
	for _, n := range []int64{number(client.B().Hlen().Key(keys[0]).Build()), number(client.B().Zcard().Key(keys[1]).Build())} {
		if n != 51 {
			t.Errorf("%d notes are kept, want the long one and those of the last hour", n)
		}
	}
	put(moment(3*day), store.Note{Topic: "topic", Key: "long", At: moment(3 * day), Until: moment(3*day + time.Hour)})
	lasts(time.Hour)

	fact := store.LineFact{Phone: random(), Type: "mobile", Until: moment(90 * day)}
	if err := s.PutLineFacts(t.Context(), moment(0), []store.LineFact{fact}); err != nil {
		t.Fatal(err)
	}
	keys = []string{s.LineKey(fact.Phone)}
	lasts(90 * day)
}
