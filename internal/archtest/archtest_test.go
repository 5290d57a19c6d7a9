// Package archtest keeps the shape of the code base: which package may import
// which, what packages are called, and how long files and functions get. The
// rules are those of docs/architecture.md; rules_test.go holds them as data.
//
// It reads the source itself rather than asking the go command, so that files
// behind build constraints count too, and so that the test cache notices every
// edit.
package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// repositoryRoot is where the main module's go.mod lies, seen from here.
const repositoryRoot = "../.."

func loadRepository(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := load(os.DirFS(repositoryRoot))
	if err != nil {
		t.Fatalf("read the source tree: %v", err)
	}
	if len(pkgs) == 0 {
		t.Fatal("no Go package found: is the repository root right?")
	}
	return pkgs
}

func TestRepositoryFollowsTheRules(t *testing.T) {
	pkgs := loadRepository(t)
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range pkgs {
				for _, v := range c.find(p) {
					t.Error(v)
				}
			}
		})
	}
}

// TestRulesCatch proves that each rule can fail: one offending tree each.
func TestRulesCatch(t *testing.T) {
	for _, tc := range []struct {
		name, check, path, src, want string
	}{
		{
			"engine from the server", "imports", "internal/server/a.go",
			src("server", "codeword/internal/store/sqlite"),
			"internal/server imports codeword/internal/store/sqlite",
		},
		{
			"carrier from the console, deep", "imports", "internal/console/pages/a.go",
			src("pages", "codeword/internal/carrier/smpp"),
			"internal/console/pages imports codeword/internal/carrier/smpp",
		},
		{
			"engine from another engine", "imports", "internal/store/redis/a.go",
			src("redis", "codeword/internal/store/sqlite"),
			"internal/store/redis imports codeword/internal/store/sqlite",
		},
		{
			"server from an engine", "imports", "internal/store/sqlite/a.go",
			src("sqlite", "codeword/internal/server"),
			"internal/store/sqlite imports codeword/internal/server",
		},
		{
			"library from the domain", "imports", "internal/otp/a.go",
			src("otp", "github.com/google/uuid"),
			"internal/otp imports github.com/google/uuid",
		},
		{
			"delivery from the domain", "imports", "internal/otp/a.go",
			src("otp", "codeword/internal/delivery"),
			"internal/otp imports codeword/internal/delivery",
		},
		{
			"own package from guard", "imports", "internal/guard/a.go",
			src("guard", "codeword/internal/store"),
			"internal/guard imports codeword/internal/store",
		},
		{
			"anything but guard from store", "imports", "internal/store/a.go",
			src("store", "codeword/internal/otp"),
			"internal/store imports codeword/internal/otp",
		},
		{
			"internals from the public client", "imports", "client/a.go",
			src("client", "codeword/internal/phone"),
			"client imports codeword/internal/phone",
		},
		{
			"wiring from below", "imports", "internal/delivery/a.go",
			src("delivery", "codeword/internal/app"),
			"internal/delivery imports codeword/internal/app",
		},
		{
			"more than app from main", "imports", "cmd/codeword/main.go",
			src("main", "codeword/internal/otp"),
			"cmd/codeword imports codeword/internal/otp",
		},
		{
			"test kit from the product", "imports", "internal/app/a.go",
			src("app", "codeword/internal/store/storetest"),
			"internal/app imports codeword/internal/store/storetest",
		},
		{
			"testing from the product", "imports", "internal/app/a.go",
			src("app", "testing"),
			"internal/app imports testing",
		},
		{
			"build constraint hides nothing", "imports", "internal/guard/a_plan9.go",
			"//go:build plan9\n\n" + src("guard", "codeword/internal/otp"),
			"internal/guard imports codeword/internal/otp",
		},
		{
			"directory called util", "names", "internal/util/a.go",
			src("codes", "fmt"), "internal/util",
		},
		{
			"package called helpers", "names", "internal/text/a.go",
			src("helpers", "fmt"), "internal/text",
		},
		{
			"long file", "sizes", "internal/otp/a.go",
			"package otp\n" + strings.Repeat("\n", maxFileLines),
			"internal/otp/a.go has 501 lines",
		},
		{
			"long function", "sizes", "internal/otp/a.go",
			longFunc("Send", maxFuncLines+1),
			"internal/otp/a.go:3: Send has 61 lines",
		},
		{
			"long function in a variable", "sizes", "internal/otp/a.go",
			"package otp\n\nvar send = func() {" + strings.Repeat("\n", maxFuncLines) + "}\n",
			"internal/otp/a.go:3: function literal has 61 lines",
		},
		{
			"long Run", "sizes", "internal/app/a.go",
			longFunc("Run", maxRunLines+1),
			"internal/app/a.go:3: Run has 151 lines",
		},
		{
			"Run outside app has no privilege", "sizes", "internal/delivery/a.go",
			longFunc("Run", maxFuncLines+1),
			"internal/delivery/a.go:3: Run has 61 lines",
		},
		{
			"large port", "ports", "internal/otp/a.go",
			largePort("otp", "Store", maxMethods+1),
			"internal/otp/a.go:3: Store has 9 methods",
		},
		{
			"large port of another name", "ports", "internal/store/redis/a.go",
			largePort("redis", "Server", maxMethods+1),
			"internal/store/redis/a.go:3: Server has 9 methods",
		},
		{
			"clock in an engine", "clock", "internal/store/sqlite/a.go",
			"package sqlite\n\nimport \"time\"\n\nfunc f() time.Time { return time.Now() }\n",
			"internal/store/sqlite/a.go:5: time.Now",
		},
		{
			"renamed clock as a value", "clock", "internal/guard/a.go",
			"package guard\n\nimport clock \"time\"\n\nvar since = clock.Since\n",
			"internal/guard/a.go:5: time.Since",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, tc.check, tc.path, tc.src)
			if len(got) != 1 || !strings.HasPrefix(got[0], tc.want) {
				t.Errorf("got %q, want one violation that starts %q", got, tc.want)
			}
		})
	}
}

// TestRulesAllow guards against rules that forbid what the architecture asks for.
func TestRulesAllow(t *testing.T) {
	for _, tc := range []struct{ name, check, path, src string }{
		{"standard library in the domain", "imports", "internal/otp/a.go", src("otp", "crypto/subtle", "net/http")},
		{"domain below the domain", "imports", "internal/otp/a.go", src("otp", "codeword/internal/store", "codeword/internal/keyring")},
		{"engine from app", "imports", "internal/app/a.go", src("app", "codeword/internal/store/sqlite")},
		{"engine from its own part", "imports", "internal/store/sqlite/a.go", src("sqlite", "codeword/internal/store/sqlite/ledger")},
		{"carrier adapter and its port", "imports", "internal/carrier/smpp/a.go", src("smpp", "codeword/internal/carrier")},
		{"carrier adapter and shared plumbing", "imports", "internal/carrier/twilio/a.go", src("twilio", "codeword/internal/carrier/rest")},
		{"engine from a test kit", "imports", "internal/server/servertest/a.go", src("servertest", "testing", "codeword/internal/store/sqlite")},
		{"engine from a test", "imports", "internal/server/a_test.go", src("server", "testing", "codeword/internal/store/sqlite")},
		{"adapter named like a type", "names", "internal/message/a.go", src("message", "fmt")},
		{"longest file", "sizes", "internal/otp/a.go", "package otp\n" + strings.Repeat("\n", maxFileLines-1)},
		{"longest function", "sizes", "internal/otp/a.go", longFunc("Send", maxFuncLines)},
		{"longest Run", "sizes", "internal/app/a.go", longFunc("Run", maxRunLines)},
		{"long test", "sizes", "internal/otp/a_test.go", longFunc("TestAll", 2*maxFileLines)},
		{"generated table", "sizes", "internal/phone/a.go", "// Code generated by nanp; DO NOT EDIT.\n\n" + longFunc("table", 2*maxFileLines)},
		{"largest port", "ports", "internal/otp/a.go", largePort("otp", "Store", maxMethods)},
		{"port of the exceptions", "ports", "internal/store/redis/a.go", largePort("redis", "Ledger", 5*maxMethods)},
		{"port composed of ports", "ports", "internal/app/a.go", "package app\n\ntype engine interface {" + strings.Repeat("\n\tp", 2*maxMethods) + "\n}\n"},
		{"clock above the stores", "clock", "internal/app/a.go", "package app\n\nimport \"time\"\n\nvar now = time.Now\n"},
		{"other module", "imports", "tools/nanp/main.go", src("main", "testing")},
		{"test data", "names", "internal/otp/testdata/util/a.go", src("util", "fmt")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, tc.check, tc.path, tc.src); len(got) != 0 {
				t.Errorf("forbidden: %q", got)
			}
		})
	}
}

// run applies one check to a tree of one file, beside a nested module.
func run(t *testing.T, check, path, src string) []string {
	t.Helper()
	pkgs, err := load(fstest.MapFS{
		"go.mod":       {Data: []byte("module codeword\n")},
		"tools/go.mod": {Data: []byte("module codeword/tools\n")},
		path:           {Data: []byte(src)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.name != check {
			continue
		}
		var found []string
		for _, p := range pkgs {
			found = append(found, c.find(p)...)
		}
		return found
	}
	t.Fatalf("no check is called %q", check)
	return nil
}

// src is a file of the named package with the given imports.
func src(name string, imports ...string) string {
	var b strings.Builder
	b.WriteString("package " + name + "\n")
	for _, i := range imports {
		b.WriteString("\nimport _ \"" + i + "\"\n")
	}
	return b.String()
}

// longFunc is a file whose only function takes the given number of lines.
func longFunc(name string, lines int) string {
	return "package p\n\nfunc " + name + "() {" + strings.Repeat("\n", lines-1) + "}\n"
}

// largePort is a file with an interface of so many methods.
func largePort(pkg, name string, methods int) string {
	return "package " + pkg + "\n\ntype " + name + " interface {" + strings.Repeat("\n\tF()", methods) + "\n}\n"
}
