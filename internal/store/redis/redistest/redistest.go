// Package redistest gives tests Redis servers of their own: processes of the
// installed release on free ports of the loopback interface, in temporary
// directories, that end with the test and, on Linux, with the test process however
// that ends.
//
// CODEWORD_TEST_ENGINES, a list separated by commas, says which engines are tested;
// without "redis" in it the tests that need one are skipped. When it is not set and
// Redis is missing, they fail. CODEWORD_TEST_REDIS names another server program,
// such as valkey-server.
package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Need skips the test when Redis is not among the engines under test, and fails it
// when it is and is not installed.
func Need(tb testing.TB) {
	tb.Helper()
	if !Wanted() {
		tb.Skip("CODEWORD_TEST_ENGINES does not name redis")
	}
	if _, err := program(); err != nil {
		tb.Fatalf("Redis is not installed (Debian: apt-get install redis-server); CODEWORD_TEST_ENGINES=sqlite tests without it: %v", err)
	}
}

// Wanted tells whether Redis is among the engines under test.
func Wanted() bool {
	named, set := os.LookupEnv("CODEWORD_TEST_ENGINES")
	return !set || slices.Contains(strings.Split(named, ","), "redis")
}

func program() (string, error) {
	if path := os.Getenv("CODEWORD_TEST_REDIS"); path != "" {
		return path, nil
	}
	return exec.LookPath("redis-server")
}

// New returns the URL of an empty server of the test's own.
func New(tb testing.TB) string {
	tb.Helper()
	return Single(tb).URL()
}

// apart counts those who share a server.
var apart atomic.Int64

// Apart is the URL of a server with a prefix of its own, for keys that meet no others.
func Apart(url string) string {
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return fmt.Sprintf("%s%sprefix=test%d", url, separator, apart.Add(1))
}

// Single starts one server. Settings are further lines of its configuration.
func Single(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	Need(tb)
	return start(tb, freePort(tb), settings...)
}
