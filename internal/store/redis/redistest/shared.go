package redistest

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// shared is the cluster of the test process.
var shared struct {
	once    sync.Once
	cluster *Cluster
	// hold is closed when this process ends.
	hold io.Closer
}

// SharedCluster is a cluster that all tests of the process use at once, each with keys
// of its own (Apart). It ends with the process.
func SharedCluster(tb testing.TB) *Cluster {
	tb.Helper()
	Need(tb)
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "codeword-redis-")
		if err != nil {
			tb.Fatal(err)
		}
		if shared.hold, err = outlive(dir); err != nil {
			tb.Fatal(err)
		}
		shared.cluster = StartCluster(lasting{tb, dir})
	})
	if shared.cluster == nil {
		tb.Fatal("redistest: the cluster that all tests share did not start")
	}
	return shared.cluster
}

// lasting is a test whose servers do not end with it.
type lasting struct {
	testing.TB
	dir string
}

func (lasting) Cleanup(func()) {}

func (l lasting) TempDir() string {
	dir, err := os.MkdirTemp(l.dir, "")
	if err != nil {
		l.Fatal(err)
	}
	return dir
}

// tidy waits for the end of a process. On Linux its servers have ended then.
const tidy = `
cat >/dev/null
[ "$(uname)" = Linux ] || cat "$1"/*/` + pidFile + ` 2>/dev/null | xargs kill -9 2>/dev/null
rm -rf "$1"
`

// outlive ends the servers below a directory, and removes it, when this process has
// ended, however that happened.
func outlive(dir string) (io.Closer, error) {
	cmd := exec.Command("sh", "-c", tidy, "sh", dir)
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	return hold, cmd.Start()
}
