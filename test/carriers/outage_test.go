package carriers_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeword/api"
	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	// queued messages wait when delivery begins, and the server is killed once
	// killAt of them have arrived.
	queued, killAt = 5000, 1500
	window         = 100
	// batch is how many outcomes the delivery loop records at once at most.
	batch = 256
	// settleLimit is less than a dead server's leases: the next one ends them.
	settleLimit = 25 * time.Second
)

// TestKilledWhileDelivering kills the server (SIGKILL) in the middle of a
// backlog, and starts it again.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("sends thousands of messages")
	}
	peer := startSMSC(t, map[string]any{"respDelayMs": 20})
	data := filepath.Join(t.TempDir(), "data")
	queueing := testserver.Start(t, testserver.Options{Data: data, Flags: []string{"--delivery", "off", "--log-level", "warn"}})
	l := queueing.StartLoad(queueing.Live, callers, 0)
	waittest.Until(t, "a backlog", func() bool { return l.Accepted.Load() >= queued })
	sends := l.Stop()
	queueing.Stop()

	s := startOn(t, data, peer.route("main", 1, "", "window: 100,"), "--log-level", "warn")
	waittest.Until(t, "the backlog is on its way", func() bool { return len(peer.messages()) >= killAt })
	s.Kill()
	before := len(peer.messages())
	s.Restart()
	arrived := func() map[string][]arrival { return byNumber(peer.messages()) }
	waittest.Within(t, settleLimit, "all messages arrive", func() bool { return len(arrived()) >= len(sends) })

	missing, twice := count(t, sends, arrived())
	t.Logf("%d messages, killed after %d: %d phones got two messages, %d none", len(sends), before, twice, missing)
	if missing > 0 || before >= len(sends) {
		t.Errorf("%d messages lost; %d of %d arrived before the kill", missing, before, len(sends))
	}
	// Twice come those that the SMSC took and of which no outcome was durable: what
	// is on the connection (the window), one batch that waits to be recorded and
	// one that is being recorded.
	if most := window + 2*batch; twice > most {
		t.Errorf("%d phones got two messages, at most %d can", twice, most)
	}
	for number, got := range arrived() {
		if len(got) > 2 {
			t.Errorf("…%s got %d messages", number[8:], len(got))
		}
	}
}

const (
	// settled is by when the second route carries all traffic, and prompt how
	// late a message may then be.
	settled = 5 * time.Second
	prompt  = 2 * time.Second
)

// TestBlackHole stops the SMSC of the main route (SIGSTOP): connections stay
// open, and nothing is answered. Later it goes on where it was.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	waittest.Chances(t, func() string { return blackHole(t) })
}

func blackHole(t *testing.T) (late string) {
	t.Helper()
	main, spare := startSMSC(t, nil), startSMSC(t, nil)
	s := start(t, main.route("main", 1, "unknown-timeout: 3s,", "window: 100, reconnect-max: 1s,")+spare.route("spare", 2, "", "window: 100,"),
		"--log-level", "warn")
	l := s.StartLoad(s.Live, callers, 300)
	waittest.Until(t, "traffic over the main route", func() bool { return len(main.messages()) > 300 })

	main.peer.Signal(syscall.SIGSTOP)
	stopped := time.Now()
	waittest.Until(t, "traffic over the second route", func() bool {
		got := spare.messages()
		return len(got) > 0 && time.Since(stopped) > settled+prompt
	})
	main.peer.Signal(syscall.SIGCONT)
	resumed := time.Now()
	before := len(main.messages())
	waittest.Until(t, "traffic returns to the main route", func() bool {
		return len(main.messages()) > before+600 && s.breaker("main") == "closed"
	})
	returned := time.Now()
	sends := l.Stop()
	phones := func() map[string][]arrival { return byNumber(main.messages(), spare.messages()) }
	waittest.Until(t, "all messages arrive", func() bool { return len(phones()) >= len(sends) })

	missing, twice := count(t, sends, phones())
	t.Logf("%d codes accepted, %d refused: %d over the main route, %d over the second; %d phones got two messages, %d none; main came back %v after SIGCONT",
		len(sends), l.Refused.Load(), len(main.messages()), len(spare.messages()), twice, missing, returned.Sub(resumed).Round(time.Millisecond))
	if missing > 0 || l.Refused.Load() > 0 {
		t.Errorf("%d messages lost, %d sends refused", missing, l.Refused.Load())
	}
	// Twice come those that lay unread before the stopped process: a window, and
	// the few that tried whether it is back.
	if twice > window+window/2 {
		t.Errorf("%d phones got two messages", twice)
	}
	var worst time.Duration
	for number, accepted := range sends {
		if accepted.After(stopped.Add(settled)) && accepted.Before(resumed) {
			worst = max(worst, phones()[number][0].at.Sub(accepted))
		}
	}
	if worst == 0 || worst > prompt {
		return fmt.Sprintf("%v after the stop a message took %v", settled, worst)
	}
	return ""
}

// TestEveryCarrierDown: without a carrier nothing is promised; once it is back,
// what was promised before leaves.
func TestEveryCarrierDown(t *testing.T) {
	t.Parallel()
	first := startSMSC(t, nil)
	s := start(t, first.route("main", 1, "", "reconnect-max: 500ms,"))
	s.send(testserver.Number(0))
	first.await(testserver.Number(0))
	first.peer.Kill()
	// What was written before that is noticed may have been taken, and stays where
	// it is while there is no other route.
	waittest.Until(t, "the end of the connection is noticed", func() bool { return strings.Contains(s.Log(), "smpp connection down") })

	n := 0
	var refusal *client.Error
	waittest.Until(t, "sends are refused", func() bool {
		n++
		_, err := s.live().Send(t.Context(), testserver.Number(n))
		return errors.As(err, &refusal)
	})
	if refusal.Status != 503 || refusal.Code != api.CodeUnavailable || refusal.RetryAfter < time.Second || refusal.RetryAfter > 30*time.Second {
		t.Errorf("refused with %v, to be tried again after %v", refusal, refusal.RetryAfter)
	}
	if state := s.breaker("main"); state != "open" {
		t.Errorf("refused while the breaker is %s", state)
	}

	second := startSMSC(t, map[string]any{"port": first.port})
	waittest.Until(t, "sends are taken again", func() bool {
		_, err := s.live().Send(t.Context(), testserver.Number(10_000))
		return err == nil
	})
	waittest.Until(t, "all that was accepted arrives", func() bool { return len(byNumber(second.messages())) == n })
	for i := 1; i < n; i++ {
		if got := len(second.to(testserver.Number(i))); got != 1 {
			t.Errorf("message %d arrived %d times", i, got)
		}
	}
	if len(second.to(testserver.Number(n))) > 0 {
		t.Error("the refused one arrived")
	}
}
