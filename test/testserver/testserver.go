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

// command is the binary, built by the first test of the process that needs it.
type command struct {
	once sync.Once
	path string
	err  error
}

var binary command

func (c *command) build() {
	dir, err := os.MkdirTemp("", "codeword-test-")
	if err != nil {
		c.err = err
		return
	}
	c.path = filepath.Join(dir, "codeword")
	cmd := exec.Command("go", "build", "-o", c.path, "codeword/cmd/codeword")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		c.err = fmt.Errorf("build the command: %w\n%s", err, text)
	}
}

// Main runs the tests and then removes the binary, if any of them needed it. It
// returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if binary.path != "" {
		_ = os.RemoveAll(filepath.Dir(binary.path)) // in the system's temporary directory
	}
	return code
}

// Binary returns the path of the command.
func Binary(tb testing.TB) string {
	tb.Helper()
	binary.once.Do(binary.build)
	if binary.err != nil {
		tb.Fatal(binary.err)
	}
	return binary.path
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

	tb      testing.TB
	opts    Options
	logPath string
	listen  [2]string // the addresses, public and admin, of every start
	cmd     *exec.Cmd
	ended   chan struct{}
}

// Start starts a server, waits until it is ready, and stops it when the test
// ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	dir := tb.TempDir()
	s := &Server{
		tb: tb, opts: opts, Data: opts.Data,
		logPath: filepath.Join(dir, "server.log"),
		listen:  [2]string{"127.0.0.1:0", "127.0.0.1:0"},
	}
	if s.Data == "" {
		s.Data = filepath.Join(dir, "data")
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			tb.Logf("the end of the server's log:\n%s", tail(s.Log(), 4<<10))
		}
	})
	s.start()
	return s
}

// start starts the server. After an end its port may be taken for a moment by
// somebody's outgoing connection, so a start on old addresses is tried again.
func (s *Server) start() {
	s.tb.Helper()
	for tries := 1; ; tries++ {
		env, err := s.launch()
		if err == nil {
			s.Endpoint = newEndpoint(s.tb, env)
			s.listen = [2]string{strings.TrimPrefix(s.URL, "http://"), strings.TrimPrefix(s.AdminURL, "http://")}
			return
		}
		s.Kill()
		log := tail(s.Log(), 4<<10)
		if tries == 5 || !strings.Contains(log, "address already in use") {
			s.tb.Fatalf("the server is not ready: %v\n%s", err, log)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// launch runs the command and waits until it is ready. A server that was killed
// left its dev.env behind, so it is removed first.
func (s *Server) launch() (map[string]string, error) {
	path := filepath.Join(s.Data, envFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own descriptor
	args := append([]string{"dev", "--listen", s.listen[0], "--admin-listen", s.listen[1], "--data", s.Data}, s.opts.Flags...)
	cmd := exec.Command(Binary(s.tb), args...)
	cmd.Env = append(environ(), s.opts.Env...)
	cmd.Stderr = out // what goes to stdout is for the person who started it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}(s.ended)
	return s.await(path)
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

// PID is the process id of the latest start.
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
		s.tb.Errorf("the server did not stop within %s", stopLimit)
	}
}

// Restart starts the server again on the same data and addresses, after ending
// it with Stop unless it has ended already.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.start()
}

// Log returns all that the server wrote to stderr so far, over all of its starts.
// Lines may be up to 100 ms late while it runs.
func (s *Server) Log() string {
	raw, err := os.ReadFile(s.logPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.tb.Error(err)
	}
	return string(raw)
}

// Command runs another command of the binary and returns its standard output;
// a failure fails the test.
func (s *Server) Command(args ...string) []byte {
	s.tb.Helper()
	return run(s.tb, args...)
}

func run(tb testing.TB, args ...string) []byte {
	tb.Helper()
	cmd := exec.Command(Binary(tb), args...)
	cmd.Env = environ()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("codeword %s: %v\n%s", strings.Join(args[:min(len(args), 2)], " "), err, stderr.Bytes())
	}
	return out
}

// CreateClient adds a client and waits until the running server knows it.
// settings is a JSON object over the defaults, or empty.
func (s *Server) CreateClient(name string, live bool, settings string) Credentials {
	s.tb.Helper()
	c := CreateClient(s.tb, s.Data, name, live, settings)
	for deadline := time.Now().Add(startLimit); ; time.Sleep(pollEvery) {
		_, err := s.Client(c).Session(s.tb.Context())
		switch {
		case errors.Is(err, api.CodeMissingAuthorization): // the credentials have passed
			return c
		case time.Now().After(deadline):
			s.tb.Fatalf("the server does not learn of a new client: %v", err)
		}
	}
}

// CreateClient adds a client to the instance whose data is in a directory. A
// server that runs on it learns of the client within a second.
func CreateClient(tb testing.TB, data, name string, live bool, settings string) Credentials {
	tb.Helper()
	args := []string{"client", "create", "--data", data, "--name", name, "--json"}
	if live {
		args = append(args, "--live")
	}
	if settings != "" {
		args = append(args, "--settings", settings)
	}
	var c Credentials
	if err := json.Unmarshal(run(tb, args...), &c); err != nil || c.ID == "" || c.Secret == "" {
		tb.Fatalf("client create printed no credentials: %v", err)
	}
	return c
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}
