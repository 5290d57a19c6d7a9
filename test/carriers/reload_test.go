package carriers_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"codeword/internal/waittest"
	"codeword/test/gateway"
	"codeword/test/testserver"
)

// TestReload changes the carriers file of a running server: traffic follows the
// new routes, connections of routes that stay are kept, and a broken file
// changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	old, added := startSMSC(t, nil), startSMSC(t, nil)
	stays := old.route("old", 2, "", "")
	s := start(t, stays)
	s.send(testserver.Number(1))
	old.await(testserver.Number(1))

	s.reload(stays+added.route("added", 1, "", ""), reloaded)
	waittest.Until(t, "the added route is bound", func() bool { return added.binds() == 1 })
	s.send(testserver.Number(2))
	added.await(testserver.Number(2))

	// Every mistake is told with its route and field, and no secret.
	logged := s.reload(strings.ReplaceAll(stays, `source: "65055"`, "window: 0, sourse: 1")+
		strings.ReplaceAll(added.route("added", 1, "wieght: 2,", ""), "password: secret", `password: "${NO_SUCH_SECRET}"`), notReloaded)
	for _, want := range []string{"smpp.sourse", "smpp.source", "wieght", "smpp.password", "NO_SUCH_SECRET"} {
		if !strings.Contains(logged, want) {
			t.Errorf("the log does not name %s", want)
		}
	}
	if strings.Contains(logged, "secret") {
		t.Error("the log tells the password")
	}
	if logged := s.reload("  - not YAML: [", notReloaded); !strings.Contains(logged, "carriers.yaml") {
		t.Error("the log does not name the file")
	}
	if len(s.routes()) != 2 {
		t.Errorf("%d routes after a broken file", len(s.routes()))
	}
	s.send(testserver.Number(3))
	added.await(testserver.Number(3))

	s.reload(strings.Replace(stays, "priority: 2,", "priority: 3, rate: 100,", 1), reloaded)
	s.send(testserver.Number(4))
	old.await(testserver.Number(4))
	if r := s.routes(); len(r) != 1 || r[0].Name != "old" {
		t.Errorf("the routes are %+v", r)
	}
	if n := old.binds(); n != 1 {
		t.Errorf("the route that stayed was bound %d times", n)
	}
	if n := len(old.messages()) + len(added.messages()); n != 4 {
		t.Errorf("%d messages for 4 sends", n)
	}
}

// TestDoctor asks carriers that run whether they let us in.
func TestDoctor(t *testing.T) {
	t.Parallel()
	peer, own, stranger := startSMSC(t, nil), gateway.New(t), gateway.New(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "carriers.yaml")
	// The route "forger" signs for the receiver of another.
	forger := strings.ReplaceAll(own.Route("forger", 1, ""), own.URL(), stranger.URL())
	routes := "routes:\n" + peer.route("main", 1, "", "") + own.Route("gateway", 1, "") + forger +
		strings.ReplaceAll(peer.route("intruder", 1, "", ""), "password: secret", "password: hunter2")
	if err := os.WriteFile(file, []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testserver.Start(t, testserver.Options{})
	cmd := exec.CommandContext(t.Context(), testserver.Binary(t), "doctor", "--data", s.Data, "--carriers", file)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	for _, want := range []string{
		`(?m)^ok +route main +smpp: lets us in \(\d+ ms\)$`,
		`(?m)^ok +route gateway +webhook: lets us in \(\d+ ms\)$`,
		`(?m)^FAIL +route intruder +smpp: .*ESME_RINVPASWD`,
		`(?m)^FAIL +route forger +webhook: .*signature.*401`,
		`(?m)2 of \d+ checks failed`,
	} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no line like %s in\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "hunter2") {
		t.Error("it tells a password")
	}
	if n := len(peer.messages()); n > 0 {
		t.Errorf("it sent %d messages", n)
	}
}
