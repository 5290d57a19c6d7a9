package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"codeword/internal/store"
)

// TestMessagesLooksAtFewRows: however rare what is asked for, one call looks at
// a bounded part of the log, and the pages together at all of it.
func TestMessagesLooksAtFewRows(t *testing.T) {
	t.Parallel()
	const rows = 12_000
	s, url := newLog(t)
	phone, seldom := store.PhoneID(randomID()), store.PhoneID(randomID())
	for _, p := range []store.PhoneID{phone, seldom} {
		if _, err := s.StartChallenge(t.Context(), sendTo(p, moment(0))); err != nil {
			t.Fatal(err)
		}
	}
	// One chain of rows in order of time, in several partitions; every 4000th was
	// sent.
	script(t, url, fmt.Sprintf(`
		CREATE FUNCTION id_of(n bigint) RETURNS uuid LANGUAGE sql AS $$ SELECT (lpad(to_hex(%[1]d + n * 20000), 12, '0') || lpad(to_hex(n), 20, '0'))::uuid $$;
		INSERT INTO messages (message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, created_at, expires_at, route)
			SELECT id_of(n), 1, '%[2]s', CASE n WHEN 1 THEN NULL ELSE id_of(n - 1) END, gen_random_uuid(), 1, 6,
				CASE n %% 4000 WHEN 0 THEN 2 ELSE 4 END, 1, 1, 'a' FROM generate_series(1, %[3]d) AS n;
		UPDATE phones SET last_message = id_of(%[3]d) WHERE phone_id = '%[2]s';
		UPDATE phones SET last_message = id_of(4000) WHERE phone_id = '%[4]s';`,
		moment(0).UnixMilli(), phone, rows, seldom))

	for name, phones := range map[string][]store.PhoneID{"log": nil, "phone": {phone}, "two phones": {phone, seldom}} {
		q := store.MessageQuery{Clients: []string{logClient}, Phones: phones, Status: store.MessageSent, Route: "a", Limit: 10}
		bound := 4
		if len(phones) > 1 {
			bound = 6 // half the rows each
		}
		found, calls := 0, 0
		for {
			page, err := s.Messages(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			found, calls = found+len(page.Messages), calls+1
			if q.Before = page.Next; page.Next == (store.MessageID{}) {
				break
			}
		}
		if found != 3 || calls < 3 || calls > bound {
			t.Errorf("%s: found %d messages in %d calls, want 3 in three to %d", name, found, calls, bound)
		}
		// A page that is full early is not read on.
		q = store.MessageQuery{Clients: []string{logClient}, Phones: phones, Limit: 10}
		began := time.Now()
		for range 20 {
			if page, err := s.Messages(t.Context(), q); err != nil || len(page.Messages) != 10 || page.Next != page.Messages[9].ID {
				t.Fatalf("%s: %d messages, %v", name, len(page.Messages), err)
			}
		}
		t.Logf("%s: a page of 10 takes %v", name, time.Since(began)/20)
	}
}

// TestMessagesSkipsByTime: what lies before and after a time is not walked.
func TestMessagesSkipsByTime(t *testing.T) {
	t.Parallel()
	s, url := newLog(t)
	// 12,000 rows, one each second, with the ids of their times.
	script(t, url, fmt.Sprintf(`INSERT INTO messages (message_id, client_no, phone_id, challenge_id, key_version, digits, status, created_at, expires_at)
		SELECT (lpad(to_hex(%[1]d / 1000 + n * 1000), 12, '0') || lpad(to_hex(n), 20, '0'))::uuid, 1, '%[2]s', '%[2]s', 1, 6, 4, %[1]d + n * 1000000, 1
			FROM generate_series(0::bigint, 11999) AS n`, moment(0).UnixMicro(), uuid.New()))
	at := func(n int) time.Time { return moment(time.Duration(n) * time.Second) }
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{logClient}, Limit: 100, Since: at(200), Until: at(220)})
	if err != nil || len(page.Messages) != 20 || page.Next != (store.MessageID{}) {
		t.Fatalf("one call found %d messages, next %v, %v; want 20 and no more", len(page.Messages), page.Next, err)
	}
	if first, last := page.Messages[0], page.Messages[19]; !first.CreatedAt.Equal(at(219)) || !last.CreatedAt.Equal(at(200)) {
		t.Errorf("from %v to %v", last.CreatedAt, first.CreatedAt)
	}
	if newest, err := s.NewestMessage(t.Context()); err != nil || !newest.Equal(at(11999)) {
		t.Errorf("the newest is of %v, %v", newest, err)
	}
}
