package nodes_test

import (
	"testing"
	"time"

	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/waittest"
)

// TestRedisRestarts kills the server under load and starts it again a second later.
// With "appendfsync always" it loses nothing; with "everysec", two seconds at most.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	db, r := postgrestest.Start(t, postgrestest.Options{}), redistest.Single(t, "appendonly yes", "appendfsync always")
	tr := begin(t, db.URL(), db.URL(), r.URL())
	r.Kill()
	time.Sleep(steady) // of calls to a server that is gone
	r.Restart(t)
	tr.end("redis killed and started again", tr.flows("after the restart", recovery), nothing)
}

// TestRedisPauses stops the server for ten seconds where it stands.
func TestRedisPauses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	db, r := postgrestest.Start(t, postgrestest.Options{}), redistest.Single(t)
	tr := begin(t, db.URL(), db.URL(), r.URL())
	r.Pause()
	time.Sleep(10 * time.Second) // is what it is about
	r.Resume()
	tr.end("redis paused for ten seconds", tr.flows("after the pause", recovery), nothing)
}

const (
	// promotion is how long the cluster may take to put a replica in the place of a
	// primary.
	promotion = waittest.Patience
	// replicating is how long accepted sends may be on their way to the replica, at
	// most, when the primary dies: asynchronous replication loses those.
	replicating = waittest.Slack * 100 * time.Millisecond
)

// TestClusterLosesAPrimary kills one of three primaries under load, and the cluster
// puts its replica in its place.
func TestClusterLosesAPrimary(t *testing.T) {
	t.Parallel()
	db, c := postgrestest.Start(t, postgrestest.Options{}), redistest.StartCluster(t)
	tr := begin(t, db.URL(), db.URL(), c.URL())
	c.Primaries[0].Kill()
	killed := time.Now()
	waittest.Within(t, promotion, "a replica is promoted", func() bool {
		for _, r := range c.Replicas {
			if r.Info(t, "replication", "role") == "master" {
				return true
			}
		}
		return false
	})
	took := time.Since(killed)
	// A third of all numbers is on that primary; all have to be accepted again.
	refused := tr.load.Refused.Load()
	recovered := waittest.Within(t, recovery, "nothing is refused any more", func() bool {
		before := refused
		refused = tr.load.Refused.Load()
		if refused != before {
			time.Sleep(250 * time.Millisecond) // is how long nothing may be refused
			return false
		}
		return tr.flows("after the promotion", recovery) >= 0 && tr.load.Refused.Load() == refused
	})
	t.Logf("the replica was promoted after %d ms", took.Milliseconds())
	tr.end("primary of a cluster killed", recovered, func(sends map[string]time.Time) (n int) {
		for _, accepted := range sends {
			if accepted.After(killed.Add(-replicating)) && accepted.Before(killed.Add(replicating)) {
				n++
			}
		}
		return n
	})
}
