package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
)

// TestSharedPlans: what nodes share is found by an index.
func TestSharedPlans(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{0, 3000} {
		t.Run(fmt.Sprint(rows, " rows"), func(t *testing.T) {
			t.Parallel()
			url := database(t)
			s := open(t, postgres.Config{URL: url, Pool: 1})
			defer s.Close()
			script(t, url, fmt.Sprintf(`
				INSERT INTO events SELECT gen_random_uuid(), n, ('client ' || n %% 50)::bytea, ('kind.' || n %% 50)::bytea, '', '{}' FROM generate_series(1, %d) AS n;
				INSERT INTO notes (topic, note_key, at, ends_at, body) SELECT ('topic ' || n %% 50)::bytea, n::text::bytea, 0, 0, '' FROM generate_series(1, %[1]d) AS n;
				INSERT INTO line_facts SELECT gen_random_uuid(), '', '', 0 FROM generate_series(1, %[1]d);
				INSERT INTO documents SELECT n::text::bytea, 1, 0, '' FROM generate_series(1, %[1]d) AS n;
				ANALYZE`, rows))
			useShared(t, s)
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
				if strings.Contains(statement, "event_id DESC") && strings.Contains(plan, "Sort") {
					t.Errorf("events are read to be sorted:\n%s\n%s", statement, plan)
				}
				if strings.Contains(statement, "client = $") && !strings.Contains(plan, "events_client") {
					t.Errorf("the events of a client are looked for among all:\n%s\n%s", statement, plan)
				}
			}
		})
	}
}

// useShared runs every operation on what nodes share.
func useShared(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx, now := t.Context(), moment(0)
	var errs []error
	for _, q := range []store.EventQuery{
		{},
		{Before: randomID()},
		{Client: "client 1"},
		{Client: "client 1", Before: randomID()},
		{Kind: "kind.1"},
		{Kind: "kind.", Before: randomID()},
		{Client: "client 1", Kind: "kind."},
	} {
		q.Limit = 10
		_, err := s.Events(ctx, q)
		errs = append(errs, err)
	}
	for r := range int64(2) {
		errs = append(errs, s.PutDocument(ctx, store.Document{Name: "d", Revision: r + 1, UpdatedAt: now}))
	}
	_, errDocument := s.Document(ctx, "d", 1)
	_, errNotes := s.Notes(ctx, now, "topic 1", now)
	_, _, errFact := s.LineFact(ctx, now, randomID())
	_, errCopy := s.CopyDocuments(ctx, "d", 1)
	_, errEvents := s.CopyEvents(ctx, randomID(), 1)
	err := errors.Join(append(errs, errDocument, errNotes, errFact, errCopy, errEvents,
		s.PutNotes(ctx, now, []store.Note{{Topic: "topic 1", Key: "k", At: now, Until: now}}),
		s.PutLineFacts(ctx, now, []store.LineFact{{Phone: randomID(), Until: now}}),
		s.AppendEvents(ctx, []store.Event{{ID: randomID(), At: now}}))...)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		out, err := s.SweepExpired(ctx, store.Sweep{Now: moment(time.Hour), KeepEvents: time.Minute, Limit: 5000})
		if err != nil {
			t.Fatal(err)
		}
		done = out.Done
	}
}

// TestNotesStayOnTheirPage: a note that takes another's place touches no index, so
// that nodes may write theirs each second for good. It runs alone: what begins on the
// server at the same time keeps old versions from being removed.
func TestNotesStayOnTheirPage(t *testing.T) {
	url := database(t)
	s := open(t, postgres.Config{URL: url})
	const nodes, rounds = 10, 200
	for r := range rounds {
		now := moment(time.Duration(r) * time.Second)
		for n := range nodes {
			note := store.Note{Topic: "nodes", Key: fmt.Sprint(n), At: now, Until: now.Add(time.Minute), Body: make([]byte, 300)}
			if err := s.PutNotes(t.Context(), now, []store.Note{note}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil { // a session that ends has told what it did
		t.Fatal(err)
	}
	conn := connect(t, url)
	defer conn.Close(context.Background())
	var updated, hot, pages int
	for deadline := time.Now().Add(10 * time.Second); updated < nodes*(rounds-1) && time.Now().Before(deadline); {
		err := conn.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd, pg_relation_size('notes') / 8192 FROM pg_stat_user_tables WHERE relname = 'notes'`).
			Scan(&updated, &hot, &pages)
		if err != nil {
			t.Fatal(err)
		}
	}
	if updated != nodes*(rounds-1) || hot < updated*9/10 || pages > 20 {
		t.Errorf("%d updates, %d of them in place, %d pages", updated, hot, pages)
	}
}
