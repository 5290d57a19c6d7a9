// Package testserver runs the codeword command for black-box tests: it builds
// the binary once per test process, starts it as an operator would, and tells
// where it listens and with which credentials. What it starts it also ends.
//
// A package that uses it says so in its TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
package testserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"codeword/api"
)

const (
	startLimit = 30 * time.Second
	stopLimit  = 25 * time.Second // the drain's 20 s and some
	pollEvery  = 2 * time.Millisecond
	// envFile appears in the data directory once the server answers.
	envFile = "dev.env"
)

// binary is built by the first test that needs it and removed by Main.
var binary = sync.OnceValues(build)

func build() (string, error) {
	dir, err := os.MkdirTemp("", "codeword-test-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "codeword")
	cmd := exec.Command("go", "build", "-o", out, "codeword/cmd/codeword")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("build the command: %w\n%s", err, text)
	}
	return out, nil
}

// Main runs the tests and then removes the binary, if any of them built it. It
// returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	// A binary that nobody asked for is not built for the removal alone: a
	// second call returns what the first one made.
	if used.Load() {
		if path, err := binary(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	return code
}

// Binary returns the path of the command.
func Binary(t testing.TB) string {
	t.Helper()
	used.Store(true)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Options are how a server is started. The zero value is a fresh instance.
type Options struct {
	// Flags are further arguments of "codeword dev".
	Flags []string
	// Env are further environment variables, as "NAME=value".
	Env []string
	// Data is the data directory; a temporary one if empty.
	Data string
}

// Server is a running "codeword dev". The fields of its Endpoint are those of
// the latest start.
type Server struct {
	*Endpoint
	// Data is the data directory.
	Data string

	t       testing.TB
	opts    Options
	logPath string
	listen  [2]string // the addresses, public and admin, of every start
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start starts a server, waits until it is ready, and stops it when the test
// ends.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{
		t: t, opts: opts, Data: opts.Data,
		logPath: filepath.Join(dir, "server.log"),
		listen:  [2]string{"127.0.0.1:0", "127.0.0.1:0"},
	}
	if s.Data == "" {
		s.Data = filepath.Join(dir, "data")
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", tail(s.Log(), 4<<10))
		}
	})
	s.start()
	return s
}

// start runs the command. A server that was killed left its dev.env behind, so
// it is removed first.
func (s *Server) start() {
	s.t.Helper()
	path := filepath.Join(s.Data, envFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	out, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close() // the child has its own descriptor
	args := append([]string{"dev", "--listen", s.listen[0], "--admin-listen", s.listen[1], "--data", s.Data}, s.opts.Flags...)
	cmd := exec.Command(Binary(s.t), args...)
	cmd.Env = append(environ(), s.opts.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(s.ended)
	env, err := s.await(path)
	if err != nil {
		s.Kill()
		s.t.Fatalf("the server is not ready: %v\n%s", err, tail(s.Log(), 4<<10))
	}
	s.Endpoint = newEndpoint(s.t, env)
	s.listen = [2]string{strings.TrimPrefix(s.URL, "http://"), strings.TrimPrefix(s.AdminURL, "http://")}
}

// environ is the environment without settings of some other instance.
func environ() []string {
	var out []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CODEWORD_") {
			out = append(out, entry)
		}
	}
	return out
}

// await waits for dev.env and a first ready answer.
func (s *Server) await(path string) (map[string]string, error) {
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
		case <-s.ended:
			return nil, errors.New("it ended by itself")
		case <-time.After(pollEvery):
		}
	}
	return nil, fmt.Errorf("nothing after %s", startLimit)
}

// parseEnv reads NAME=value lines; values may be quoted for a shell.
func parseEnv(text string) map[string]string {
	env := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		env[strings.TrimPrefix(name, "export ")] = strings.Trim(value, `"'`)
	}
	return env
}

// PID is the process id of the running server.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Kill ends the server with SIGKILL and waits until it is gone. It does nothing
// to a server that has ended.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // fails only when it has ended
	<-s.ended
}

// Stop ends the server with SIGTERM and waits for its drain; a server that does
// not end in time fails the test.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-s.ended:
	case <-time.After(stopLimit):
		s.Kill()
		s.t.Errorf("the server did not stop within %s", stopLimit)
	}
}

// Restart starts the server again on the same data and addresses, after ending
// it with Stop unless it has ended already.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Log returns all that the server wrote so far, over all of its starts.
// Lines may be up to 100 ms late while it runs.
func (s *Server) Log() string {
	raw, err := os.ReadFile(s.logPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Error(err)
	}
	return string(raw)
}

// Command runs another command of the binary and returns its standard output;
// a failure fails the test.
func (s *Server) Command(args ...string) []byte {
	s.t.Helper()
	return command(s.t, args...)
}

func command(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(Binary(t), args...)
	cmd.Env = environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("codeword %s: %v\n%s", strings.Join(args[:min(len(args), 2)], " "), err, stderr.Bytes())
	}
	return out
}

// CreateClient adds a client and waits until the running server knows it.
// settings is a JSON object over the defaults, or empty.
func (s *Server) CreateClient(name string, live bool, settings string) Credentials {
	s.t.Helper()
	c := CreateClient(s.t, s.Data, name, live, settings)
	for deadline := time.Now().Add(startLimit); ; time.Sleep(pollEvery) {
		_, err := s.Client(c).Session(s.t.Context())
		switch {
		case errors.Is(err, api.CodeMissingAuthorization): // the credentials have passed
			return c
		case time.Now().After(deadline):
			s.t.Fatalf("the server does not learn of a new client: %v", err)
		}
	}
}

// CreateClient adds a client to the instance whose data is in a directory. A
// server that runs on it learns of the client within a second.
func CreateClient(t testing.TB, data, name string, live bool, settings string) Credentials {
	t.Helper()
	args := []string{"client", "create", "--data", data, "--name", name, "--json"}
	if live {
		args = append(args, "--live")
	}
	if settings != "" {
		args = append(args, "--settings", settings)
	}
	var c Credentials
	if err := json.Unmarshal(command(t, args...), &c); err != nil || c.ID == "" || c.Secret == "" {
		t.Fatalf("client create printed no credentials: %v", err)
	}
	return c
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
