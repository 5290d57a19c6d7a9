package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"codeword/internal/addresstest"
	"codeword/internal/waittest"
)

const (
	startLimit = waittest.Patience
	pollEvery  = 10 * time.Millisecond
	callLimit  = waittest.Patience
	pidFile    = "redis.pid"
)

// Server is one process.
type Server struct {
	Port     int
	dir      string
	settings []string
	// args are of the program, after its configuration.
	args  []string
	cmd   *exec.Cmd
	ended chan struct{}
}

// start runs a server on a port until the test ends.
func start(tb testing.TB, port int, settings ...string) *Server {
	tb.Helper()
	return (&Server{Port: port, settings: settings}).start(tb)
}

func (s *Server) start(tb testing.TB) *Server {
	tb.Helper()
	s.dir = tb.TempDir()
	tb.Cleanup(s.Kill)
	s.Restart(tb)
	return s
}

// Addr is where it listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// URL is what the engine is opened with.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Restart starts the server, on what it saved, after Kill.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	path, err := program()
	if err != nil {
		tb.Fatal(err)
	}
	lines := append([]string{
		"bind 127.0.0.1", "port " + strconv.Itoa(s.Port), "dir " + s.dir, "pidfile " + filepath.Join(s.dir, pidFile), `save ""`, "daemonize no", "protected-mode no",
	}, s.settings...)
	conf := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	cmd := exec.Command(path, append([]string{conf}, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	s.cmd, s.ended = cmd, ended
	s.await(tb)
}

func (s *Server) await(tb testing.TB) {
	tb.Helper()
	var err error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(pollEvery) {
		if _, err = s.try("PING"); err == nil {
			return
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // for the message only
			tb.Fatalf("redistest: the server ended: %s", log)
		default:
		}
	}
	tb.Fatalf("redistest: the server does not answer: %v", err)
}

// Kill ends the process at once.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.ended
	s.cmd = nil
}

// Pause stops the process where it stands; Resume lets it go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	}
}

// CPU is how much processor time the process has used, where /proc tells.
func (s *Server) CPU() time.Duration {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid)) // empty elsewhere
	_, after, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(after)
	const user, system = 11, 12
	if len(fields) <= system {
		return 0
	}
	var ticks int64
	for _, i := range []int{user, system} {
		n, _ := strconv.ParseInt(fields[i], 10, 64) // a number
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Do carries out one command and fails the test when the server refuses it.
func (s *Server) Do(tb testing.TB, words ...string) rueidis.RedisMessage {
	tb.Helper()
	out, err := s.try(words...)
	if err != nil {
		tb.Fatalf("redistest: %v: %v", words, err)
	}
	return out
}

func (s *Server) try(words ...string) (rueidis.RedisMessage, error) {
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.Addr()}, ForceSingleClient: true, DisableCache: true, DisableRetry: true,
	})
	if err != nil {
		return rueidis.RedisMessage{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	out, err := c.Do(ctx, c.B().Arbitrary(words...).Build()).ToMessage()
	if rueidis.IsRedisNil(err) {
		err = nil
	}
	return out, err
}

// freePort finds a port that nobody else is given until the test ends.
func freePort(tb testing.TB) int {
	tb.Helper()
	port, release, err := addresstest.Port()
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(release)
	return port
}
