package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Sizes in lines, for files and functions that are neither tests nor generated.
const (
	maxFileLines = 500
	maxFuncLines = 60
	maxRunLines  = 150 // app's Run: straight-line wiring reads best in one piece
)

// checks are the rules by name. Each tells the violations of one package.
var checks = []struct {
	name string
	find func(pkg) []string
}{
	{"imports", findImports},
	{"names", findNames},
	{"sizes", findSizes},
	{"ports", findPorts},
	{"clock", findClock},
}

// Patterns are package paths relative to the module. "a/b/..." is a/b and all
// beneath it, "a/b/*" only what is beneath it.

// mayImport says what a package may import. Packages that are not listed are
// bound by importedBy alone.
var mayImport = []struct {
	pkg string
	// own are the packages of this module that it may import.
	own []string
	// libraries allows packages of other modules.
	libraries bool
	why       string
}{
	{"cmd/...", []string{"internal/app"}, true, "main only calls app.Run"},
	{"api", nil, false, "the wire types depend on the standard library alone"},
	{"client", []string{"api"}, true, "the public client stands on the wire types alone"},
	{"internal/fault", nil, false, "the error type lies below everything"},
	{"internal/guard", nil, false, "guard is pure arithmetic"},
	{"internal/guard/fraud", nil, false, "the fraud guard is pure arithmetic"},
	{"internal/guard/simulate", []string{"internal/guard/fraud"}, false, "a simulation is as pure as what it simulates"},
	{"internal/phone", nil, false, "phone is pure rules and tables"},
	{"internal/rollup", nil, false, "rollup is pure arithmetic"},
	{"internal/store", []string{"internal/fault", "internal/guard"}, true, "row types lie below the domain"},
	{
		"internal/store/intent",
		[]string{"internal/fault", "internal/guard", "internal/rollup", "internal/store"},
		false, "the rules that the SQL engines share know no engine",
	},
	{
		"internal/ledgercopy",
		[]string{"internal/store"},
		false, "a ledger goes through the ports of both sides, whichever engines they are",
	},
	{
		"internal/audit",
		[]string{"internal/fault", "internal/store"},
		false, "what is recorded is told by those who change it",
	},
	{
		"internal/refusal",
		[]string{"internal/phone", "internal/store", "internal/tenant"},
		true, "what is remembered of refusals does not depend on who refuses",
	},
	{
		"internal/screening",
		[]string{"internal/audit", "internal/fault", "internal/guard/...", "internal/phone", "internal/store", "internal/tenant"},
		false, "what judges sends knows neither engines nor who asks",
	},
	{
		"internal/webhook",
		[]string{"api", "internal/audit", "internal/fault", "internal/store", "internal/tenant"},
		true, "what tells clients of events knows neither engines nor where events come from",
	},
	{
		"internal/otp",
		[]string{
			"internal/audit", "internal/fault", "internal/guard", "internal/keyring", "internal/message",
			"internal/phone", "internal/screening", "internal/session", "internal/store", "internal/tenant",
		},
		false, "the domain knows no library, engine, carrier or transport",
	},
	{
		"internal/carrier",
		[]string{"internal/message", "internal/phone", "internal/store"},
		false, "the port knows what a message is, and no carrier",
	},
	{
		"internal/routing",
		[]string{"internal/carrier", "internal/phone", "internal/store", "internal/tenant"},
		true, "a route is chosen by what is known of it, whoever sends and stores",
	},
	{
		"internal/delivery",
		[]string{
			"internal/carrier", "internal/message", "internal/phone", "internal/routing",
			"internal/store", "internal/tenant",
		},
		true, "the loop knows the ports of carriers and of the queue, and neither behind them",
	},
	{
		"internal/botproof",
		[]string{"internal/breaker", "internal/carrier", "internal/carrier/rest", "internal/fault", "internal/tenant"},
		true, "whether a person asks is told by others, whatever is asked for",
	},
	{
		"internal/inbound",
		[]string{
			"internal/carrier", "internal/fault", "internal/message", "internal/phone",
			"internal/store", "internal/tenant",
		},
		false, "what comes back goes through the ports that it left by",
	},
}

// importedBy says who alone may import a package, itself aside; of several
// patterns the first that matches counts. Test kits, the black-box tests and the
// load generator may import anything.
var importedBy = []struct {
	pkg string
	by  []string
	why string
}{
	{"cmd/...", nil, "a command is nobody's library"},
	{"internal/app/...", []string{"cmd/...", "internal/app/..."}, "app is the top: only main imports it"},
	{"internal/server/...", []string{"internal/app/...", "internal/server/..."}, "only app wires the public listener"},
	{"internal/console/...", []string{"internal/app/...", "internal/console/..."}, "only app wires the admin listener"},
	{"internal/store/intent", []string{"internal/store/..."}, "intent is for engines"},
	{"internal/store/group", []string{"internal/store/..."}, "group is for engines"},
	{"internal/store/*", []string{"internal/app/..."}, "only app knows which engine runs"},
	{
		"internal/carrier/rest",
		[]string{"internal/carrier/...", "internal/phone/lookup/...", "internal/botproof/..."},
		"rest is plumbing that adapters of providers share",
	},
	{"internal/carrier/*", []string{"internal/app/..."}, "only app knows which carriers run"},
	{"internal/webhook", []string{"internal/app/...", "internal/console/..."}, "nobody who makes events knows who is told of them"},
	{"internal/tracing", []string{"internal/app/..."}, "what is traced is handed a port, and pays nothing while there is none"},
	{"internal/botproof", []string{"internal/app/..."}, "only app wires the proof into the domain"},
	{"internal/phone/lookup/...", []string{"internal/app/...", "internal/phone/lookup/..."}, "only app knows which line-type sources run"},
}

// vagueNames say nothing about what is inside, and so collect everything.
var vagueNames = []string{"util", "utils", "common", "models", "types", "helper", "helpers"}

// maxMethods is how many methods a port may have, beside those of ports that it is
// composed of.
const maxMethods = 8

// largePorts are the exceptions.
var largePorts = []struct{ pkg, name, why string }{
	{"internal/store/redis", "Ledger", "an engine in front of another one needs all that the domain asks of an engine"},
	{"internal/ledgercopy", "Target", "a copy writes each table of a ledger"},
}

// readsNoClock are the packages that take the time as an argument.
var readsNoClock = []string{"internal/guard/...", "internal/store/..."}

func findImports(p pkg) []string {
	if isTestKit(p.path) {
		return nil
	}
	var found []string
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, i := range f.imports {
			if why := forbidden(p.path, i.path); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s (%s:%d): %s", p.path, i.path, f.path, i.line, why))
			}
		}
	}
	return found
}

// forbidden tells why a package may not import another, or "".
func forbidden(from, imported string) string {
	own, isOwn := ownPath(imported)
	if imported == "testing" || strings.HasPrefix(imported, "testing/") || isOwn && isTestKit(own) {
		return "test code stays out of the product"
	}
	for _, r := range mayImport {
		if !match(r.pkg, from) {
			continue
		}
		switch {
		case isOwn && !slices.ContainsFunc(r.own, func(a string) bool { return match(a, own) }):
			return r.why
		case !isOwn && !isStandard(imported) && !r.libraries:
			return r.why
		}
	}
	if !isOwn {
		return ""
	}
	for _, r := range importedBy {
		if !match(r.pkg, own) {
			continue
		}
		if !sameAdapter(r.pkg, from, own) && !slices.ContainsFunc(r.by, func(a string) bool { return match(a, from) }) {
			return r.why
		}
		return ""
	}
	return ""
}

// ownPath strips the module path.
func ownPath(imported string) (string, bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

// isStandard: import paths without a dot in their first element are reserved
// for the standard library (see "go help importpath"), this module's own aside.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != modulePath && !strings.Contains(first, ".")
}

// isTestKit reports packages that exist for tests: the black-box tests, the
// load generator, and by the standard library's custom whatever ends in "test".
func isTestKit(p string) bool {
	return match("test/...", p) || match("bench/...", p) || strings.HasSuffix(p, "test")
}

// sameAdapter reports whether both packages belong to one adapter beneath the
// parent of a "parent/*" pattern, such as sqlite and a part of it.
func sameAdapter(pattern, a, b string) bool {
	parent, ok := strings.CutSuffix(pattern, "*")
	if !ok {
		return false
	}
	restA, okA := strings.CutPrefix(a, parent)
	restB, okB := strings.CutPrefix(b, parent)
	nameA, _, _ := strings.Cut(restA, "/")
	nameB, _, _ := strings.Cut(restB, "/")
	return okA && okB && nameA == nameB
}

func match(pattern, p string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return p == tree || strings.HasPrefix(p, tree+"/")
	}
	if parent, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(p, parent)
	}
	return p == pattern
}

func findNames(p pkg) []string {
	var found []string
	if slices.Contains(vagueNames, path.Base(p.path)) {
		found = append(found, fmt.Sprintf("%s: the directory's name does not say what is in it", p.path))
	}
	for _, f := range p.files {
		if name := strings.TrimSuffix(f.pkgName, "_test"); slices.Contains(vagueNames, name) {
			found = append(found, fmt.Sprintf("%s: the name of package %s does not say what is in it (%s)", p.path, name, f.path))
		}
	}
	return found
}

func findSizes(p pkg) []string {
	var found []string
	for _, f := range p.files {
		if f.test || f.generated {
			continue
		}
		if f.lines > maxFileLines {
			found = append(found, fmt.Sprintf("%s has %d lines, at most %d: split it by what changes together", f.path, f.lines, maxFileLines))
		}
		for _, fn := range f.funcs {
			limit := maxFuncLines
			if fn.name == "Run" && match("internal/app", p.path) {
				limit = maxRunLines
			}
			if fn.lines > limit {
				found = append(found, fmt.Sprintf("%s:%d: %s has %d lines, at most %d", f.path, fn.line, fn.name, fn.lines, limit))
			}
		}
	}
	return found
}

func findPorts(p pkg) []string {
	if isTestKit(p.path) {
		return nil
	}
	var found []string
	for _, f := range p.files {
		for _, i := range f.ports {
			large := false
			for _, l := range largePorts {
				large = large || l.pkg == p.path && l.name == i.name
			}
			if i.methods > maxMethods && !large && !f.test {
				found = append(found, fmt.Sprintf("%s:%d: %s has %d methods, at most %d: a port has what one consumer needs", f.path, i.line, i.name, i.methods, maxMethods))
			}
		}
	}
	return found
}

func findClock(p pkg) []string {
	if isTestKit(p.path) || !slices.ContainsFunc(readsNoClock, func(a string) bool { return match(a, p.path) }) {
		return nil
	}
	var found []string
	for _, f := range p.files {
		if f.test {
			continue
		}
		for _, u := range f.clock {
			found = append(found, fmt.Sprintf("%s:%d: %s: here the time is an argument, so that engines agree and tests choose it", f.path, u.line, u.what))
		}
	}
	return found
}
