package postgres_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// TestPlans: every statement of delivery, of its feedback and of the log finds its
// rows by an index, each row of a batch for itself; whether its plan was made when
// the tables were empty or with statistics.
func TestPlans(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{1, 3000} {
		t.Run(fmt.Sprint(rows, " rows"), func(t *testing.T) {
			t.Parallel()
			filler, url := newLog(t)
			fillQueue(t, filler, rows)
			script(t, url, fmt.Sprintf(`INSERT INTO early_receipts SELECT 'nobody ' || n, 'a', 1, '', false, false, 0, 0 FROM generate_series(1, %d) AS n`, rows))
			if rows > 1 {
				deliver(t, filler, rows)
				fillQueue(t, filler, rows)
				script(t, url, `INSERT INTO clients (client_id, name, live, settings, created_at, revision) SELECT n, n, false, '', 0, 1 FROM generate_series(1, 100) AS n`)
				script(t, url, fmt.Sprintf(`INSERT INTO webhook_deliveries (event_id, endpoint_id, state, due_at, until)
					SELECT gen_random_uuid(), '%[1]s', 1, n, n FROM generate_series(1, %[2]d) AS n`, store.NewEndpointID(), rows))
				script(t, url, `VACUUM ANALYZE`)
			}
			s := open(t, postgres.Config{URL: url, Pool: 1})
			defer s.Close()
			deliver(t, s, 100)
			plans, err := s.Plans(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(plans) < 15 {
				t.Errorf("%d plans", len(plans))
			}
			for statement, plan := range plans {
				if bad := wasteful.FindString(plan); bad != "" {
					t.Errorf("%s:\n%s\n%s", bad, statement, plan)
				}
				if strings.Contains(statement, "webhook_deliveries") && !byEnd.MatchString(plan) {
					t.Errorf("it reads all that waits for an endpoint:\n%s\n%s", statement, plan)
				}
				if strings.Contains(statement, "SKIP LOCKED") && !inDueOrder.MatchString(plan) {
					t.Errorf("a claim reads all that are due:\n%s\n%s", statement, plan)
				}
			}
		})
	}
}

// wasteful are the parts of plans that read what they throw away: whole tables, or
// pairs of rows of which few belong together.
var wasteful = regexp.MustCompile(`Seq Scan|Materialize|Join Filter|Hash Join|Merge Join`)

// inDueOrder is a claim that reads an index in its order and stops when it has
// enough.
var inDueOrder = regexp.MustCompile(`LockRows.*\n *->  (Incremental Sort|Merge Append)`)

// byEnd finds what an endpoint took by when it took it.
var byEnd = regexp.MustCompile(`using webhook_deliveries_done .*\n *Index Cond: .*endpoint_id = .* AND .*state = .* AND .*done_at >=`)

// deliver runs messages through every operation of delivery, its feedback and the
// log.
func deliver(t *testing.T, s *postgres.Store, limit int) {
	t.Helper()
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	phone := store.PhoneID(randomID())
	ok(s.QueueMessages(ctx, []store.Accepted{acceptedFor(phone, moment(-time.Second))}))
	ok(s.QueueMessages(ctx, []store.Accepted{acceptedFor(phone, moment(-time.Second))}))
	for try := range 2 { // unheard of, it goes out again
		now := moment(time.Duration(try) * time.Minute)
		claimed := claimFrom(t, s, now, limit)
		if len(claimed) == 0 {
			t.Fatal("there is nothing to deliver")
		}
		var outcomes []store.Outcome
		var receipts []store.Receipt
		var phones []store.PhoneID
		for i := range claimed {
			o, r := handedOver(&claimed[i], store.ReceiptAccepted)
			r.OptOut = try == 1
			outcomes, receipts, phones = append(outcomes, o), append(receipts, r), append(phones, claimed[i].Phone)
		}
		_, err := s.ApplyReceipts(ctx, now, receipts[:1]) // too early
		ok(err)
		_, err = s.RecordOutcomes(ctx, now, outcomes)
		ok(err)
		_, err = s.ApplyReceipts(ctx, now, receipts)
		ok(err)
		_, err = s.RecordVerified(ctx, now, phones)
		ok(err)
		_, err = s.Message(ctx, claimed[0].ID)
		ok(err)
		_, err = s.PhoneFacts(ctx, logClient, claimed[0].Phone, nil)
		ok(err)
		_, err = s.OwnPhone(ctx, store.Own{Now: now, Client: logClient, Phone: claimed[0].Phone, User: randomID()})
		ok(err)
	}
	_, err := s.PhoneFacts(ctx, logClient, randomID(), []store.PhoneID{phone})
	ok(err)
	_, err = s.QueueStats(ctx)
	ok(err)
	_, err = s.NewestMessage(ctx)
	ok(err)
	_, err = s.TookSince(ctx, store.NewEndpointID(), moment(-time.Hour))
	ok(err)
	for _, of := range [][]store.PhoneID{nil, {phone}} {
		_, err := s.Messages(ctx, store.MessageQuery{Clients: []string{logClient}, Phones: of, Limit: 2})
		ok(err)
	}
}

// deadlocks is how often transactions on a database have waited for each other in a
// circle. The stores on the schema must be closed: a connection that ends has told its
// own.
func deadlocks(t *testing.T, url string) (n int) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	for deadline, open := time.Now().Add(time.Minute), 1; open > 0; {
		// The pause is the server's: who asks without one keeps it from ending them.
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity, pg_sleep(0.02)
			WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()`).Scan(&open)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d connections are open, %v", open, err)
		}
	}
	if err := conn.QueryRow(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
