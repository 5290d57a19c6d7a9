package crash_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeword/client"
	"codeword/test/testserver"
)

const (
	firstStarts = 40
	// A first start takes some 30 ms; kills fall all over it.
	firstStartSpan = 45 * time.Millisecond
)

// TestKilledInItsFirstStart kills "codeword dev" while it creates its directory,
// keys and database. What it leaves behind must start, and dev.env must never be
// seen half-written.
func TestKilledInItsFirstStart(t *testing.T) {
	testserver.NeedFile(t)
	t.Parallel()
	began := 0
	for i := range firstStarts {
		data := filepath.Join(t.TempDir(), "data")
		life := firstStartSpan * time.Duration(i) / firstStarts
		killFirstStart(t, data, life+rand.N(time.Millisecond))
		if _, err := os.Stat(filepath.Join(data, "codeword.db")); err == nil {
			began++
		}
		again := testserver.Start(t, testserver.Options{Data: data})
		if !works(t, again, testserver.Number(i)) {
			t.Errorf("killed %s after its first start, it does not work", life)
		}
		again.Stop()
		if t.Failed() {
			return
		}
	}
	t.Logf("crash: %d kills within the first %s of a first start, %d of them after the database was created; all started again",
		firstStarts, firstStartSpan, began)
}

// killFirstStart starts a server on an empty directory, kills it and looks at
// dev.env, all the time and once more after the end.
func killFirstStart(t *testing.T, data string, life time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testserver.Binary(t), "dev", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		wholeEnv(t, data)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	wholeEnv(t, data)
}

// wholeEnv fails the test when dev.env is there and lacks anything.
func wholeEnv(t *testing.T, data string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(data, "dev.env"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"CODEWORD_URL", "CODEWORD_ADMIN_URL", "CODEWORD_ADMIN_TOKEN", "CODEWORD_CLIENT_ID",
		"CODEWORD_CLIENT_SECRET", "CODEWORD_LIVE_CLIENT_ID", "CODEWORD_LIVE_CLIENT_SECRET",
	} {
		if !strings.Contains(string(raw), name+"=") {
			t.Errorf("dev.env was seen without %s", name)
		}
	}
	if !strings.HasSuffix(string(raw), "\n") {
		t.Error("dev.env was seen with an unfinished line")
	}
}

// works sends, reads the code and authenticates.
func works(t *testing.T, s *testserver.Server, to string) bool {
	t.Helper()
	c := s.Client(s.Live)
	sent, err := c.Send(t.Context(), to)
	if err != nil {
		t.Errorf("send: %v", err)
		return false
	}
	if _, err := c.Authenticate(t.Context(), sent.PhoneID, s.Code(to)); err != nil {
		var e *client.Error
		t.Errorf("authenticate: %v (an answer: %t)", err, errors.As(err, &e))
		return false
	}
	return true
}
