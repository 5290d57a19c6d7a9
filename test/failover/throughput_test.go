package failover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	backlog = 30_000
	// minRate is half of the 2,000 messages a second that one process has to move
	// on a machine of its own: here it shares one with other tests.
	minRate = 1000.0
	// maxGrowth is how much the process may grow, in MiB, from the first quarter
	// of the backlog to its end.
	maxGrowth = 32
)

const oneRoute = `
routes:
  - name: main
    smpp: {address: "%s", system-id: codeword, password: secret, source: "65055", window: 100}
`

// TestThroughput queues a backlog with delivery off and then has one process
// send it to one SMSC over one connection.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	waittest.Chances(t, func() string { return throughput(t) })
}

func throughput(t *testing.T) (late string) {
	t.Helper()
	dir := t.TempDir()
	peer := startSMSC(t, dir, "main", map[string]any{"receipts": "text"})
	file := filepath.Join(dir, "carriers.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, oneRoute, peer.address), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	queueing := testserver.Start(t, testserver.Options{Data: data, Flags: []string{"--delivery", "off", "--log-level", "warn"}})
	l := queueing.StartLoad(queueing.Live, callers, 0)
	for deadline := time.Now().Add(30 * time.Second); l.Accepted.Load() < backlog && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	sends := l.Stop()
	queueing.Stop()

	s := testserver.Start(t, testserver.Options{Data: data, Flags: []string{"--carriers", file, "--log-level", "warn"}})
	var began time.Time
	var memory []float64
	for deadline := time.Now().Add(2 * waittest.Patience); ; time.Sleep(watchEvery) {
		got := peer.messages()
		if len(got) > 0 && began.IsZero() {
			began = got[0].at
		}
		if len(got) >= len(sends)/4 {
			memory = append(memory, resident(t, s.PID()))
		}
		if len(byNumber(got)) == len(sends) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages arrived within two minutes", len(byNumber(got)), len(sends))
		}
	}
	got := peer.messages()
	took := got[len(got)-1].at.Sub(began)
	rate := float64(len(got)) / took.Seconds()
	t.Logf("%d messages in %v: %.0f a second; resident %.0f MiB at a quarter, %.0f MiB at the end",
		len(got), took.Round(time.Millisecond), rate, memory[0], memory[len(memory)-1])
	if len(got) != len(sends) {
		t.Errorf("%d messages for %d sends", len(got), len(sends))
	}
	if grown := memory[len(memory)-1] - memory[0]; grown > maxGrowth {
		t.Errorf("grew by %.0f MiB", grown)
	}
	if rate < minRate {
		return fmt.Sprintf("%.0f messages a second, want %.0f", rate, minRate)
	}
	return ""
}

// resident is the memory of a process, in MiB.
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib / 1024
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
