// Package cli tests the command line as an operator meets it: readable scripts
// run the command and look at its exit code, output and files.
package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"codeword/internal/addresstest"
	"codeword/internal/app"
	"codeword/internal/store/postgres/postgrestest"
	"codeword/internal/store/redis/redistest"
	"codeword/internal/waittest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"codeword": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := app.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}})
}

// engines are the conditions that scripts ask for: "[!postgres] skip".
var engines = map[string]func() bool{"postgres": postgrestest.Wanted, "redis": redistest.Wanted}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// The race detector's runtime sleeps for a second at every exit.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"ready":   ready,
			"soon":    soon,
			"capture": capture,
			"mode":    mode,
			"damage":  damage,
			"get":     get,
			"term":    term,
			"address": address,
			// postgres NAME sets a variable to the URL of an empty database.
			"postgres": func(ts *testscript.TestScript, _ bool, args []string) { ts.Setenv(args[0], postgrestest.New(t)) },
			// redis NAME SETTING… sets a variable to the URL of an empty server with those settings.
			"redis": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Setenv(args[0], redistest.Single(t, args[1:]...).URL())
			},
		},
		Condition: func(name string) (bool, error) {
			wanted, ok := engines[name]
			if !ok {
				return false, fmt.Errorf("there is no engine %q", name)
			}
			return wanted(), nil
		},
	})
}

// exits CODE COMMAND… runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	default:
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// ready FILE waits for a dev.env and sets its variables.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	until(ts, args[0]+" did not appear", func() bool {
		raw, err := os.ReadFile(path)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(raw)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			ts.Setenv(name, value)
		}
		return true
	})
}

// soon PATTERN COMMAND… runs a command until its output, or what it says is wrong, matches.
func soon(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	until(ts, "no match for "+args[0], func() bool {
		_ = ts.Exec(args[1], args[2:]...) // the output tells
		return re.MatchString(ts.ReadFile("stdout")) || re.MatchString(ts.ReadFile("stderr"))
	})
}

// until polls until something holds.
func until(ts *testscript.TestScript, otherwise string, holds func() bool) {
	for deadline := time.Now().Add(waittest.Patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s within %v", otherwise, waittest.Patience)
		}
	}
}

// term sends SIGTERM to whatever runs in the background.
func term(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// address NAME sets a variable to a loopback address with a free port.
func address(ts *testscript.TestScript, _ bool, args []string) {
	free, err := addresstest.Free()
	ts.Check(err)
	ts.Setenv(args[0], free)
}

// capture NAME PATTERN sets a variable to what the pattern's group matches in
// the last output.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// mode PERM FILE checks a file's permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// damage FILE overwrites the middle of a file.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	raw, err := os.ReadFile(path)
	ts.Check(err)
	for i := 4096; i < len(raw)-4096; i += 512 {
		copy(raw[i:], "damaged damaged damaged")
	}
	ts.Check(os.WriteFile(path, raw, 0o600))
}

// get URL TOKEN PATTERN gets a page until its body matches.
func get(ts *testscript.TestScript, _ bool, args []string) {
	re, err := regexp.Compile(args[2])
	ts.Check(err)
	for deadline := time.Now().Add(waittest.Patience); ; time.Sleep(10 * time.Millisecond) {
		body, err := fetch(args[0], args[1])
		if err == nil {
			if m := re.FindStringSubmatch(body); m != nil {
				if len(m) > 1 {
					ts.Setenv("MATCH", m[1])
				}
				return
			}
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: %v; the body is %.300s", args[0], err, body)
		}
	}
}

func fetch(url, token string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Client{Timeout: waittest.Patience}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body), err
}
