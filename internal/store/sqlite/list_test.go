package sqlite_test

import (
	"fmt"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestMessagesLooksAtFewRows: however rare what is asked for, one call looks at
// a bounded part of the log, and the pages together at all of it.
func TestMessagesLooksAtFewRows(t *testing.T) {
	t.Parallel()
	const rows = 12_000
	s, path := newStore(t, sqlite.Config{})
	phone, seldom := store.PhoneID(random()), store.PhoneID(random())
	for _, p := range []store.PhoneID{phone, seldom} {
		if _, err := s.StartChallenge(t.Context(), send(p)); err != nil {
			t.Fatal(err)
		}
	}
	// One chain of rows in order of time; every 4000th was sent.
	script(t, path, fmt.Sprintf(`
		WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < %[1]d)
		INSERT INTO messages (message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, created_at, expires_at, route)
			SELECT CAST(printf('%%016d', n) AS BLOB), 1, x'%[2]x', CASE n WHEN 1 THEN NULL ELSE CAST(printf('%%016d', n - 1) AS BLOB) END,
				x'02', 1, 6, CASE n %% 4000 WHEN 0 THEN 2 ELSE 4 END, 1, 1, 'a' FROM row;
		UPDATE phones SET last_message = CAST(printf('%%016d', %[1]d) AS BLOB) WHERE phone_id = x'%[2]x';
		UPDATE phones SET last_message = CAST(printf('%%016d', 4000) AS BLOB) WHERE phone_id = x'%[3]x';`, rows, phone[:], seldom[:]))

	for name, phones := range map[string][]store.PhoneID{"log": nil, "phone": {phone}, "two phones": {phone, seldom}} {
		q := store.MessageQuery{Clients: []string{client}, Phones: phones, Status: store.MessageSent, Route: "a", Limit: 10}
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
		q = store.MessageQuery{Clients: []string{client}, Phones: phones, Limit: 10}
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
	s, path := newStore(t, sqlite.Config{})
	// 12,000 rows, one each second, with the ids of their times.
	script(t, path, fmt.Sprintf(`
		WITH RECURSIVE row(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n < 11999)
		INSERT INTO messages (message_id, client_no, phone_id, challenge_id, key_version, digits, status, created_at, expires_at)
			SELECT unhex(printf('%%012x%%020x', %[1]d / 1000 + n * 1000, n)), 1, x'01', x'02', 1, 6, 4, %[1]d + n * 1000000, 1 FROM row;`,
		now().UnixMicro()))
	at := func(n int) time.Time { return now().Add(time.Duration(n) * time.Second) }
	page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{client}, Limit: 100, Since: at(200), Until: at(220)})
	if err != nil || len(page.Messages) != 20 || page.Next != (store.MessageID{}) {
		t.Fatalf("one call found %d messages, next %v, %v; want 20 and no more", len(page.Messages), page.Next, err)
	}
	if first, last := page.Messages[0], page.Messages[19]; !first.CreatedAt.Equal(at(219)) || !last.CreatedAt.Equal(at(200)) {
		t.Errorf("from %v to %v", last.CreatedAt, first.CreatedAt)
	}
}
