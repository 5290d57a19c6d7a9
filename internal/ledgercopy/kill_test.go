package ledgercopy_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"codeword/internal/ledgercopy"
)

// childVariables tell a process that it is to copy: engines and places.
var childVariables = [...]string{"LEDGERCOPY_FROM", "LEDGERCOPY_FROM_PLACE", "LEDGERCOPY_TO", "LEDGERCOPY_TO_PLACE"}

// TestChild is the process that TestKilled kills.
func TestChild(t *testing.T) {
	var value [len(childVariables)]string
	for i, name := range childVariables {
		if value[i] = os.Getenv(name); value[i] == "" {
			t.Skip("not a child")
		}
	}
	source, target := engines[value[0]].open(t, value[1]), engines[value[2]].open(t, value[3])
	_, err := ledgercopy.Run(context.Background(), ledgercopy.Config{
		Source: source, Target: target, Now: copyTime, Slice: 20,
		Progress: func(table string, rows int) { fmt.Println(table, rows) },
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestKilled kills a process that copies (SIGKILL) again and again, each one a little
// later than the one before, until one ends by itself.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"sqlite", "postgres"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			place, targetPlace := engines["sqlite"].place(t), engines[to].place(t)
			source := engines["sqlite"].open(t, place)
			fill(t, source, 300)
			if err := source.Close(); err != nil {
				t.Fatal(err)
			}
			killed, lines := 0, 0
			for done := false; !done; {
				var n int
				if n, done = copyAndKill(t, [...]string{"sqlite", place, to, targetPlace}, lines+5); n > lines {
					lines = n
				}
				if !done {
					killed++
				}
			}
			if killed < 5 {
				t.Errorf("only %d processes were killed", killed)
			}
			source, target := engines["sqlite"].open(t, place), engines[to].open(t, targetPlace)
			compareLedgers(t, source, target)
		})
	}
}

// copyAndKill runs a child and kills it after some lines of progress. It returns how
// many it saw, and whether the child ended by itself.
func copyAndKill(t *testing.T, value [len(childVariables)]string, after int) (lines int, done bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChild$")
	cmd.Env = os.Environ()
	for i, name := range childVariables {
		cmd.Env = append(cmd.Env, name+"="+value[i])
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for progress := bufio.NewScanner(out); progress.Scan(); {
		if lines++; lines == after {
			_ = cmd.Process.Kill() // in the middle of the next slice, or of its commit
		}
	}
	return lines, cmd.Wait() == nil
}
