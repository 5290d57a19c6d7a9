package app

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestEngineURLPrintsNoSecret: whatever the URL looks like, and however it is printed.
func TestEngineURLPrintsNoSecret(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                       "",
		"postgres://db":                          "postgres://db",
		"postgres://u@db:5432/x":                 "postgres://db:5432/x",
		"postgres://u:hunter2@db/x?a=b":          "postgres://db/x",
		"postgres://u:hun:ter2@a:1,b:2/x":        "postgres://a:1,b:2/x",
		"postgresql://db/x?password=hunter2":     "postgresql://db/x",
		"postgres:///x?host=/run&user=hunter2":   "postgres:///x",
		"postgres://u:hunter2/@db/x":             "postgres://…",
		"postgres://u:hunter2?@db/x":             "postgres://…",
		"postgres://u:1?hunter2@db":              "postgres://…",
		"rediss://:hunter2@cache:6380/0":         "rediss://cache:6380/0",
		"redis://:hunter2#@cache":                "redis://…",
		"redis://c?sentinel_password=hunter2&x=": "redis://c",
	} {
		u := engineURL{text}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "url", u, "storage", storage{Postgres: u})
		if u.String() != want {
			t.Errorf("%q prints as %q, want %q", text, u, want)
		}
		for _, printed := range []string{u.String(), fmt.Sprintf("%v %+v %#v %s %q", u, u, u, u, u), fmt.Sprintf("%v %+v %#v", storage{Redis: u}, storage{Redis: u}, &storage{Redis: u}), log.String()} {
			if strings.Contains(printed, "hunter2") || strings.Contains(printed, "ter2") {
				t.Errorf("%q prints as %q", text, printed)
			}
		}
	}
}

// TestParseStorage: what is good and what is wrong, all at once.
func TestParseStorage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		database, ephemeral string
		want                storage
		wrong               []string
	}{
		{"sqlite:a.db", "", storage{File: "a.db"}, nil},
		{"sqlite:/a b/c.db", "redis://c", storage{File: "/a b/c.db", Redis: engineURL{"redis://c"}}, nil},
		{"postgres://u:p%40@db/x", "rediss://c?cluster=true", storage{Postgres: engineURL{"postgres://u:p%40@db/x"}, Redis: engineURL{"rediss://c?cluster=true"}}, nil},
		{"postgresql:///x?host=/run/postgresql", "", storage{Postgres: engineURL{"postgresql:///x?host=/run/postgresql"}}, nil},
		{"", "", storage{}, []string{"database: required"}},
		{"", "x", storage{}, []string{"database: required", "ephemeral: not known"}},
		{"sqlite:", "redis:c", storage{}, []string{"database: not known", "ephemeral: not known"}},
		{"a.db", "sqlite:b.db", storage{}, []string{"database: not known", "ephemeral: not known"}},
		{"POSTGRES://db", "", storage{}, []string{"database: not known"}},
		{"redis://c", "", storage{}, []string{"database: Redis keeps only what expires"}},
		{"postgres://u:hunter2@db:0x/y", "", storage{}, []string{"database: "}},
		{"postgres://db/x?sslmode=hunter", "", storage{}, []string{"database: "}},
		{"postgres://u:%zz@db/x", "redis://:%zz@c", storage{}, []string{"database: its password", "ephemeral: its password"}},
	} {
		st, err := parseStorage(c.database, c.ephemeral)
		if len(c.wrong) == 0 {
			if err != nil || st != c.want {
				t.Errorf("%q, %q: %+v, %v", c.database, c.ephemeral, st, err)
			}
			continue
		}
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(c.wrong) {
			t.Errorf("%q, %q: %d errors, want %d: %v", c.database, c.ephemeral, len(lines), len(c.wrong), err)
			continue
		}
		for i, want := range c.wrong {
			if !strings.HasPrefix(lines[i], want) || strings.Contains(lines[i], "hunter2") {
				t.Errorf("%q, %q: %q, want %q", c.database, c.ephemeral, lines[i], want)
			}
		}
	}
}

// TestURLString: a password that lost its "@" is not printed either.
func TestURLString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"postgres://user:hunter2@db:5432,[::1]:1/x?sslmode=disable": "postgres://db:5432,[::1]:1/x",
		"redis://:hunter2@cache,other:1":                            "redis://cache,other:1",
		"postgres://user:hunter2%40db/x":                            "postgres://…",
		"redis://user:hunter2":                                      "redis://…",
		"redis://[::1]":                                             "redis://[::1]",
	} {
		if got := (engineURL{text}).String(); got != want {
			t.Errorf("%s is printed as %s, want %s", text, got, want)
		}
	}
}

// TestWithoutSecrets: a driver that quotes a URL does not get it through.
func TestWithoutSecrets(t *testing.T) {
	t.Parallel()
	u := engineURL{"postgres://u:hunt%65r2@db/x?sslpassword=s%65cret"}
	for _, said := range []string{
		"cannot parse `postgres://u:xxxxx@db/x`: it is bad: hunt%65r2", "parse \"" + u.text + "\": bad", "password hunter2 is weak", "secret", "s%65cret",
	} {
		err := u.check(func(string) error { return fmt.Errorf("%s", said) })
		for _, secret := range []string{"hunter2", "hunt%65r2", "s%65cret", "secret", "cannot parse"} {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%q became %v", said, err)
			}
		}
	}
}
