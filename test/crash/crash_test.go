// Package crash ends a running server in the worst ways, starts it again on the
// same data, and holds it to what it had acknowledged: SIGKILL under load and in
// its very first moments, and a disk that takes no more.
package crash_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"codeword/client"
	"codeword/test/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

const (
	workers = 24
	// settleLimit is for the queue to empty after the last kill; less than claimsHold,
	// for which a dead server's claims would hold if nobody ended them. On an engine
	// that nodes share nobody does: another one may be at work on them.
	settleLimit = 25 * time.Second
	claimsHold  = 30 * time.Second
)

// life is how often a server is killed, and between what and what it lives after it
// was ready. Where messages take their time to come to the inbox after a kill it has to
// live for longer, so that codes are found and used.
func life() (kills int, shortest, longest time.Duration) {
	if testserver.HasIntake() {
		return 8, time.Second, 3 * time.Second
	}
	if testserver.Shared() {
		return 30, 30 * time.Millisecond, 150 * time.Millisecond // twice as many processes
	}
	return 100, 30 * time.Millisecond, 150 * time.Millisecond
}

// TestKilledUnderLoad kills the server again and again while callers send, authenticate,
// guess and replay, and asks in the end: is every acknowledged send there, was
// any code accepted twice, did any challenge take more than five guesses, has
// any message been lost?
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	server := testserver.Start(t, testserver.Options{Env: []string{"CODEWORD_LOG_LEVEL=warn"}})

	began := time.Now()
	crew := newCrew(workers, seed)
	kills, shortest, longest := life()
	var slowest time.Duration
	for range kills {
		stop := crew.work(t, server)
		// How long it lives is the experiment.
		time.Sleep(shortest + time.Duration(random.Int64N(int64(longest-shortest))))
		server.Kill()
		stop()
		restart := time.Now()
		server.Restart()
		slowest = max(slowest, time.Since(restart))
		if t.Failed() {
			break
		}
	}
	killing := time.Since(began)

	if testserver.HasIntake() {
		awaitEmptyQueue(t, server)
	}
	crew.verify(t, server)
	awaitEmptyQueue(t, server)
	server.Stop()
	log := readMessages(t, server)
	crew.verifyMessages(t, log)
	server.Command("doctor", "--data", server.Data) // fails the test when it finds something
	if !t.Failed() {
		t.Log("crash: no acknowledged send lost, no code accepted twice, no challenge over its attempts, no message lost")
	}
	t.Logf("crash: %d kills under %d callers in %.1f s, the slowest restart %d ms → %s; %s",
		kills, workers, killing.Seconds(), slowest.Milliseconds(), crew.figures(), log)
}

// connect returns the public client of the live credentials, without retries.
func connect(t *testing.T, s *testserver.Server) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		BaseURL: s.URL, ClientID: s.Live.ID, ClientSecret: client.Secret(s.Live.Secret), MaxTries: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// answered tells an answer of the service from a connection that broke.
func answered(err error) (*client.Error, bool) {
	var e *client.Error
	return e, errors.As(err, &e)
}

// awaitEmptyQueue waits until the metrics, and then the doctor, say that no message waits.
func awaitEmptyQueue(t *testing.T, s *testserver.Server) {
	t.Helper()
	limit := settleLimit
	if testserver.Shared() {
		limit += claimsHold
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(250 * time.Millisecond) {
		if bytes.Contains(s.Admin("/metrics"), []byte("\ncodeword_queue_messages 0\n")) && queueIsEmpty(s) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("messages still wait %s after the last kill", limit)
			return
		}
	}
}

// queueIsEmpty asks the doctor, who counts in the store itself.
func queueIsEmpty(s *testserver.Server) bool {
	for line := range strings.Lines(string(s.Command("doctor", "--data", s.Data))) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == "queue" && f[2] == "empty" {
			return true
		}
	}
	return false
}

// wrong is a code of the same length that is not the right one.
func wrong(code string) string {
	first := '0' + (code[0]-'0'+1)%10
	return string(rune(first)) + code[1:]
}
