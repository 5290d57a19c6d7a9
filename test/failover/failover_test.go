// Package failover_test runs the command against SMSCs that are killed, slow or
// many, and counts what reached the phones.
package failover_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"codeword/internal/waittest"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

const (
	callers = 32
	// loadFor is how long codes are asked for; the main carrier is killed in the
	// middle of it.
	loadFor = 10 * time.Second
	killAt  = 3 * time.Second
	// settleIn is what is promised: from then on all traffic flows over
	// the second route.
	settleIn = 5 * time.Second
	// prompt is how late a message may then be, on a machine that does everything
	// else at the same time.
	prompt = 2 * time.Second
	// maxDuplicates is the share of messages that may reach a phone twice.
	maxDuplicates = 0.001
)

const twoRoutes = `
routes:
  - name: main
    priority: 1
    unknown-timeout: 5s
    smpp: {address: "%s", system-id: codeword, password: secret, source: "65055", window: 100, reconnect-max: 1s}
  - name: backup
    priority: 2
    smpp: {address: "%s", system-id: codeword, password: secret, source: "65055", window: 100}
`

// TestMainCarrierKilled kills the SMSC of the main route (SIGKILL) while as many
// codes are asked for as the machine takes.
func TestMainCarrierKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	waittest.Chances(t, func() string { return mainCarrierKilled(t) })
}

func mainCarrierKilled(t *testing.T) (late string) {
	t.Helper()
	dir := t.TempDir()
	first, second := startSMSC(t, dir, "main", nil), startSMSC(t, dir, "backup", nil)
	file := filepath.Join(dir, "carriers.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, twoRoutes, first.address, second.address), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testserver.Start(t, testserver.Options{Flags: []string{"--carriers", file, "--log-level", "warn"}})

	began := time.Now()
	load := s.StartLoad(s.Live, callers, 0)
	time.Sleep(killAt)
	first.peer.Kill()
	killed := time.Now()
	t.Logf("killed the main carrier %v after the begin, with %d codes accepted", killed.Sub(began).Round(time.Millisecond), load.Accepted.Load())
	time.Sleep(loadFor - killAt)
	sends := load.Stop()
	if n := load.Refused.Load(); n > 0 {
		t.Logf("%d sends were refused with 503", n)
	}

	want := len(sends)
	arrived := func() int { return len(byNumber(first.messages(), second.messages())) }
	for deadline := time.Now().Add(waittest.Patience); arrived() < want && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	return report(t, sends, first.messages(), second.messages(), killed)
}

// report judges what reached the phones.
func report(t *testing.T, sends map[string]time.Time, first, second []arrival, killed time.Time) (slow string) {
	t.Helper()
	phones := byNumber(first, second)
	missing, twice, differing := 0, 0, 0
	var late []time.Duration // of those accepted once all should flow over the second route
	for number, accepted := range sends {
		got := phones[number]
		if len(got) == 0 {
			missing++
			continue
		}
		if len(got) > 1 {
			twice++
		}
		if slices.ContainsFunc(got, func(a arrival) bool { return a.text != got[0].text }) {
			differing++
		}
		if accepted.After(killed.Add(settleIn)) {
			late = append(late, got[0].at.Sub(accepted))
		}
	}
	if len(late) == 0 || len(second) == 0 {
		t.Fatalf("%d messages over the second route, %d accepted after it should have taken over", len(second), len(late))
	}
	slices.Sort(late)
	share := float64(twice) / float64(len(sends))
	t.Logf("%d codes accepted: %d over the main route, %d over the second; %d reached nobody, %d phones got two messages (%.4f %%), %d two different codes",
		len(sends), len(first), len(second), missing, twice, 100*share, differing)
	t.Logf("first over the second route %v after the kill; from 5 s on %d messages arrived %v after their acceptance at the median, %v at the latest",
		second[0].at.Sub(killed).Round(time.Millisecond), len(late), late[len(late)/2].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
	if missing > 0 {
		t.Errorf("%d accepted messages were never sent", missing)
	}
	if differing > 0 {
		t.Errorf("%d phones got two different codes", differing)
	}
	for _, a := range phones {
		if a[0].at.Sub(sends[a[0].number]) > 5*time.Minute {
			t.Errorf("a message came %v after its acceptance", a[0].at.Sub(sends[a[0].number]))
		}
	}
	if worst := late[len(late)-1]; worst > prompt {
		return fmt.Sprintf("5 s after the kill a message still took %v", worst)
	}
	if share >= maxDuplicates { // of fewer messages those that were on their way are a greater share
		return fmt.Sprintf("%.4f %% of the messages came twice, at most %.1f %% may", 100*share, 100*maxDuplicates)
	}
	return ""
}

// byNumber gathers the arrivals at each phone.
func byNumber(lists ...[]arrival) map[string][]arrival {
	out := make(map[string][]arrival)
	for _, list := range lists {
		for _, a := range list {
			out[a.number] = append(out[a.number], a)
		}
	}
	return out
}

// plus makes a destination as an SMSC sees it an E.164 number.
func plus(destination string) string { return "+" + strings.TrimPrefix(destination, "+") }
