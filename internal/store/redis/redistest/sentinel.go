package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// Watched is a primary with a replica, and three sentinels that put the replica in the
// primary's place when it goes.
type Watched struct {
	Primary, Replica *Server
	sentinels        []*Server
}

const (
	sentinels = 3
	// watchedName is what the sentinels call the primary.
	watchedName = "codeword"
)

// StartWatched starts one that lasts until the test ends.
func StartWatched(tb testing.TB, settings ...string) *Watched {
	tb.Helper()
	Need(tb)
	settings = append([]string{"repl-diskless-sync-delay 0"}, settings...)
	w := &Watched{Primary: start(tb, freePort(tb), settings...), Replica: start(tb, freePort(tb), settings...)}
	w.Replica.Follow(tb, w.Primary)
	for range sentinels {
		sentinel := &Server{Port: freePort(tb), args: []string{"--sentinel"}, settings: []string{
			"sentinel monitor " + watchedName + " 127.0.0.1 " + fmt.Sprint(w.Primary.Port) + " 2",
			"sentinel down-after-milliseconds " + watchedName + " 1000", "sentinel failover-timeout " + watchedName + " 3000",
		}}
		w.sentinels = append(w.sentinels, sentinel.start(tb))
	}
	until(tb, "know each other and the replica", func() bool {
		for _, s := range w.sentinels {
			if !strings.HasSuffix(s.Info(tb, "sentinel", "master0"), fmt.Sprintf("slaves=1,sentinels=%d", sentinels)) {
				return false
			}
		}
		return true
	})
	return w
}

// URL is what the engine is opened with.
func (w *Watched) URL() string {
	hosts := make([]string, 0, sentinels)
	for _, s := range w.sentinels {
		hosts = append(hosts, s.Addr())
	}
	return "redis://" + strings.Join(hosts, ",") + "?sentinel=" + watchedName
}
