package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/postgres"
	"codeword/internal/store/postgres/postgrestest"
)

// look returns what Check finds under a name.
func look(t *testing.T, s *postgres.Store, now func() time.Time, what string) store.Finding {
	t.Helper()
	for _, f := range s.Check(t.Context(), now) {
		if f.What == what {
			return f
		}
	}
	t.Fatalf("nothing is said of %s", what)
	return store.Finding{}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := node(t, database(t))
	for _, f := range s.Check(t.Context(), time.Now) {
		// The kit's shared server does not sync.
		if f.Err != nil || f.Note == "" || f.Warning != (f.What == "durability") {
			t.Errorf("%+v", f)
		}
	}
	for ahead, wrong := range map[time.Duration]bool{0: false, time.Second: false, -time.Second: false, 5 * time.Second: true, -5 * time.Second: true} {
		f := look(t, s, func() time.Time { return time.Now().Add(ahead) }, "clock skew")
		if (f.Err != nil) != wrong || f.Warning != (ahead.Abs() == time.Second) {
			t.Errorf("a clock that is %v ahead: %+v", ahead, f)
		}
		if direction := map[bool]string{true: "ahead of", false: "behind"}[ahead > 0]; ahead != 0 && !strings.Contains(f.Note, direction) {
			t.Errorf("a clock that is %v ahead: %+v", ahead, f)
		}
	}
	if err := s.KeepPartitions(t.Context(), time.Now(), 30*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if f := look(t, s, time.Now, "partitions"); f.Warning || !strings.Contains(f.Note, "made until") {
		t.Errorf("%+v", f)
	}
	// Nobody looked after them for a month.
	if f := look(t, s, func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }, "partitions"); !f.Warning {
		t.Errorf("%+v", f)
	}
}

// TestStaysDurable: a server that becomes less durable while sessions last does not make
// them so.
func TestStaysDurable(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t, postgrestest.Options{})
	s := node(t, server.URL())
	for _, setting := range []string{"on", "off"} {
		server.Exec(t, "ALTER SYSTEM SET synchronous_commit = "+setting)
		server.Exec(t, "SELECT pg_reload_conf()")
		server.Exec(t, "SELECT pg_sleep(0.2)") // sessions read it between two statements
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.SynchronousCommit(t.Context()); err != nil || got != "on" {
			t.Errorf("with %s a session has %q, %v", setting, got, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"postgres://db/x": true, "host=db dbname=x": true, "postgres://db/x?default_query_exec_mode=cache_describe": true,
		"postgres://db:x/x": false, "postgres://db/x?default_query_exec_mode=exec": false, "postgres://db/x?default_query_exec_mode=simple_protocol": false,
	} {
		if err := postgres.Validate(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestCheckPoorServer: what an operator has to put right.
func TestCheckPoorServer(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t, postgrestest.Options{Settings: []string{"autovacuum=off", "max_connections=14", "synchronous_commit=off"}})
	s := node(t, server.URL())
	if f := look(t, s, time.Now, "autovacuum"); f.Err == nil || !strings.Contains(f.Err.Error(), "autovacuum off") {
		t.Errorf("%+v", f)
	}
	if f := look(t, s, time.Now, "connections"); !f.Warning {
		t.Errorf("%+v", f)
	}
	if f := look(t, s, time.Now, "durability"); f.Warning || !strings.Contains(f.Note, "synchronous_commit off: overruled") {
		t.Errorf("%+v", f)
	}
}

func TestHasSchema(t *testing.T) {
	t.Parallel()
	url := database(t)
	for _, want := range []bool{false, true} {
		if found, err := postgres.HasSchema(t.Context(), url); err != nil || found != want {
			t.Errorf("%v, %v; want %v", found, err, want)
		}
		node(t, url)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := postgres.HasSchema(ctx, "postgres://u:hunter2@127.0.0.1:1/x")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
