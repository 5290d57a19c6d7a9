package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/fault"
	"codeword/internal/guard"
	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// TestMigratePhone: a phone with a live challenge, as the release before left it,
// goes on; and a node of that release goes on with what this one wrote.
func TestMigratePhone(t *testing.T) {
	t.Parallel()
	s, url := newLog(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	script := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	script(`DROP TABLE webhooks, webhook_deliveries, rollups, rollup_events`) // of later releases
	script(`ALTER TABLE messages DROP COLUMN area`)
	script(`ALTER TABLE phones DROP COLUMN lanes, DROP COLUMN devices`)
	script(`UPDATE codeword_schema SET version = 2`)
	phone, code := store.PhoneID(randomID()), store.ChallengeID{15: 0x0f}
	until := moment(10 * time.Minute).UnixMicro()
	packed := func(attempts int) (out []byte) {
		_, err := fmt.Sscanf(fmt.Sprintf("%032x%08x%02x%02x%016x%016x00", 0x0f, 7, 6, attempts, moment(0).UnixMicro(), until), "%x", &out)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	script(`INSERT INTO phones (phone_id, client_no, sealed, created_at, challenges, challenges_until)
		SELECT $1, client_no, 'x', 1, $2, $3 FROM clients WHERE client_id = $4`, [16]byte(phone), packed(2), until, logClient)

	s = open(t, postgres.Config{URL: url})
	guess := func(match bool, binding store.Binding) error {
		_, err := s.Attempt(t.Context(), store.Attempt{
			Now: moment(0), Client: logClient, Phone: phone, MaxAttempts: 5, Binding: binding, Device: store.DeviceID{1},
			Failures: guard.Window{Max: 3, Period: time.Hour}, Match: func(ch store.Challenge) bool { return match && ch.ID == code && ch.Attempts == 2 },
			Grant: store.Grant{Session: store.Session{ID: randomID(), User: randomID(), ExpiresAt: moment(time.Hour)}},
		})
		return err
	}
	if err := guess(true, ""); err != nil {
		t.Fatalf("the code of the release before: %v", err)
	}
	former := func() {
		script(`UPDATE phones SET burst_tat = 2, failure_log = $2, challenges = $3, challenges_until = $4 WHERE phone_id = $1`,
			[16]byte(phone), make([]byte, 24), packed(0), until)
	}
	former()
	for range 3 {
		if err := guess(false, "a session"); !fault.Is(err, fault.WrongCode) {
			t.Fatal(err)
		}
	}
	former()
	if err := guess(false, "a session"); !fault.Is(err, fault.LimitOTP) {
		t.Error(err)
	}
}
