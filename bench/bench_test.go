package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this test binary stand in for the server: started as
// "PROGRAM dev …", as the bench starts it, it serves the few calls that the
// bench makes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "dev" {
		if err := standIn(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// fake is the stand-in's state. Codes are used once, bearers are checked.
type fake struct {
	mu       sync.Mutex
	codes    map[string]string
	busy     int // one send in so many is refused with 503
	sends    int
	brokenAt int // the send that is answered 500
}

func standIn(args []string) error {
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	data := flags.String("data", "", "")
	delivery := flags.String("delivery", "on", "")
	_ = flags.String("listen", "", "")
	_ = flags.String("admin-listen", "", "")
	f := &fake{codes: map[string]string{}}
	flags.IntVar(&f.busy, "busy", 0, "")
	flags.IntVar(&f.brokenAt, "broken-at", 0, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST "+pathSend, f.send)
	mux.HandleFunc("POST "+pathAuthenticate, f.authenticate)
	mux.HandleFunc("GET /admin/v1/inbox", f.inbox)
	mux.HandleFunc("GET /debug/pprof/profile", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "profile "+*delivery) })
	server := httptest.NewServer(mux)
	defer server.Close()
	env := "CODEWORD_URL=" + server.URL + "\nCODEWORD_ADMIN_URL=" + server.URL + "\nCODEWORD_ADMIN_TOKEN=admin\n" +
		"CODEWORD_CLIENT_ID=t\nCODEWORD_CLIENT_SECRET=ts\nCODEWORD_LIVE_CLIENT_ID=l\nCODEWORD_LIVE_CLIENT_SECRET=ls\n"
	if err := os.WriteFile(filepath.Join(*data, "dev.env"), []byte(env), 0o600); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	<-ctx.Done()
	return nil
}

func credentials(r *http.Request) bool {
	return r.Header.Get("ratio-client-id") == "l" && r.Header.Get("ratio-client-secret") == "ls"
}

func (f *fake) send(w http.ResponseWriter, r *http.Request) {
	var in struct{ PhoneNumber string }
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sends++
	bearer := r.Header.Get("Authorization")
	_, twice := f.codes[in.PhoneNumber]
	switch err := json.NewDecoder(r.Body).Decode(&in); {
	case err != nil || !credentials(r) || len(in.PhoneNumber) != 12 || twice || bearer != "" && bearer != "Bearer jwt":
		http.Error(w, "bad", http.StatusBadRequest)
		return
	case f.sends == f.brokenAt:
		http.Error(w, "broken", http.StatusInternalServerError)
		return
	case f.busy > 0 && f.sends%f.busy == 0:
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	f.codes[in.PhoneNumber] = fmt.Sprintf("%06d", f.sends%1_000_000)
	fmt.Fprintf(w, `{"phoneId":"id%s","phoneMask":"1"}`, in.PhoneNumber)
}

func (f *fake) authenticate(w http.ResponseWriter, r *http.Request) {
	var in struct{ PhoneID, OTP string }
	f.mu.Lock()
	defer f.mu.Unlock()
	err := json.NewDecoder(r.Body).Decode(&in)
	number := strings.TrimPrefix(in.PhoneID, "id")
	if err != nil || !credentials(r) || in.OTP == "" || f.codes[number] != in.OTP {
		http.Error(w, "bad", http.StatusUnauthorized)
		return
	}
	f.codes[number] = ""
	_, _ = io.WriteString(w, `{"sessionJwt":"jwt"}`)
}

func (f *fake) inbox(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer admin" {
		http.Error(w, "bad", http.StatusUnauthorized)
		return
	}
	number := r.URL.Query().Get("to")
	fmt.Fprintf(w, `{"messages":[{"id":"1","to":%q,"text":"Your code is %s. 12 3456789"},{"text":"old 000000"}]}`, number, f.codes[number])
}

// short runs the command with phases as short as they go.
func short(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("process accounting is read from Linux's /proc")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	var out, log strings.Builder
	args = append([]string{
		"-binary", self, "-tmp", tmp, "-duration", "200ms", "-warmup", "50ms", "-connections", "4",
		"-rate-connections", "8", "-codes", "300", "-bearers", "2", "-workload", "send",
	}, args...)
	err = run(t.Context(), args, &out, &log)
	left, readErr := os.ReadDir(tmp)
	if readErr != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, readErr)
	}
	if t.Failed() || testing.Verbose() {
		t.Log(log.String(), out.String())
	}
	return out.String(), err
}

func TestEveryWorkload(t *testing.T) {
	t.Parallel()
	out, err := short(t, "-workload", "bare,send,send-bearer,authenticate", "-preload", "700", "-json")
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Results) != 4 || rep.Machine.Cores < 1 || rep.Machine.Go == "" {
		t.Fatalf("report %+v", rep)
	}
	for i, want := range []string{workBare, workSend, workSendBearer, workAuthenticate} {
		r := rep.Results[i]
		if r.Workload != want || r.Status[200] == 0 || r.Answered != r.Status[200] || r.Throughput <= 0 {
			t.Errorf("%s: %+v", want, r)
		}
		if r.Latency.P50 <= 0 || r.Latency.P99 < r.Latency.P50 || r.Latency.Max < r.Latency.P999 || r.Memory <= 0 || r.ReadyMillis <= 0 {
			t.Errorf("%s: figures %+v", want, r)
		}
		if (r.Stored == 700) != (want != workBare) {
			t.Errorf("%s: %d stored", want, r.Stored)
		}
	}
	if used := rep.Results[3].Answered; used > 300 {
		t.Errorf("%d authentications with 300 codes", used)
	}
}

func TestOverloadAtAMultipleOfCapacity(t *testing.T) {
	t.Parallel()
	out, err := short(t, "-rate", "0.5x", "-server-args", "--busy=1000000", "-markdown")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.Contains(lines[4], "| max |") || !strings.Contains(lines[5], "generator late p99") {
		t.Errorf("report:\n%s", out)
	}
	for _, line := range lines[2:] {
		if strings.Count(line, "|") != strings.Count(lines[2], "|") {
			t.Errorf("row does not fit its heading: %s", line)
		}
	}
}

func TestRefusalsFailTheClosedLoopOnly(t *testing.T) {
	t.Parallel()
	if _, err := short(t, "-server-args", "--busy=5"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("closed loop with refusals: %v", err)
	}
	out, err := short(t, "-server-args", "--busy=5", "-rate", "300")
	if err != nil || !strings.Contains(out, "503 in p50") {
		t.Errorf("open loop with refusals: %v\n%s", err, out)
	}
	if _, err := short(t, "-server-args", "--broken-at=40", "-rate", "300", "-warmup", "0s"); err == nil || !strings.Contains(err.Error(), "500 broken") {
		t.Errorf("open loop with a failure: %v", err)
	}
}

func TestFailuresAreReported(t *testing.T) {
	t.Parallel()
	if _, err := short(t, "-server-args", "--no-such-flag"); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("server that refuses to start: %v", err)
	}
	if _, err := short(t, "-preload", "100", "-server-args", "--broken-at=40"); err == nil || !strings.Contains(err.Error(), "99 of 100") {
		t.Errorf("preload with a failure: %v", err)
	}
	if _, err := short(t, "-binary", "/nonexistent/codeword"); err == nil {
		t.Error("a missing binary was not reported")
	}
}

func TestProfileAndKeptData(t *testing.T) {
	t.Parallel()
	profiles, data := t.TempDir(), t.TempDir()
	if _, err := short(t, "-profile", profiles, "-data", data, "-delivery", "off"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(profiles, "send.pprof")); err != nil || string(got) != "profile off" {
		t.Errorf("profile %q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(data, "dev.env")); err != nil {
		t.Errorf("the data directory was not kept: %v", err)
	}
}

func TestBadOptionsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := parseOptions([]string{"-workload", "send,fly", "-connections", "0", "-rate", "3y", "-client", "x", "-delivery", "perhaps", "rest"}, io.Discard)
	for _, want := range []string{"fly", "-connections", "3y", "-client", "-delivery", "rest"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell of %s", err, want)
		}
	}
	for _, rate := range []string{"0", "-1", "x", "0x", "-3x", "NaNx", "Infx", "99999999999999999999"} {
		if _, err := parseOptions([]string{"-rate", rate}, io.Discard); err == nil {
			t.Errorf("-rate %s was accepted", rate)
		}
	}
}

func TestCodeIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Your code is 012345.":                        "012345",
		"call 5551234567, 1 2 3, then use 654321":     "654321",
		"123456 is your code\n\n@example.com #123456": "123456",
		"no code":      "",
		"1234567":      "",
		"":             "",
		"١٢٣٤٥٦ 12345": "",
	} {
		got, err := codeIn(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("codeIn(%q) = %q, %v", text, got, err)
		}
	}
}

func TestFilesystemOf(t *testing.T) {
	t.Parallel()
	mounts := "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /tmp rw shared:3 - tmpfs tmpfs rw\n3 2 0:6 / /tmp/deep rw - xfs /dev/b rw\nbroken\n"
	for path, want := range map[string]string{"/": "ext4", "/tmpfile": "ext4", "/tmp": "tmpfs", "/tmp/x": "tmpfs", "/tmp/deep/er": "xfs"} {
		if got := filesystemOf(mounts, path); got != want {
			t.Errorf("filesystemOf(%s) = %s, want %s", path, got, want)
		}
	}
	if got := filesystemOf("", "/x"); got != "unknown" {
		t.Errorf("without mounts: %s", got)
	}
}
