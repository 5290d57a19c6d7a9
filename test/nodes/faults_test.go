package nodes_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	callers = 24
	// recovery is how long after the database the service may take to work again: five
	// seconds are promised.
	recovery = waittest.Slack * 5 * time.Second
	// steady is for how long the load runs before, and after, anything happens.
	steady = time.Second
)

// trial is a load over two nodes on a PostgreSQL server of the test's own.
type trial struct {
	t        *testing.T
	s        *testserver.Server
	load     *testserver.Load
	database string
}

// begin starts the load; through is how the nodes reach the database, and ephemeral
// the Redis beside it, if any.
func begin(t *testing.T, database, through, ephemeral string) *trial {
	t.Helper()
	s := testserver.Start(t, testserver.Options{
		Database: through, Ephemeral: ephemeral, Flags: []string{"--log-level", "error", "--delivery", "off"},
	})
	tr := &trial{t: t, s: s, database: database, load: s.StartLoad(s.Live, callers, 0)}
	tr.flows("before anything happens", recovery)
	time.Sleep(steady) // under load
	return tr
}

// flows waits until sends are accepted that began now, and returns how long that took.
func (tr *trial) flows(when string, limit time.Duration) time.Duration {
	tr.t.Helper()
	began := time.Now()
	// Some that were under way may be answered yet.
	enough := tr.load.Accepted.Load() + 2*callers
	return waittest.Within(tr.t, limit, "sends are accepted "+when, func() bool {
		return tr.load.Accepted.Load() > enough && time.Unix(0, tr.load.LastAccepted.Load()).After(began)
	})
}

// tally is what the database holds.
type tally struct{ messages, phones, deadlocks int }

func (tr *trial) count() (n tally) {
	tr.t.Helper()
	conn, err := pgx.Connect(tr.t.Context(), tr.database)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer conn.Close(tr.t.Context())
	err = conn.QueryRow(tr.t.Context(), `SELECT count(*), count(DISTINCT phone_id),
		(SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()) FROM messages`).Scan(&n.messages, &n.phones, &n.deadlocks)
	if err != nil {
		tr.t.Fatal(err)
	}
	return n
}

// moved is how long accepted messages may take from Redis to the database, at most:
// another node takes over what a node could not tell to be done.
const moved = waittest.Patience

// nothing may be lost.
func nothing(map[string]time.Time) int { return 0 }

// end stops the load and holds the database to what was acknowledged: each accepted
// number but for so many has its message, and no number more than its one send.
func (tr *trial) end(what string, recovered time.Duration, mayLose func(sends map[string]time.Time) int) {
	tr.t.Helper()
	time.Sleep(steady) // under load
	sends := tr.load.Stop()
	n := tr.count()
	for deadline := time.Now().Add(moved); n.phones < len(sends) && time.Now().Before(deadline); n = tr.count() {
		time.Sleep(100 * time.Millisecond)
	}
	unnamed, asked := 0, 0
	for number := range sends { // some, by name; the count is about all
		if asked++; asked > 300 {
			break
		}
		if len(tr.s.Inbox(number)) == 0 {
			unnamed++
		}
	}
	lost := max(unnamed, len(sends)-n.phones, 0)
	tr.t.Logf("%s: %d sends accepted, %d refused with 503; accepted again %d ms after; %d messages for %d numbers, %d lost, %d deadlocks",
		what, len(sends), tr.load.Refused.Load(), recovered.Milliseconds(), n.messages, n.phones, lost, n.deadlocks)
	switch {
	case lost > mayLose(sends):
		tr.t.Errorf("%d accepted sends have no message, at most %d may", lost, mayLose(sends))
	case n.messages != n.phones:
		tr.t.Errorf("%d messages for %d numbers that were asked for once each", n.messages, n.phones)
	case n.deadlocks > 0:
		tr.t.Errorf("%d deadlocks", n.deadlocks)
	}
}

// TestPostgresRestarts ends the server under load as a crash would, and starts it
// again a second later.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t, postgrestest.Options{})
	tr := begin(t, db.URL(), db.URL(), "")
	db.Kill()
	time.Sleep(steady) // of calls to a database that is gone
	db.Restart(t)
	tr.end("restarted after an immediate stop", tr.flows("after the restart", recovery), nothing)
}

// TestPostgresPauses stops the server's processes for ten seconds where they stand.
func TestPostgresPauses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	db := postgrestest.Start(t, postgrestest.Options{})
	tr := begin(t, db.URL(), db.URL(), "")
	db.Pause()
	time.Sleep(10 * time.Second) // is what it is about
	db.Resume()
	tr.end("paused for ten seconds", tr.flows("after the pause", recovery), nothing)
}

// TestConnectionsReset resets all connections between the nodes and the database
// again and again, wherever their statements and commits stand.
func TestConnectionsReset(t *testing.T) {
	t.Parallel()
	db := postgrestest.Start(t, postgrestest.Options{})
	w, through := lay(t, db.URL())
	tr := begin(t, db.URL(), through, "")
	resets := 0
	for range 20 {
		resets += w.reset()
		time.Sleep(150 * time.Millisecond) // of work between two resets
	}
	if resets == 0 {
		t.Error("no connection was reset")
	}
	tr.end("connections reset 20 times", tr.flows("after the resets", recovery), nothing)
}
