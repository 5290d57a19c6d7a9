// Package waittest is how tests wait for what other goroutines, processes and machines
// do, while the machine is busy with everything else at the same time.
package waittest

import (
	"testing"
	"time"
)

const (
	// Patience is how long anything may take that has to happen at all. It is far more
	// than anything takes on a machine of its own, and costs nothing where things go well.
	Patience = time.Minute
	// Slack is how many times as long as promised something may take on a machine that
	// does everything else at the same time.
	Slack = 5
	// tries is how often what measures time is repeated.
	tries = 3

	pollEvery = 5 * time.Millisecond
)

// Until polls until something holds, and fails the test when it does not.
func Until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	Within(tb, Patience, what, holds)
}

// Within is [Until] with a limit of the test's own. It returns how long it took.
func Within(tb testing.TB, limit time.Duration, what string, holds func() bool) time.Duration {
	tb.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > limit {
			tb.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(pollEvery)
	}
	return time.Since(began)
}

// Chances is for what measures time: it tries up to three times, until nothing was late. A
// machine that is busy with something else gets another chance; what is slow by itself is
// so every time. try fails the test itself for all that time is no excuse for.
func Chances(tb testing.TB, try func() (late string)) {
	tb.Helper()
	for n := 1; ; n++ {
		late := try()
		switch {
		case late == "" || tb.Failed():
			return
		case n == tries:
			tb.Errorf("each of %d times, at last: %s", tries, late)
			return
		default:
			tb.Logf("once more: %s", late)
		}
	}
}
