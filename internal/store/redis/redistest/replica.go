package redistest

import (
	"strconv"
	"strings"
	"testing"
)

// Follow makes a server, outside a cluster, the replica of another one, and waits
// until it has everything.
func (s *Server) Follow(tb testing.TB, primary *Server) {
	tb.Helper()
	s.Do(tb, "REPLICAOF", "127.0.0.1", strconv.Itoa(primary.Port))
	until(tb, "follow each other", func() bool {
		return s.Info(tb, "replication", "master_link_status") == "up" && s.CaughtUp(tb)
	})
}

// AwaitLead waits until others have made a replica the primary.
func (s *Server) AwaitLead(tb testing.TB) {
	tb.Helper()
	until(tb, "have a new primary", func() bool {
		m, err := s.try("INFO", "replication")
		if err != nil {
			return false // whoever makes it the primary ends its connections
		}
		info, _ := m.ToString() // an error is no primary
		return strings.Contains(info, "role:master")
	})
}

// Lead makes a replica, outside a cluster, a primary.
func (s *Server) Lead(tb testing.TB) {
	tb.Helper()
	s.Do(tb, "REPLICAOF", "NO", "ONE")
}

// CaughtUp tells whether a replica has all that its primary has written.
func (s *Server) CaughtUp(tb testing.TB) bool {
	tb.Helper()
	port, err := strconv.Atoi(s.Info(tb, "replication", "master_port"))
	if err != nil {
		tb.Fatal(err)
	}
	primary := &Server{Port: port}
	return primary.Info(tb, "replication", "master_repl_offset") == s.Info(tb, "replication", "slave_repl_offset")
}

// Info is one field of an answer to INFO; empty for none.
func (s *Server) Info(tb testing.TB, section, name string) string {
	tb.Helper()
	for line := range strings.Lines(s.text(tb, "INFO", section)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (s *Server) text(tb testing.TB, words ...string) string {
	tb.Helper()
	m := s.Do(tb, words...)
	out, err := m.ToString()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
