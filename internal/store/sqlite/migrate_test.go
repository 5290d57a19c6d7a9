package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	driver "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// script runs SQL on a file by itself, as another program would.
func script(t *testing.T, path, sql string) {
	t.Helper()
	conn, err := driver.OpenConn(path, driver.OpenReadWrite|driver.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(conn, sql, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// text reads one value as text.
func text(t *testing.T, path, sql string) string {
	t.Helper()
	conn, err := driver.OpenConn(path, driver.OpenReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	stmt := conn.Prep(sql)
	value, err := sqlitex.ResultText(stmt)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// first makes a file as the first release left it: clients with all kinds of
// settings, and a message each that is queued, claimed, sent and put off.
func first(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "first.db")
	schema, err := os.ReadFile("migrations/001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	script(t, path, string(schema))
	for i, settings := range []string{
		`CAST('{"route":"inbox","brand":"Acme","routes":["a"]}' AS BLOB)`, `CAST('{"brand":"route"}' AS BLOB)`, `x''`,
		`CAST('{"route":' AS BLOB)`, `x'ff00'`, `CAST('{"route":null,"ttl":1.50}' AS BLOB)`,
	} {
		script(t, path, fmt.Sprintf(`INSERT INTO clients (client_id, name, live, settings, created_at, revision)
			VALUES ('client-%d', 'name', 1, %s, 1, 5)`, i, settings))
	}
	due := micros(now())
	for i, m := range []struct{ status, claims, due, err string }{
		{"1", "0", due, "''"}, {"1", "1", micros(now().Add(30 * time.Second)), "''"}, {"2", "1", "NULL", "''"}, {"1", "1", micros(now().Add(time.Hour)), "'busy'"},
	} {
		script(t, path, fmt.Sprintf(`INSERT INTO messages
			(message_id, client_no, phone_id, challenge_id, key_version, digits, status, claims, due_at, created_at, expires_at, error)
			VALUES (x'%032x', 1, x'01', x'02', 1, 6, %s, %s, %s, %s, %s, %s)`,
			i+1, m.status, m.claims, m.due, due, micros(now().Add(2*time.Hour)), m.err))
	}
	script(t, path, `PRAGMA application_id = 0x43575244; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;`)
	return path
}

func micros(t time.Time) string { return fmt.Sprint(t.UnixMicro()) }

func TestMigrateFirstRelease(t *testing.T) {
	t.Parallel()
	path := first(t)
	s := open(t, sqlite.Config{Path: path})
	clients, err := s.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		settings string
		revision int64
	}{{`{"brand":"Acme","routes":["a"]}`, 6}, {`{"brand":"route"}`, 5}, {"", 5}, {`{"route":`, 5}, {"\xff\x00", 5}, {`{"ttl":1.50}`, 6}}
	for i, c := range clients {
		if string(c.Settings) != want[i].settings || c.Revision != want[i].revision {
			t.Errorf("client %d has settings %q, revision %d; want %+v", i, c.Settings, c.Revision, want[i])
		}
	}
	if kinds := text(t, path, `SELECT group_concat(DISTINCT typeof(settings)) FROM clients`); kinds != "blob" {
		t.Errorf("settings are of type %s", kinds)
	}
	queue, err := s.QueueStats(t.Context())
	if err != nil || queue.Depth != 3 || !queue.Oldest.Equal(now()) || !queue.Waiting.Equal(now()) {
		t.Errorf("the queue is %+v, %v", queue, err)
	}
	for _, c := range []struct {
		after  time.Duration
		claims int
	}{{0, 1}, {30 * time.Second, 2}, {time.Hour, 2}} {
		at := now().Add(c.after)
		got, err := s.ClaimMessages(t.Context(), store.Claim{Now: at, Lease: time.Minute, Limit: 10})
		if err != nil || len(got) != 1 || got[0].Claims != c.claims || got[0].Tried != nil {
			t.Fatalf("claimed %+v, %v", got, err)
		}
		n, err := s.RecordOutcomes(t.Context(), at, []store.Outcome{{ID: got[0].ID, Claims: c.claims, Status: store.MessageSent}})
		if err != nil || n != 1 {
			t.Errorf("recorded %d, %v", n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Check(t.Context(), path); err != nil {
		t.Error(err)
	}
}

// TestFirstReleaseStillWrites: a server of the first release that has the file
// open while a newer one brings its schema up to date goes on.
func TestFirstReleaseStillWrites(t *testing.T) {
	t.Parallel()
	path := first(t)
	s := open(t, sqlite.Config{Path: path})
	script(t, path, `
		INSERT INTO messages
			(message_id, client_no, phone_id, previous, challenge_id, key_version, digits, status, due_at, created_at, expires_at)
			VALUES (x'00000000000000000000000000000009', 1, x'01', NULL, x'02', 1, 6, 1, 1, 1, 1);
		SELECT m.message_id, c.client_id, m.phone_id, p.sealed, m.error
			FROM messages m INDEXED BY messages_due JOIN clients c USING (client_no) LEFT JOIN phones p ON p.phone_id = m.phone_id
			WHERE m.due_at <= 1 ORDER BY m.due_at LIMIT 1;
		UPDATE messages SET claims = 1, due_at = 2 WHERE message_id = x'00000000000000000000000000000009';
		SELECT COUNT(*), MIN(message_id) FROM messages INDEXED BY messages_due WHERE due_at IS NOT NULL;
		UPDATE messages SET status = 2, due_at = NULL, updated_at = 1, route = 'a', carrier_ref = 'b', error = ''
			WHERE message_id = x'00000000000000000000000000000009' AND claims = 1 AND status = 1;`)
	got, err := s.Message(t.Context(), store.MessageID{15: 9})
	if err != nil || got.Message.Status != store.MessageSent || got.Message.Claims != 1 || got.Message.Route != "a" {
		t.Errorf("got %+v, %v", got, err)
	}
	n, err := s.RecordOutcomes(t.Context(), now(), []store.Outcome{{ID: store.MessageID{15: 9}, Claims: 1, Status: store.MessageFailed}})
	if err != nil || n != 0 {
		t.Errorf("an outcome of another's claim was taken: %d, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestMigratePhone: a phone with a live challenge, as the release before left it,
// goes on; and that release goes on with what this one wrote.
func TestMigratePhone(t *testing.T) {
	t.Parallel()
	path := first(t)
	phone, code := store.PhoneID{15: 0x77}, store.ChallengeID{15: 0x0f}
	stamp := fmt.Sprintf("%016x", now().UnixMilli())
	packed := func(attempts int) string {
		return fmt.Sprintf("%032x%08x%02x%02x%016x%016x00", 0x0f, 7, 6, attempts, now().UnixMicro(), now().Add(10*time.Minute).UnixMicro())
	}
	script(t, path, fmt.Sprintf(`INSERT INTO phones
		(phone_id, client_no, sealed, created_at, burst_tat, day_log, failure_log, last_send_at, challenges, challenges_until)
		VALUES (x'%032x', 1, x'01', 1, 1, x'%s', x'%s', 1, x'%s', %s)`,
		0x77, stamp, stamp+stamp, packed(2), micros(now().Add(10*time.Minute))))
	s := open(t, sqlite.Config{Path: path})
	guess := func(match bool, binding store.Binding) error {
		_, err := s.Attempt(t.Context(), store.Attempt{
			Now: now(), Client: "client-0", Phone: phone, MaxAttempts: 5, Binding: binding, Device: store.DeviceID{1},
			Failures: guard.Window{Max: 3, Period: time.Hour}, Match: func(ch store.Challenge) bool { return match && ch.ID == code && ch.Attempts == 2 },
			Grant: store.Grant{Session: store.Session{ID: store.SessionID{1}, User: store.UserID{1}, ExpiresAt: now().Add(time.Hour)}},
		})
		return err
	}
	if err := guess(true, ""); err != nil {
		t.Fatalf("the code of the release before: %v", err)
	}
	script(t, path, fmt.Sprintf(`UPDATE phones SET burst_tat = 2, day_log = x'%s', last_message = x'01', last_send_at = 2,
			challenges = x'%s', challenges_until = %s WHERE phone_id = x'%032x';`, stamp, packed(0), micros(now().Add(10*time.Minute)), 0x77))
	for range 2 {
		if err := guess(false, "a session"); !fault.Is(err, fault.WrongCode) {
			t.Fatal(err)
		}
	}
	script(t, path, fmt.Sprintf(`UPDATE phones SET failure_log = x'%s', challenges = x'%s' WHERE phone_id = x'%032x';`, stamp+stamp+stamp, packed(0), 0x77))
	if err := guess(false, "a session"); !fault.Is(err, fault.WrongCode) { // the third of a device that is known
		t.Error(err)
	}
	if err := guess(false, "a session"); !fault.Is(err, fault.LimitOTP) {
		t.Error(err)
	}
}
