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
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeword/api"
	"codeword/internal/waittest"
)

const (
	startLimit = waittest.Patience
	stopLimit  = waittest.Patience // for the drain's 20 s and some
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
	if c.err = touchSources(); c.err != nil {
		return
	}
	c.path = filepath.Join(dir, "codeword")
	cmd := exec.Command("go", "build", "-o", c.path, "codeword/cmd/codeword")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		c.err = fmt.Errorf("build the command: %w\n%s", err, text)
	}
}

// touchSources looks at every file that the command, or the generator, is made from. Go
// remembers what a test looked at, and repeats its result while that is the same: it does
// not see what a build reads.
func touchSources() error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	for _, of := range []string{"go.mod", "api", "bench", "client", "cmd", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, of), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
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
	// Database is the URL of a PostgreSQL database on which two nodes run, whatever
	// the engine under test is, and Ephemeral that of a Redis beside it, if any.
	Database, Ephemeral string
}

// Server is a running "codeword dev", or two of them on one database behind one
// address (engine.go). The fields of its Endpoint are those of the latest start.
type Server struct {
	*Endpoint
	// Data is the data directory; of the first node, if there are several.
	Data string

	tb        testing.TB
	opts      Options
	database  string // empty for the embedded engine
	ephemeral string // empty if there is no Redis
	nodes     []*node
	front     *splitter // nil for one node
}

// Start starts a server, waits until it is ready, and stops it when the test
// ends.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	dir := tb.TempDir()
	s := &Server{tb: tb, opts: opts, Data: opts.Data}
	if s.Data == "" {
		s.Data = filepath.Join(dir, "data")
	}
	engine := engineFor(tb, opts)
	s.database, s.ephemeral = engine.database, engine.ephemeral
	s.opts.Env = append(slices.Clone(engine.env), s.opts.Env...)
	for i := range engine.nodes {
		s.nodes = append(s.nodes, newNode(tb, filepath.Join(dir, fmt.Sprintf("server-%d.log", i)), s.Data))
	}
	if engine.nodes > 1 {
		s.front = split(tb)
		s.opts.Flags = append([]string{"--public-url", s.front.url()}, s.opts.Flags...)
		for i, n := range s.nodes[1:] {
			n.data = filepath.Join(dir, fmt.Sprintf("data-%d", i+1))
		}
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

// start starts all nodes, the first one before the others, which take its keyset.
func (s *Server) start() {
	s.tb.Helper()
	for i, n := range s.nodes {
		if i > 0 {
			n.takeKeyset(s.Data)
		}
		env := n.start(s.opts)
		if i == 0 {
			s.Endpoint = newEndpoint(s.tb, env)
		}
	}
	if s.front != nil {
		s.front.to(s.nodes)
		s.URL = s.front.url()
	}
}

// environ is the environment without settings of some other instance.
func environ() []string {
	var out []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CODEWORD_") && !strings.HasPrefix(entry, "OTEL_") {
			out = append(out, entry)
		}
	}
	return out
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

// PID is the process id of the first node's latest start.
func (s *Server) PID() int { return s.nodes[0].cmd.Process.Pid }

// Nodes are the nodes as callers reach each of them, rather than any.
func (s *Server) Nodes() []*Endpoint {
	out := make([]*Endpoint, len(s.nodes))
	for i, n := range s.nodes {
		e := *s.Endpoint
		e.URL, e.AdminURL = "http://"+n.listen[0], "http://"+n.listen[1]
		out[i] = &e
	}
	return out
}

// Kill ends all nodes with SIGKILL and waits until they are gone. It does nothing
// to a server that has ended.
func (s *Server) Kill() {
	for _, n := range s.nodes {
		n.kill()
	}
}

// Stop ends all nodes with SIGTERM and waits for their drain; a server that does
// not end in time fails the test.
func (s *Server) Stop() {
	for _, n := range s.nodes {
		n.terminate()
	}
	for _, n := range s.nodes {
		n.awaitEnd()
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
	var all strings.Builder
	for _, n := range s.nodes {
		raw, err := os.ReadFile(n.logPath)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.tb.Error(err)
		}
		all.Write(raw)
	}
	return all.String()
}

// Command runs another command of the binary and returns its standard output;
// a failure fails the test.
func (s *Server) Command(args ...string) []byte {
	s.tb.Helper()
	return run(s.tb, s.opts.Env, args...)
}

func run(tb testing.TB, env []string, args ...string) []byte {
	tb.Helper()
	cmd := exec.Command(Binary(tb), args...)
	cmd.Env = append(environ(), env...)
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
	c := createClient(s.tb, s.opts.Env, s.Data, name, live, settings)
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

// createClient adds a client to the instance whose data is in a directory.
func createClient(tb testing.TB, env []string, data, name string, live bool, settings string) Credentials {
	tb.Helper()
	args := []string{"client", "create", "--data", data, "--name", name, "--json"}
	if live {
		args = append(args, "--live")
	}
	if settings != "" {
		args = append(args, "--settings", settings)
	}
	var c Credentials
	if err := json.Unmarshal(run(tb, env, args...), &c); err != nil || c.ID == "" || c.Secret == "" {
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
