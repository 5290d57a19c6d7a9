package app_test

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"codeword/internal/app"
)

// result is what one run of the command left.
type result struct {
	code     int
	out, err string
}

func run(t *testing.T, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	code := app.Run(t.Context(), args, strings.NewReader(""), &out, &stderr)
	return result{code, out.String(), stderr.String()}
}

// workspace is a directory with the files that the configurations name; it
// becomes the current one. The environment is emptied of settings.
func workspace(t *testing.T) (configs []string) {
	t.Helper()
	configs, err := filepath.Glob("testdata/serve/*.yaml")
	if err != nil || len(configs) == 0 {
		t.Fatalf("%d files, %v", len(configs), err)
	}
	for i := range configs {
		if configs[i], err = filepath.Abs(configs[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "CODEWORD_") {
			t.Setenv(name, value) // so that it is put back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Chdir(t.TempDir())
	if r := run(t, "keys", "init", "--keyset", "keyset.json"); r.code != 0 {
		t.Fatalf("keys init: %+v", r)
	}
	raw, err := os.ReadFile("keyset.json")
	if err != nil {
		t.Fatal(err)
	}
	write(t, "open.json", string(raw), 0o644)
	write(t, "damaged.json", string(raw[:len(raw)/2]), 0o600)
	return configs
}

func write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

var wants = regexp.MustCompile(`(?m)^# want: (.*)$`)

// TestCheckReportsEveryError runs serve --check over one file per rule. A
// file's first lines say what must be reported, and nothing else may be.
func TestCheckReportsEveryError(t *testing.T) {
	for _, path := range workspace(t) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		want := wants.FindAllStringSubmatch(string(raw), -1)
		r := run(t, "serve", "--check", "--config", path)
		if len(want) == 0 {
			if r.code != 0 || r.out != "configuration is good\n" || r.err != "" {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		if r.code != 2 || r.out != "" {
			t.Errorf("%s: exit code %d, output %q", name, r.code, r.out)
		}
		var rest []string
		for line := range strings.Lines(r.err) {
			if !strings.HasPrefix(line, "see 'codeword") && !strings.Contains(line, "see 'codeword serve --help'") {
				rest = append(rest, line)
			}
		}
		for _, w := range want {
			if !strings.Contains(r.err, "codeword: "+w[1]) {
				t.Errorf("%s: %q is not among\n%s", name, w[1], r.err)
			}
		}
		if len(rest) != len(want) {
			t.Errorf("%s: %d errors, want %d:\n%s", name, len(rest), len(want), r.err)
		}
		if strings.Contains(r.err, "0123456789abcdef") || strings.Contains(r.err, "1234567890123456") {
			t.Errorf("%s: the error shows the token:\n%s", name, r.err)
		}
	}
}

// TestShippedConfiguration: the file that is installed is good but for what is
// the operator's own.
func TestShippedConfiguration(t *testing.T) {
	shipped, err := filepath.Abs("../../deploy/codeword.yaml")
	if err != nil {
		t.Fatal(err)
	}
	carriers := filepath.Join(filepath.Dir(shipped), "carriers.yaml")
	workspace(t)
	t.Setenv("CODEWORD_ADMIN_TOKEN", strings.Repeat("t", 32))
	for _, name := range shippedVariables(t, carriers) {
		kind := map[string]string{"TWILIO_ACCOUNT_SID": "AC", "TWILIO_MESSAGING_SERVICE_SID": "MG"}[name]
		t.Setenv(name, kind+"0123456789abcdef0123456789abcdef")
	}
	r := run(t, "serve", "--check", "--config", shipped, "--carriers", carriers, "--keyset", "keyset.json", "--database", "sqlite:codeword.db")
	if r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// shippedVariables returns the names that a file takes from the environment.
func shippedVariables(t *testing.T, path string) (names []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$\{([A-Z_]+)\}`).FindAllStringSubmatch(string(raw), -1) {
		names = append(names, m[1])
	}
	if len(names) == 0 {
		t.Error("the file has its secrets in it")
	}
	return names
}

// TestPrecedence: the command line goes before the environment, that before
// the file, and that before the default.
func TestPrecedence(t *testing.T) {
	workspace(t)
	const rest = "database: sqlite:codeword.db\nkeyset: keyset.json\npublic-url: https://otp.example.com\n"
	t.Setenv("CODEWORD_ADMIN_TOKEN", strings.Repeat("t", 32))
	write(t, "plain.yaml", rest, 0o600)
	write(t, "file.yaml", rest+"listen: file\nmax-in-flight: 0\ntrusted-proxies:\n  - file\n", 0o600)

	check := func(where string, r result, want ...string) {
		t.Helper()
		for _, w := range want {
			if r.code != 2 || !strings.Contains(r.err, w) {
				t.Errorf("%s: %q is not in %+v", where, w, r)
			}
		}
	}
	if r := run(t, "serve", "--check", "--config", "plain.yaml"); r.code != 0 {
		t.Fatalf("the defaults: %+v", r)
	}
	check("file", run(t, "serve", "--check", "--config", "file.yaml"),
		`listen: "file"`, "max-in-flight: at least", `trusted-proxies: "file"`)
	t.Setenv("CODEWORD_LISTEN", "environment")
	t.Setenv("CODEWORD_MAX_IN_FLIGHT", "1")
	t.Setenv("CODEWORD_TRUSTED_PROXIES", "10.0.0.1,environment")
	r := run(t, "serve", "--check", "--config", "file.yaml")
	check("environment", r, `listen: "environment"`, `trusted-proxies: "environment"`)
	if strings.Contains(r.err, "max-in-flight") || strings.Contains(r.err, `"file"`) {
		t.Errorf("the file went before the environment: %s", r.err)
	}
	r = run(t, "serve", "--check", "--config", "file.yaml", "--listen", "flag", "--trusted-proxies", "flag")
	check("command line", r, `listen: "flag"`, `trusted-proxies: "flag"`)
	if strings.Contains(r.err, "environment") {
		t.Errorf("the environment went before the command line: %s", r.err)
	}
	t.Setenv("CODEWORD_CONFIG", "file.yaml")
	check("config by environment", run(t, "serve", "--check", "--listen", "flag"), `listen: "flag"`)
	t.Setenv("CODEWORD_CONFIG", "none.yaml")
	check("missing file", run(t, "serve", "--check"), "none.yaml")
}

// TestServeRefusesToStart: what is found out only at the start is a failure, not
// a wrong command line, and leaves no listener behind.
func TestServeRefusesToStart(t *testing.T) {
	workspace(t)
	t.Setenv("CODEWORD_ADMIN_TOKEN", strings.Repeat("t", 32))
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	write(t, "foreign.db", strings.Repeat("not a database ", 1000), 0o600)
	args := []string{"serve", "--keyset", "keyset.json", "--public-url", "https://otp.example.com", "--admin-listen", "127.0.0.1:0"}
	for want, more := range map[string][]string{
		"address already in use": {"--database", "sqlite:codeword.db", "--listen", taken.Addr().String()},
		"foreign.db":             {"--database", "sqlite:foreign.db", "--listen", "127.0.0.1:0"},
	} {
		if r := run(t, append(args, more...)...); r.code != 1 || !strings.Contains(r.err, want) {
			t.Errorf("%q is not in %+v", want, r)
		}
	}
}
