// Package target runs the server under test as a child process and tells what it
// used: the figures come from the kernel's accounting, not from the server.
package target

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second // what a drain may take, then it is killed
	pollEvery  = time.Millisecond
)

// Config says what to start.
type Config struct {
	Command []string // program and arguments
	Data    string   // the directory in which the program writes dev.env once it answers
	Log     string   // file for its output; it is appended to
}

// Server is a running child. Stop must be called.
type Server struct {
	Env   map[string]string // contents of dev.env
	Ready time.Duration     // from exec to the first 200 on /readyz
	cmd   *exec.Cmd
	log   string
	done  chan struct{} // closed when the child has ended
	err   error         // how it ended; valid once done is closed
}

// Start starts the child and waits until it is ready. When ctx ends first, or
// the child does, the child is gone when Start returns, and the error carries the
// end of its log.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	envFile := filepath.Join(cfg.Data, "dev.env")
	if err := os.Remove(envFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log, err := os.OpenFile(cfg.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	// Not bound to ctx: Stop ends it with a drain, where a context would kill it.
	cmd := exec.Command(cfg.Command[0], cfg.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = withoutSettings(os.Environ())
	s := &Server{cmd: cmd, log: cfg.Log, done: make(chan struct{})}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.awaitReady(ctx, envFile); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s is not ready: %w\n%s", filepath.Base(cfg.Command[0]), err, s.LogTail())
	}
	s.Ready = time.Since(began)
	return s, nil
}

// withoutSettings drops CODEWORD_ variables: a shell that sourced some dev.env
// must not change what is measured.
func withoutSettings(environ []string) []string {
	kept := make([]string, 0, len(environ))
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "CODEWORD_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

func (s *Server) awaitReady(ctx context.Context, envFile string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for {
		if s.Env == nil {
			if raw, err := os.ReadFile(envFile); err == nil {
				if env := ParseEnv(string(raw)); env["CODEWORD_URL"] != "" {
					s.Env = env
				}
			}
		}
		if s.Env != nil && answers(ctx, client, s.Env["CODEWORD_URL"]+"/readyz") {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("it ended: %w", s.exit())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Alive returns an error when the child has ended.
func (s *Server) Alive() error {
	select {
	case <-s.done:
		return fmt.Errorf("the server ended: %w\n%s", s.exit(), s.LogTail())
	default:
		return nil
	}
}

func (s *Server) exit() error {
	if s.err == nil {
		return errors.New("exit status 0")
	}
	return s.err
}

// Stop asks the child to end, kills it when it takes over 20 s, and returns how
// long it took. It may be called again.
func (s *Server) Stop() time.Duration {
	began := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	return time.Since(began)
}

// Usage reads what the child has used so far.
func (s *Server) Usage() (Usage, error) { return ReadUsage(s.cmd.Process.Pid) }

// LogTail returns the last 4 KiB that the child wrote.
func (s *Server) LogTail() string {
	const tail = 4 << 10
	f, err := os.Open(s.log)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	buf := make([]byte, tail)
	n, _ := f.ReadAt(buf, max(info.Size()-tail, 0))
	return string(buf[:n])
}

// ParseEnv reads KEY=VALUE lines as a shell would source them: comments, an
// "export" before the key and quotes around the value are allowed.
func ParseEnv(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		env[key] = value
	}
	return env
}
