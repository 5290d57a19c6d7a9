package redis_test

import (
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/store/storetest"
)

// TestFailoverHistory: two nodes are in use while one primary of three is killed and
// its replica takes its place, elected by the cluster; or, worse, while that replica
// was cut off before, so that what callers were told last is lost. Every history is
// linearizable, with challenges and sessions of that part lost at one moment.
func TestFailoverHistory(t *testing.T) {
	t.Parallel()
	postgrestest.Need(t)
	for name, fail := range map[string]func(*testing.T, *redistest.Cluster){
		"elected": func(t *testing.T, c *redistest.Cluster) {
			t.Helper()
			c.Primaries[0].Kill()
			c.Replicas[0].AwaitLead(t)
		},
		"behind": func(t *testing.T, c *redistest.Cluster) {
			t.Helper()
			c.Replicas[0].Pause()
			// Else its primary's last words wait for it in the connection.
			c.Primaries[0].Do(t, "CLIENT", "KILL", "TYPE", "replica")
			time.Sleep(behindFor)
			c.Primaries[0].Kill()
			c.Replicas[0].Resume()
			c.Promote(t, c.Replicas[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, ledger := redistest.StartCluster(t), inPostgres(t)
			node := func() *redis.Store {
				return open(t, redis.Config{URL: cluster.URL() + "&timeout=1s", Ledger: ledger(t)})
			}
			one := node()
			storetest.Failover{
				Store:   storetest.Spread(one, node()),
				Fail:    func() { fail(t, cluster) },
				Phone:   func(client string, id store.PhoneID) bool { return cluster.Shard(t, one.PhoneKey(client, id)) == 0 },
				Session: func(id store.SessionID) bool { return cluster.Shard(t, one.SessionKey(id)) == 0 },
			}.Run(t)
		})
	}
}

// behindFor is how long callers are answered while a replica hears nothing of it.
const behindFor = 300 * time.Millisecond
