package target_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"codeword/bench/internal/target"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	line := func(name, user, system string) string {
		return "4242 (" + name + ") S 1 4242 4242 0 -1 4194304 2000 0 0 0 " + user + " " + system + " 0 0 20 0 9 0 1000 1 2"
	}
	for name, test := range map[string]struct {
		in   string
		want time.Duration
		bad  bool
	}{
		"plain":            {in: line("codeword", "150", "50"), want: 2 * time.Second},
		"spaces in name":   {in: line("a b c", "1", "0"), want: 10 * time.Millisecond},
		"brackets in name": {in: line("x) S 1 2 (y", "1", "2"), want: 30 * time.Millisecond},
		"empty":            {bad: true},
		"cut":              {in: "1 (x) S 1 2 3", bad: true},
		"not a number":     {in: line("x", "lots", "1"), bad: true},
		"overflow":         {in: line("x", "99999999999999999999", "1"), bad: true},
	} {
		got, err := target.ParseStat(test.in)
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	resident, peak, err := target.ParseStatus("Name:\tx\nVmHWM:\t   3000 kB\nVmRSS:\t   2000 kB\nThreads:\t3\n")
	if resident != 2000<<10 || peak != 3000<<10 || err != nil {
		t.Errorf("%d, %d, %v", resident, peak, err)
	}
	for _, bad := range []string{"", "Name:\tzombie\n", "VmRSS:\t1 kB\n", "VmRSS:\tmuch\nVmHWM:\t1 kB\n"} {
		if _, _, err := target.ParseStatus(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseEnv(t *testing.T) {
	t.Parallel()
	got := target.ParseEnv("# how to reach it\nCODEWORD_URL=http://127.0.0.1:1\nexport A='b c'\r\nD=\"e=f\"\n\nnonsense\n=x\nQ='\nE=\n")
	want := map[string]string{"CODEWORD_URL": "http://127.0.0.1:1", "A": "b c", "D": "e=f", "Q": "'", "E": ""}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReadUsageOfThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("process accounting is read from Linux's /proc")
	}
	before, err := target.ReadUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if before.Resident < 1<<20 || before.Peak < before.Resident {
		t.Errorf("usage %+v", before)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		after, err := target.ReadUsage(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after.CPU > before.CPU {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a busy process used no CPU time in 10 s")
		}
	}
}

// start runs a shell script as the server; $1 is its data directory, $2 the URL
// of something that is ready.
func start(ctx context.Context, t *testing.T, script string) (*target.Server, error) {
	t.Helper()
	ready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(ready.Close)
	data := t.TempDir()
	stale := filepath.Join(data, "dev.env")
	if err := os.WriteFile(stale, []byte("CODEWORD_URL="+ready.URL+"\nSTALE=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return target.Start(ctx, target.Config{
		Command: []string{"/bin/sh", "-c", script, "sh", data, ready.URL},
		Data:    data, Log: filepath.Join(data, "log"),
	})
}

func TestStartWaitsForReadinessAndStops(t *testing.T) {
	t.Setenv("CODEWORD_LISTEN", "from the shell")
	s, err := start(t.Context(), t, `echo "CODEWORD_URL=$2
SETTING=$CODEWORD_LISTEN" >"$1/dev.env"; exec sleep 60`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	if s.Env["STALE"] != "" || s.Env["SETTING"] != "" || s.Ready <= 0 {
		t.Errorf("env %v, ready after %v", s.Env, s.Ready)
	}
	if err := s.Alive(); err != nil {
		t.Error(err)
	}
	if took := s.Stop(); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	if s.Alive() == nil {
		t.Error("alive after Stop")
	}
	s.Stop()
}

func TestStartReportsAChildThatEnds(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{"echo unknown flag; exit 3": "exit status 3", "exit 0": "exit status 0"} {
		_, err := start(t.Context(), t, script)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", script, err)
		}
		if err != nil && strings.Contains(script, "echo") && !strings.Contains(err.Error(), "unknown flag") {
			t.Errorf("the log is not in the error: %v", err)
		}
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := start(ctx, t, "exec sleep 60"); err == nil || ctx.Err() == nil {
		t.Errorf("error %v", err)
	}
}
