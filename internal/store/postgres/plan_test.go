package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/store"
)

// TestPlansTouchFewRows: on a log of some size the statements of delivery, of its
// feedback and of the log read the rows that they are about, and few more; whether
// their plans were made when the tables were empty or with statistics.
func TestPlansTouchFewRows(t *testing.T) {
	t.Parallel()
	for _, analyzed := range []bool{false, true} {
		t.Run(fmt.Sprint("analyzed ", analyzed), func(t *testing.T) {
			t.Parallel()
			const n = 4000
			filler, url := newLog(t)
			s := node(t, withParameter(url, "application_name", "delivery"))
			if !analyzed { // the first plans are for ever
				fillQueue(t, filler, 1)
				deliver(t, s, 8)
			}
			fillQueue(t, filler, n)
			script(t, url, `INSERT INTO early_receipts SELECT 'nobody ' || n, 'a', 1, '', false, false, 0, 0 FROM generate_series(1, 3000) AS n`)
			if analyzed {
				script(t, url, `VACUUM ANALYZE`)
			}
			if err := filler.Close(); err != nil {
				t.Fatal(err)
			}
			before := statistics(t, url, "codeword")
			done := 0
			for batch := range 40 {
				done += deliver(t, s, 4<<(batch%3))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			after := statistics(t, url, "delivery")
			if scans := after.scans - before.scans; scans != 0 {
				t.Errorf("whole tables were read %d times", scans)
			}
			// A message is looked up some eight times until it is claimed, recorded, told
			// of and verified, with its phone or dispatch; and a claim may come upon the
			// entries of those that were claimed before.
			if read := float64(after.read-before.read) / float64(done); read > 100 {
				t.Errorf("%.1f rows of indexes were read for each message", read)
			} else {
				t.Logf("%.1f rows of indexes were read for each of %d messages", read, done)
			}
			if after.deadlocks != 0 {
				t.Errorf("%d deadlocks", after.deadlocks)
			}
		})
	}
}

// deliver claims messages and tells what became of them, and lists one.
func deliver(t *testing.T, s interface {
	ClaimMessages(ctx context.Context, in store.Claim) ([]store.Message, error)
	RecordOutcomes(ctx context.Context, now time.Time, outcomes []store.Outcome) (int, error)
	ApplyReceipts(ctx context.Context, now time.Time, receipts []store.Receipt) ([]store.Applied, error)
	RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error)
	Messages(ctx context.Context, in store.MessageQuery) (store.MessagePage, error)
	Message(ctx context.Context, id store.MessageID) (store.MessageDetail, error)
}, limit int,
) int {
	t.Helper()
	claimed, err := s.ClaimMessages(t.Context(), store.Claim{Now: moment(0), Lease: time.Minute, Limit: limit})
	if err != nil || len(claimed) == 0 {
		t.Fatalf("claimed %d messages, %v", len(claimed), err)
	}
	var outcomes []store.Outcome
	var receipts []store.Receipt
	var phones []store.PhoneID
	for i := range claimed {
		o, r := handedOver(&claimed[i], store.ReceiptDelivered)
		outcomes, receipts, phones = append(outcomes, o), append(receipts, r), append(phones, claimed[i].Phone)
	}
	if n, err := s.RecordOutcomes(t.Context(), moment(0), outcomes); err != nil || n != len(outcomes) {
		t.Fatalf("%d outcomes of %d were taken, %v", n, len(outcomes), err)
	}
	got, err := s.ApplyReceipts(t.Context(), moment(0), receipts)
	if err != nil || slices.ContainsFunc(got, func(a store.Applied) bool { return a.Effect != store.ReceiptChanged }) {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, err := s.RecordVerified(t.Context(), moment(0), phones); err != nil || len(n) != len(phones) {
		t.Fatalf("%d codes of %d were noted, %v", len(n), len(phones), err)
	}
	if _, err := s.Message(t.Context(), claimed[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, of := range [][]store.PhoneID{nil, phones[:1]} {
		page, err := s.Messages(t.Context(), store.MessageQuery{Clients: []string{logClient}, Phones: of, Limit: 2})
		if err != nil || len(page.Messages) == 0 {
			t.Fatalf("%+v, %v", page, err)
		}
	}
	return len(claimed)
}

// counts is what the server has counted of a database.
type counts struct{ scans, read, deadlocks int64 }

// statistics reads the counts once the connections of an application have ended:
// then they have told all of their own.
func statistics(t *testing.T, url, ended string) (out counts) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for deadline, open := time.Now().Add(10*time.Second), 1; open > 0; {
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, ended).Scan(&open)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d connections are open, %v", open, err)
		}
	}
	err = conn.QueryRow(t.Context(), `SELECT sum(seq_scan)::bigint, (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes),
			(SELECT deadlocks FROM pg_stat_database WHERE datname = current_database())
		FROM pg_stat_user_tables WHERE relname ~ '^(messages|dispatches|receipts|early_receipts|phones|users)'`).Scan(&out.scans, &out.read, &out.deadlocks)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withParameter adds a parameter to the URL of a database.
func withParameter(url, name, value string) string {
	sign := "?"
	if strings.Contains(url, sign) {
		sign = "&"
	}
	return url + sign + name + "=" + value
}
