package app_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*(?: [a-z][a-z-]*)*)`)
	flagStart   = regexp.MustCompile(`(?m)^ +(?:-\w, +)?--`)
)

// section cuts what follows a title, up to the next title, out of a help text.
func section(help, title string) string {
	_, rest, ok := strings.Cut(help, "\n"+title+":\n")
	if !ok {
		return ""
	}
	if next := regexp.MustCompile(`(?m)^\S`).FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}

// TestHelp asks every command for its help. Each explains itself and all of its
// flags, and each flag names the environment variable that stands for it.
func TestHelp(t *testing.T) {
	top := run(t, "--help")
	var commands []string
	for _, m := range commandLine.FindAllStringSubmatch(section(top.out, "Commands"), -1) {
		commands = append(commands, m[1])
	}
	for _, want := range []string{"dev", "serve", "client create", "client rotate-secret finish", "keys retire", "doctor", "restore", "verify", "version"} {
		if !slices.Contains(commands, want) {
			t.Errorf("%q is not among the commands %q", want, commands)
		}
	}
	flags := 0
	for _, command := range commands {
		r := run(t, append(strings.Fields(command), "--help")...)
		if r.code != 0 || r.err != "" || !strings.HasPrefix(r.out, "Usage: codeword "+command) {
			t.Errorf("%s: %+v", command, r)
		}
		for _, entry := range flagStart.Split(section(r.out, "Flags"), -1)[1:] {
			name := regexp.MustCompile(`^[a-z-]+`).FindString(entry)
			if name == "help" {
				continue
			}
			flags++
			variable := "$CODEWORD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + ")"
			text := strings.Join(strings.Fields(entry), " ")
			if command == "dev" && slices.Contains([]string{"database", "ephemeral", "public-url"}, name) {
				variable = strings.Replace(variable, "CODEWORD_", "CODEWORD_DEV_", 1) // a real instance's are not for it
			}
			if strings.HasPrefix(command, "webhook ") && name == "url" {
				variable = "$CODEWORD_WEBHOOK_URL)" // dev.env has the service's own
			}
			if !strings.Contains(text, variable) {
				t.Errorf("%s --%s does not name %s: %s", command, name, variable, text)
			}
			if _, why, _ := strings.Cut(text, " "); len(why) < len(variable)+5 {
				t.Errorf("%s --%s is not explained: %s", command, name, text)
			}
		}
	}
	if flags < 60 {
		t.Errorf("only %d flags were found", flags)
	}
}

// TestEverySettingIsTold: the table of settings has every flag of serve, and so has the
// configuration that is installed, but for what has no place in a file.
func TestEverySettingIsTold(t *testing.T) {
	read := func(path string) string {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	table, file := read("../../docs/operations.md"), read("../../deploy/codeword.yaml")
	elsewhere := []string{"config", "check", "data", "admin-token", "oidc-client-secret"}
	for _, entry := range flagStart.Split(section(run(t, "serve", "--help").out, "Flags"), -1)[1:] {
		name := regexp.MustCompile(`^[a-z-]+`).FindString(entry)
		if name == "help" {
			continue
		}
		if !strings.Contains(table, "`--"+name+"`") {
			t.Errorf("docs/operations.md does not tell of --%s", name)
		}
		if !slices.Contains(elsewhere, name) && !regexp.MustCompile(`(?m)^(?:# )?`+name+`:`).MatchString(file) {
			t.Errorf("deploy/codeword.yaml does not tell of %s", name)
		}
	}
}

// TestDeployedVariables: what the examples of deploy/ set, serve knows.
func TestDeployedVariables(t *testing.T) {
	help := run(t, "serve", "--help").out
	variable := regexp.MustCompile(`(?m)^ +(?:- \{?name: )?(CODEWORD_[A-Z_]+)[:,\n]`)
	for _, file := range []string{"compose.yaml", "kubernetes.yaml"} {
		raw, err := os.ReadFile("../../deploy/" + file)
		if err != nil {
			t.Fatal(err)
		}
		found := variable.FindAllStringSubmatch(string(raw), -1)
		for _, m := range found {
			if !strings.Contains(help, "$"+m[1]) {
				t.Errorf("%s sets %s, which serve does not know", file, m[1])
			}
		}
		if len(found) < 8 {
			t.Errorf("%s sets %q alone", file, found)
		}
	}
}
