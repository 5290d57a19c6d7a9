package testserver

import (
	"os"
	"testing"

	"codeword/internal/store/postgres/postgrestest"
)

// engineVariable picks the engine of all servers of a test process: "sqlite", which
// is the default, or "postgres", with two nodes on one database.
const engineVariable = "CODEWORD_TEST_ENGINE"

// engine is what servers run on.
type engine struct {
	nodes int
	// database is the URL of a shared one.
	database string
	// env names it to "dev" and to the other commands.
	env []string
}

func engineFor(tb testing.TB, opts Options) engine {
	tb.Helper()
	if opts.Database != "" {
		return onPostgres(opts.Database)
	}
	switch name := os.Getenv(engineVariable); name {
	case "", "sqlite":
		return engine{nodes: 1}
	case "postgres":
		return onPostgres(postgrestest.New(tb))
	default:
		tb.Fatalf("%s: no engine is called %q", engineVariable, name)
		return engine{}
	}
}

func onPostgres(url string) engine {
	return engine{nodes: 2, database: url, env: []string{"CODEWORD_DEV_DATABASE=" + url, "CODEWORD_DATABASE=" + url}}
}

// Shared tells whether servers run on an engine that several nodes share.
func Shared() bool { return os.Getenv(engineVariable) != "" && os.Getenv(engineVariable) != "sqlite" }

// Database is the URL of the PostgreSQL database that the nodes share; empty for
// the embedded engine.
func (s *Server) Database() string { return s.database }

// NeedFile skips a test that works on the database file itself when servers have
// none.
func NeedFile(tb testing.TB) {
	tb.Helper()
	if Shared() {
		tb.Skip("it is about the file of the embedded engine, and servers run on another one")
	}
}
