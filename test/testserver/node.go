package testserver

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keysetFile is what nodes on one database have in common.
const keysetFile = "keyset.json"

// node is one process of a server.
type node struct {
	tb            testing.TB
	data, logPath string
	listen        [2]string // the addresses, public and admin, of every start
	cmd           *exec.Cmd
	ended         chan struct{}
}

func newNode(tb testing.TB, logPath, data string) *node {
	tb.Helper()
	return &node{tb: tb, data: data, logPath: logPath, listen: [2]string{"127.0.0.1:0", "127.0.0.1:0"}}
}

// takeKeyset copies the keyset of the first node.
func (n *node) takeKeyset(from string) {
	n.tb.Helper()
	raw, err := os.ReadFile(filepath.Join(from, keysetFile))
	if err == nil {
		err = os.MkdirAll(n.data, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(n.data, keysetFile), raw, 0o600)
	}
	if err != nil {
		n.tb.Fatal(err)
	}
}

// start starts the node and returns its dev.env. After an end its port may be taken
// for a moment by somebody's outgoing connection, so a start on old addresses is
// tried again.
func (n *node) start(opts Options) map[string]string {
	n.tb.Helper()
	for tries := 1; ; tries++ {
		env, err := n.launch(opts)
		if err == nil {
			n.listen = [2]string{
				strings.TrimPrefix(env["CODEWORD_URL"], "http://"), strings.TrimPrefix(env["CODEWORD_ADMIN_URL"], "http://"),
			}
			return env
		}
		n.kill()
		raw, _ := os.ReadFile(n.logPath) // for the message only
		log := tail(string(raw), 4<<10)
		if tries == 5 || !strings.Contains(log, "address already in use") {
			n.tb.Fatalf("the server is not ready: %v\n%s", err, log)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// launch runs the command and waits until it is ready. A server that was killed
// left its dev.env behind, so it is removed first.
func (n *node) launch(opts Options) (map[string]string, error) {
	path := filepath.Join(n.data, envFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, err := os.OpenFile(n.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own descriptor
	args := append([]string{"dev", "--listen", n.listen[0], "--admin-listen", n.listen[1], "--data", n.data}, opts.Flags...)
	cmd := exec.Command(Binary(n.tb), args...)
	cmd.Env = append(environ(), opts.Env...)
	cmd.Stderr = out // what goes to stdout is for the person who started it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n.cmd, n.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(n.ended)
	return n.await(path)
}

// await waits for dev.env and a first ready answer.
func (n *node) await(path string) (map[string]string, error) {
	probe := &http.Client{Timeout: time.Second}
	defer probe.CloseIdleConnections()
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); {
		if raw, err := os.ReadFile(path); err == nil {
			env := parseEnv(string(raw))
			if resp, err := probe.Get(env["CODEWORD_URL"] + "/readyz"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return env, nil
				}
			}
		}
		select {
		case <-n.ended:
			return nil, errors.New("it ended by itself")
		case <-time.After(pollEvery):
		}
	}
	return nil, fmt.Errorf("nothing after %s", startLimit)
}

func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill() // fails only when it has ended
	<-n.ended
}

func (n *node) terminate() {
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	}
}

// awaitEnd waits for the drain that terminate began.
func (n *node) awaitEnd() {
	if n.cmd == nil {
		return
	}
	select {
	case <-n.ended:
	case <-time.After(stopLimit):
		n.kill()
		n.tb.Errorf("the server did not stop within %s", stopLimit)
	}
}
