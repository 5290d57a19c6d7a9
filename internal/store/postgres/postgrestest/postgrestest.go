// Package postgrestest gives tests a PostgreSQL of their own: a server of the
// installed release on a free port of the loopback interface, in a temporary
// directory, that ends with the test process however that ends. As root it runs as
// another user, since PostgreSQL refuses to run as root.
//
// CODEWORD_TEST_ENGINES, a list separated by commas, says which engines are tested;
// without "postgres" in it the tests that need one are skipped. When it is not set
// and PostgreSQL is missing, they fail. CODEWORD_TEST_POSTGRES names the directory
// of another release's programs.
package postgrestest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// shared is the server of the test process, for New.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	next   atomic.Int64
}

// New returns the URL of an empty schema on the server of this test process: as
// good as a database of its own, and made and dropped in a tenth of the time; its
// sessions have its name. It goes with the test. The server does not sync to the disk; a test that crashes one
// starts its own.
func New(tb testing.TB) string {
	tb.Helper()
	Need(tb)
	shared.once.Do(func() {
		shared.server, shared.err = launch(Options{Settings: []string{"fsync=off", "full_page_writes=off"}}, true)
	})
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	name := fmt.Sprintf("test_%d", shared.next.Add(1))
	shared.server.Exec(tb, "CREATE SCHEMA "+name)
	tb.Cleanup(func() { shared.server.Exec(tb, "DROP SCHEMA "+name+" CASCADE") })
	return shared.server.URL() + "&search_path=" + name + "&application_name=" + name
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(tb testing.TB, sql string) {
	tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		tb.Fatalf("postgrestest: %v", err)
	}
	_, err = conn.Exec(ctx, sql)
	_ = conn.Close(ctx) // it has done what it was for
	if err != nil {
		tb.Fatalf("postgrestest: %s: %v", sql, err)
	}
}

// Need skips the test when PostgreSQL is not among the engines under test, and
// fails it when it is and is not installed.
func Need(tb testing.TB) {
	tb.Helper()
	if !Wanted() {
		tb.Skip("CODEWORD_TEST_ENGINES does not name postgres")
	}
	if _, err := programs(); err != nil {
		tb.Fatal(err)
	}
}

// Wanted tells whether PostgreSQL is among the engines under test.
func Wanted() bool {
	named, set := os.LookupEnv("CODEWORD_TEST_ENGINES")
	return !set || slices.Contains(strings.Split(named, ","), "postgres")
}

// programs finds the directory of initdb and postgres: the newest of Debian's
// layout, or where the path leads.
func programs() (dir string, err error) {
	if dir = os.Getenv("CODEWORD_TEST_POSTGRES"); dir != "" {
		return dir, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	if len(found) > 0 {
		slices.Sort(found) // as text: good until release 100
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed (Debian: apt-get install postgresql); CODEWORD_TEST_ENGINES=sqlite tests without it: %w", err)
	}
	return filepath.Dir(path), nil
}
