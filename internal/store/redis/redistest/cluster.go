package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Cluster is three primaries with a replica each.
type Cluster struct {
	// Primaries and Replicas belong together by index, until a failover.
	Primaries, Replicas []*Server
}

const (
	shards       = 3
	clusterSlots = 16384
)

// StartCluster starts a cluster that lasts until the test ends.
func StartCluster(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	Need(tb)
	c := &Cluster{}
	settings = append([]string{
		"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 1500", "repl-diskless-sync-delay 0",
		"cluster-require-full-coverage no",
	}, settings...)
	for i := range 2 * shards {
		s := start(tb, freePort(tb), settings...)
		if i < shards {
			c.Primaries = append(c.Primaries, s)
		} else {
			c.Replicas = append(c.Replicas, s)
		}
	}
	for i, s := range c.all() {
		s.Do(tb, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		if i < shards {
			from, to := clusterSlots*i/shards, clusterSlots*(i+1)/shards-1
			s.Do(tb, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(from), strconv.Itoa(to))
		}
		if i > 0 {
			s.Do(tb, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(c.Primaries[0].Port))
		}
	}
	until(tb, "know each other", func() bool {
		for _, s := range c.all() {
			if !strings.Contains(s.text(tb, "CLUSTER", "INFO"), fmt.Sprintf("cluster_known_nodes:%d", 2*shards)) {
				return false
			}
		}
		return true
	})
	for i, r := range c.Replicas {
		r.Do(tb, "CLUSTER", "REPLICATE", c.Primaries[i].text(tb, "CLUSTER", "MYID"))
	}
	until(tb, "replicate", func() bool {
		for i, s := range c.all() {
			if !strings.Contains(s.text(tb, "CLUSTER", "INFO"), "cluster_state:ok") || strings.Count(s.text(tb, "CLUSTER", "NODES"), "slave") != shards {
				return false
			}
			if i >= shards && s.Info(tb, "replication", "master_link_status") != "up" {
				return false
			}
		}
		return true
	})
	return c
}

func (c *Cluster) all() []*Server { return append(append([]*Server{}, c.Primaries...), c.Replicas...) }

// URL is what the engine is opened with. It names all nodes: the primaries do not
// tell of replicas before these have something to replicate.
func (c *Cluster) URL() string {
	hosts := make([]string, 0, 2*shards)
	for _, s := range c.all() {
		hosts = append(hosts, s.Addr())
	}
	return "redis://" + strings.Join(hosts, ",") + "?cluster=true"
}

// Promote makes a replica the primary of its shard, at once and without asking.
func (c *Cluster) Promote(tb testing.TB, r *Server) {
	tb.Helper()
	r.Do(tb, "CLUSTER", "FAILOVER", "TAKEOVER")
	r.AwaitLead(tb)
}

// Slot is where a key is.
func (c *Cluster) Slot(tb testing.TB, key string) int {
	tb.Helper()
	answer := c.Replicas[0].Do(tb, "CLUSTER", "KEYSLOT", key)
	slot, err := answer.AsInt64()
	if err != nil {
		tb.Fatal(err)
	}
	return int(slot)
}

// Shard is the index of the shard that a key is in, until a failover that of its
// primary.
func (c *Cluster) Shard(tb testing.TB, key string) int {
	tb.Helper()
	slot := c.Slot(tb, key)
	for i := range shards {
		if slot < clusterSlots*(i+1)/shards {
			return i
		}
	}
	return shards
}

func until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(5 * pollEvery) {
		if done() {
			return
		}
	}
	tb.Fatalf("redistest: the nodes do not %s", what)
}
