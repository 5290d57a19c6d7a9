package postgrestest_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/waittest"
)

// TestServer: what was committed is there after an immediate stop, and a paused
// server answers again.
func TestServer(t *testing.T) {
	t.Parallel()
	s := postgrestest.Start(t, postgrestest.Options{})
	s.Exec(t, "CREATE TABLE kept (n int)")
	s.Kill()
	if reachable(s.URL(), moment) {
		t.Error("a killed server answers")
	}
	s.Restart(t)
	s.Exec(t, "INSERT INTO kept VALUES (1)")
	s.Pause()
	if reachable(s.URL(), moment) {
		t.Error("a paused server answers")
	}
	s.Resume()
	s.Exec(t, "INSERT INTO kept VALUES (2)")
	s.Stop()
	if reachable(s.URL(), moment) {
		t.Error("a stopped server answers")
	}
}

// moment is how long a server is asked that should not answer.
const moment = 500 * time.Millisecond

func reachable(url string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

func TestNew(t *testing.T) {
	t.Parallel()
	a, b := postgrestest.New(t), postgrestest.New(t)
	if a == b || !reachable(a, waittest.Patience) || !reachable(b, waittest.Patience) {
		t.Errorf("%s and %s: want two databases", a, b)
	}
}
