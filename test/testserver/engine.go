package testserver

import (
	"os"
	"strings"
	"testing"

	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis/redistest"
)

// engineVariable picks the engine of all servers of a test process: "sqlite", which
// is the default; "postgres", with two nodes on one database; or, beside that, "redis"
// with a server, or "redis-cluster" with a cluster, which all tests share.
const engineVariable = "CODEWORD_TEST_ENGINE"

// engine is what servers run on.
type engine struct {
	nodes int
	// database is the URL of a shared one, ephemeral of the Redis beside it.
	database, ephemeral string
	// env names it to "dev" and to the other commands.
	env []string
}

func engineFor(tb testing.TB, opts Options) engine {
	tb.Helper()
	if opts.Database != "" {
		return onPostgres(opts.Database).with(opts.Ephemeral)
	}
	switch name := os.Getenv(engineVariable); name {
	case "", "sqlite":
		return engine{nodes: 1}
	case "postgres":
		return onPostgres(postgrestest.New(tb))
	case "redis":
		return onPostgres(postgrestest.New(tb)).with(redistest.New(tb))
	case "redis-cluster":
		return onPostgres(postgrestest.New(tb)).with(redistest.Apart(redistest.SharedCluster(tb).URL()))
	default:
		tb.Fatalf("%s: no engine is called %q", engineVariable, name)
		return engine{}
	}
}

func onPostgres(url string) engine {
	return engine{nodes: 2, database: url, env: []string{"CODEWORD_DEV_DATABASE=" + url, "CODEWORD_DATABASE=" + url}}
}

// with puts a Redis beside the database.
func (e engine) with(url string) engine {
	e.ephemeral = url
	if url != "" {
		e.env = append(e.env, "CODEWORD_DEV_EPHEMERAL="+url, "CODEWORD_EPHEMERAL="+url)
	}
	return e
}

// Shared tells whether servers run on an engine that several nodes share.
func Shared() bool { return os.Getenv(engineVariable) != "" && os.Getenv(engineVariable) != "sqlite" }

// HasIntake tells whether the inbox sees an accepted message only after a node has
// moved it: at once, or seconds later when the node that accepted it was killed.
func HasIntake() bool { return strings.HasPrefix(os.Getenv(engineVariable), "redis") }

// Database is the URL of the PostgreSQL database that the nodes share; empty for
// the embedded engine.
func (s *Server) Database() string { return s.database }

// Ephemeral is the URL of the Redis beside the database; empty if there is none.
func (s *Server) Ephemeral() string { return s.ephemeral }

// NeedFile skips a test that works on the database file itself when servers have
// none.
func NeedFile(tb testing.TB) {
	tb.Helper()
	if Shared() {
		tb.Skip("it is about the file of the embedded engine, and servers run on another one")
	}
}
