package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"codeword/internal/addresstest"
	"codeword/internal/waittest"
)

const (
	startLimit = waittest.Patience
	stopLimit  = waittest.Patience
	pollEvery  = 10 * time.Millisecond
)

// Options are how a server runs.
type Options struct {
	// Settings are further ones, as name=value.
	Settings []string
}

// Server is a PostgreSQL server of the test's own.
type Server struct {
	dir, bin string
	port     int
	release  func() // gives the port back
	opts     Options
	cred     *syscall.Credential

	cmd *exec.Cmd
	// hold ends the server when it is closed, and so when this process ends.
	hold io.Closer
}

// Start starts a server that syncs to the disk, for tests that stop, kill or pause
// it. It ends with the test.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	Need(tb)
	s, err := launch(opts, false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Resume()
		s.Kill()
		s.release()
		_ = os.RemoveAll(s.dir) // in the system's temporary directory
	})
	return s
}

// launch makes a cluster and starts it. One that is forgotten removes itself when
// this process has ended.
func launch(opts Options, forget bool) (s *Server, err error) {
	s = &Server{opts: opts}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "codeword-postgres-"); err != nil {
		return nil, err
	}
	if s.cred, err = dropRoot(s.dir); err != nil {
		return nil, err
	}
	initdb := s.command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale", "C")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, s.release, err = addresstest.Port(); err != nil {
		return nil, err
	}
	return s, s.start(forget)
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd
}

// supervise runs the server until its own input ends, which it does at the latest
// with the process that holds the other end.
const supervise = `
exec 3<&0
"$@" >>"$LOG" 2>&1 </dev/null &
pid=$!
(cat <&3 >/dev/null; kill -QUIT $pid) 2>/dev/null &
wait $pid
[ -z "$FORGET" ] || { cat <&3 >/dev/null; rm -rf "$FORGET"; }
`

func (s *Server) start(forget bool) error {
	args := []string{"-c", supervise, "postgres", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port), "-k", s.dir}
	for _, set := range append([]string{
		"listen_addresses=127.0.0.1", "max_connections=200", "shared_buffers=128MB", "max_wal_size=2GB",
	}, s.opts.Settings...) {
		args = append(args, "-c", set)
	}
	cmd := s.command("sh", args...)
	cmd.Env = append(cmd.Env, "LOG="+filepath.Join(s.dir, "log"))
	if forget {
		cmd.Env = append(cmd.Env, "FORGET="+s.dir)
	}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.hold = cmd, hold
	return s.await()
}

// await waits until the server takes connections.
func (s *Server) await() error {
	var err error
	for deadline := time.Now().Add(startLimit); time.Now().Before(deadline); time.Sleep(pollEvery) {
		var conn *pgx.Conn
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if conn, err = pgx.Connect(ctx, s.URL()); err == nil {
			err = conn.Close(ctx)
			cancel()
			return err
		}
		cancel()
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // for the message only
	return fmt.Errorf("postgres did not start: %w\n%s", err, log)
}

// URL is that of the server's own database, for its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// pid is the postmaster's; 0 when it does not run.
func (s *Server) pid() int {
	raw, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := bytes.Cut(raw, []byte("\n"))
	pid, _ := strconv.Atoi(string(first)) // 0 is none
	return pid
}

// Kill ends the server at once, as "pg_ctl stop -m immediate" does: without a
// checkpoint, so that the next start recovers from the log.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

// Stop ends the server as an operator would: sessions are ended, and a checkpoint is made.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

func (s *Server) end(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	if pid := s.pid(); pid != 0 {
		_ = syscall.Kill(pid, signal) // it may have gone by itself
	}
	ended := make(chan struct{})
	go func() {
		_ = s.cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill() // nothing else is left to do
	}
	_ = s.hold.Close() // the reader has gone
	s.cmd = nil
}

// Restart starts the server again, on its data and its port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.start(false); err != nil {
		tb.Fatal(err)
	}
}

// Pause stops all of the server's processes where they stand; Resume lets them go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, sig) // it may have ended meanwhile
	}
}

// processes are the postmaster and its children, where /proc tells.
func (s *Server) processes() []int {
	postmaster := s.pid()
	if postmaster == 0 {
		return nil
	}
	out := []int{postmaster}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", postmaster, postmaster)) // empty elsewhere
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
