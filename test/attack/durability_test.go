package attack_test

import (
	"net/http"
	"testing"

	"codeword/test/testserver"
)

// TestToolsBesideServer: the last connection to a SQLite file removes its log,
// and a tool that believes to be the last one takes it from under the server.
func TestToolsBesideServer(t *testing.T) {
	t.Parallel()
	s := testserver.Start(t, testserver.Options{})
	c := callAs(t, s.Endpoint, s.Live)
	const phones = 5
	used, code := c.mustStart(number(0))
	for n := 1; n < phones; n++ {
		s.Command("client", "list", "--data", s.Data)
		c.mustSend(number(n))
	}
	c.mustAuthenticate(used, code)
	s.Kill()
	s.Restart()
	kept := 0
	for n := range phones {
		if len(s.Inbox(number(n))) == 1 {
			kept++
		}
	}
	replay := callAs(t, s.Endpoint, s.Live).authenticate(used, code)
	report(t, "tools-beside-server", "a command of the binary on the data of a running server after each send, then SIGKILL",
		"%d of %d acknowledged messages kept, the used code got %s", kept, phones, replay)
	if kept != phones || replay.status != http.StatusUnauthorized {
		t.Errorf("%d of %d acknowledged messages kept, the used code got %s", kept, phones, replay)
	}
}
