// Package peers runs independent implementations, in Node.js, that the tests
// hold this service against: an SMPP server, an OpenID provider, Twilio's and Standard
// Webhooks' own signature code, and a counter of SMS segments. "make test" installs them
// from the lock file beside this one.
package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"codeword/internal/waittest"
)

// Required names the environment variable under which a missing peer fails a
// test instead of skipping it. "make test" sets it.
const Required = "CODEWORD_PEERS"

// Dir is the directory of this package, where the scripts and their modules are.
func Dir(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("peers: no caller")
	}
	return filepath.Dir(file)
}

// command returns a command that runs a script of this package.
func command(ctx context.Context, tb testing.TB, script string, args ...string) *exec.Cmd {
	tb.Helper()
	dir := Dir(tb)
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	}
	if err != nil {
		if os.Getenv(Required) != "" {
			tb.Fatalf("peers: %v; scripts/peers.sh installs them", err)
		}
		tb.Skipf("peers are not installed (scripts/peers.sh): %v", err)
	}
	cmd := exec.CommandContext(ctx, node, append([]string{filepath.Join(dir, script)}, args...)...)
	cmd.Dir = dir
	return cmd
}

// Call runs a script with in as JSON on its standard input, and reads its
// standard output as JSON into out.
func Call(tb testing.TB, script string, in, out any) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, tb, script)
	raw, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("peers: %s: %v\n%s", script, err, stderr.Bytes())
	}
	if err := json.Unmarshal(stdout.Bytes(), out); err != nil {
		tb.Fatalf("peers: %s: %v in %q", script, err, stdout.Bytes())
	}
}

// Process is a running script that writes lines.
type Process struct {
	// Lines brings what it writes to standard output, line by line; closed at
	// its end.
	Lines <-chan string
	tb    testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
}

// Start runs a script until the test ends.
func Start(tb testing.TB, script string, args ...string) *Process {
	tb.Helper()
	cmd := command(context.WithoutCancel(tb.Context()), tb, script, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := make(chan string, 1<<16)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			lines <- s.Text()
		}
	}()
	p := &Process{Lines: lines, tb: tb, cmd: cmd, in: in}
	tb.Cleanup(func() {
		p.Kill()
		go func() {
			for range lines { // so that the reader ends
			}
		}()
		<-read
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			tb.Errorf("peers: %s: %v", script, err)
		}
		if tb.Failed() && stderr.Len() > 0 {
			tb.Logf("peers: %s wrote\n%s", script, stderr.Bytes())
		}
	})
	return p
}

// Line returns the next line.
func (p *Process) Line() string {
	p.tb.Helper()
	select {
	case line, ok := <-p.Lines:
		if !ok {
			p.tb.Fatal("peers: the process has ended")
		}
		return line
	case <-time.After(waittest.Patience):
		p.tb.Fatalf("peers: no line within %v", waittest.Patience)
	}
	return ""
}

// Tell writes a line to the process's standard input.
func (p *Process) Tell(line string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.tb.Fatalf("peers: %v", err)
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig os.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.tb.Fatalf("peers: %v", err)
	}
}

// Kill ends the process at once (SIGKILL). It may be called twice.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }
