package sqlite_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	driver "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// openImage opens a copy of the files as a crash of the machine would leave
// them; damage may change the copied log first.
func openImage(t *testing.T, s *sqlite.Store, path string, damage func(wal string)) *sqlite.Store {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image.db")
	release := s.Hold() // copying takes time, a crash does not
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(image+suffix, path+suffix); err != nil {
			t.Fatal(err)
		}
	}
	release()
	if damage != nil {
		damage(image + "-wal")
	}
	out := open(t, sqlite.Config{Path: image})
	t.Cleanup(func() { _ = out.Close() })
	return out
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func fill(t *testing.T, s *sqlite.Store, n int) (phones []store.PhoneID) {
	t.Helper()
	release := s.Hold()
	phones, answers := queued(t, s, n)
	release()
	for _, err := range answers() {
		if err != nil {
			t.Fatal(err)
		}
	}
	return phones
}

// TestTornLog: the machine dies while a group is written. What was acknowledged
// before is whole; the group is there as a whole or not at all.
func TestTornLog(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	before := fill(t, s, 20)
	fi, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	whole := fi.Size()
	during := fill(t, s, 20)
	if fi, err = os.Stat(path + "-wal"); err != nil || fi.Size() <= whole {
		t.Fatalf("the log did not grow beyond %d (%v)", whole, err)
	}
	end := fi.Size()
	for _, size := range []int64{whole, whole + 1, (whole + end) / 2, end - 1, end} {
		image := openImage(t, s, path, func(wal string) {
			if err := os.Truncate(wal, size); err != nil {
				t.Fatal(err)
			}
		})
		for i, p := range before {
			if sent(t, image, p) != 1 {
				t.Errorf("cut at %d of %d: acknowledged send %d is gone", size, end, i)
			}
		}
		there := 0
		for _, p := range during {
			there += sent(t, image, p)
		}
		if want := map[bool]int{true: 20, false: 0}[size == end]; there != want {
			t.Errorf("cut at %d of %d: %d sends of the torn group are there, want %d", size, end, there, want)
		}
		if err := image.Ping(t.Context()); err != nil {
			t.Errorf("cut at %d: %v", size, err)
		}
	}
}

func TestDiskFull(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	fill(t, s, 50)
	if err := s.WriterPragma("PRAGMA max_page_count = 1"); err != nil { // the least it takes: the present size
		t.Fatal(err)
	}
	var acknowledged, refused []store.PhoneID
	for len(refused) < 20 && len(acknowledged) < 5000 {
		phone := store.PhoneID(random())
		if _, err := s.StartChallenge(t.Context(), send(phone)); err != nil {
			unavailable(t, "a send on a full disk", err)
			refused = append(refused, phone)
		} else {
			acknowledged = append(acknowledged, phone)
		}
	}
	if len(refused) == 0 {
		t.Fatal("the disk never got full")
	}
	release := s.Hold() // the same in a group
	phones, answers := queued(t, s, 10)
	release()
	for i, err := range answers() {
		if err != nil {
			unavailable(t, "a send of a group", err)
			refused = append(refused, phones[i])
		} else {
			acknowledged = append(acknowledged, phones[i])
		}
	}
	if _, err := s.Clients(t.Context()); err != nil {
		t.Errorf("a full disk stops readers: %v", err)
	}
	if err := s.WriterPragma("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	acknowledged = append(acknowledged, fill(t, s, 20)...) // it recovers by itself
	for _, st := range []*sqlite.Store{s, openImage(t, s, path, nil)} {
		for i, p := range acknowledged {
			if sent(t, st, p) != 1 {
				t.Errorf("acknowledged send %d is gone", i)
			}
		}
		for i, p := range refused {
			if sent(t, st, p) != 0 {
				t.Errorf("refused send %d left a message", i)
			}
		}
	}
}

func TestBusy(t *testing.T) {
	const timeout, n = 200 * time.Millisecond, 20
	s, path := newStore(t, sqlite.Config{BusyTimeout: timeout})
	tool, err := driver.OpenConn(path, driver.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if err := sqlitex.ExecuteTransient(tool, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	release := s.Hold()
	phones, answers := queued(t, s, n)
	release()
	begin := time.Now()
	errs := answers()
	if took := time.Since(begin); took > n/2*timeout {
		t.Errorf("a group of %d waited %v, each for itself", n, took)
	}
	for i, err := range errs {
		unavailable(t, "a send while another process writes", err)
		if sent(t, s, phones[i]) != 0 {
			t.Errorf("refused send %d left a message", i)
		}
	}
	if _, err := s.Clients(t.Context()); err != nil {
		t.Errorf("another process's write stops readers: %v", err)
	}
	if err := sqlitex.ExecuteTransient(tool, "ROLLBACK", nil); err != nil {
		t.Fatal(err)
	}
	fill(t, s, n)
}

// TestShortBusy: another process writes, but not for longer than the timeout.
func TestShortBusy(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	tool, err := driver.OpenConn(path, driver.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if err := sqlitex.ExecuteTransient(tool, "BEGIN IMMEDIATE", nil); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Ping(context.Background()) }()
	eventually(t, "the writer waits", func() bool { return s.Stats().Queued == 0 })
	if err := sqlitex.ExecuteTransient(tool, "COMMIT", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, f *os.File, size int64){
		"garbage after the first page": func(t *testing.T, f *os.File, size int64) {
			t.Helper()
			garbage := make([]byte, size-4096)
			_, _ = rand.Read(garbage) // never fails
			if _, err := f.WriteAt(garbage, 4096); err != nil {
				t.Fatal(err)
			}
		},
		"zeros after the first page": func(t *testing.T, f *os.File, size int64) {
			t.Helper()
			if _, err := f.WriteAt(make([]byte, size-4096), 4096); err != nil {
				t.Fatal(err)
			}
		},
		"cut short": func(t *testing.T, f *os.File, _ int64) {
			t.Helper()
			if err := f.Truncate(2 * 4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := newStore(t, sqlite.Config{PageSize: 4096})
			phones := fill(t, s, 200)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			fi, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			damage(t, f, fi.Size())
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			damaged, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
			if err != nil {
				return // refused at the door: as good
			}
			defer damaged.Close()
			for range 3 {
				_, err = damaged.StartChallenge(t.Context(), send(phones[0]))
				unavailable(t, "StartChallenge", err)
				_, err = damaged.Attempt(t.Context(), attempt(phones[1], true))
				unavailable(t, "Attempt", err)
				_, err = damaged.Messages(t.Context(), store.MessageQuery{Clients: []string{client}, Limit: 10})
				unavailable(t, "Messages", err)
				unavailable(t, "Ping", damaged.Ping(t.Context()))
			}
		})
	}
}

func TestLogStaysBounded(t *testing.T) {
	const hard = 400
	s, path := newStore(t, sqlite.WithCheckpoint(sqlite.Config{}, 5*time.Millisecond, 1, hard))
	stop := make(chan struct{})
	var errs [4]chan error
	for i := range errs {
		errs[i] = make(chan error, 1)
		go func() {
			for {
				select {
				case <-stop:
					errs[i] <- nil
					return
				default:
				}
				if _, err := s.StartChallenge(context.Background(), send(random())); err != nil {
					errs[i] <- err
					return
				}
			}
		}()
	}
	largest := int64(0)
	eventually(t, "there was load for long", func() bool {
		fi, err := os.Stat(path + "-wal")
		if err == nil {
			largest = max(largest, fi.Size())
		}
		return s.Stats().Operations > 4000
	})
	close(stop)
	for _, e := range errs {
		if err := <-e; err != nil {
			t.Error(err)
		}
	}
	// 4000 sends write over 10,000 frames. The log may outgrow its limit by
	// what is written while the checkpointer looks the other way.
	if frames := largest / 4120; frames > 10*hard {
		t.Errorf("the log grew to %d frames, limit %d", frames, hard)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	script := func(name, sql string) string {
		path := filepath.Join(dir, name)
		conn, err := driver.OpenConn(path, driver.OpenReadWrite|driver.OpenCreate)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(sqlitex.ExecuteScript(conn, sql, nil), conn.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := open(t, sqlite.Config{Path: filepath.Join(dir, "newer")})
	if err := errors.Join(newer.WriterPragma("PRAGMA user_version = 1000"), newer.Close()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"not a database":     {text, "not a database"},
		"a directory":        {dir, "directory"},
		"no such directory":  {filepath.Join(dir, "none", "db"), "no such file"},
		"another program's":  {script("foreign", "PRAGMA application_id = 7; PRAGMA user_version = 1000; CREATE TABLE t (x);"), "application_id"},
		"somebody's":         {script("nobody", "CREATE TABLE t (x);"), "application_id"},
		"of a newer release": {filepath.Join(dir, "newer"), "newer than this release"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(tc.path)
			s, err := sqlite.Open(t.Context(), sqlite.Config{Path: tc.path})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.path) {
				t.Errorf("got %q, want the path and %q in it", err, tc.want)
			}
			if after, _ := os.ReadFile(tc.path); name == "not a database" && string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenIsRepeatable(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	phones := fill(t, s, 5)
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, sqlite.Config{Path: path, PageSize: 8192}) // an old file keeps its page size
		for _, p := range phones {
			if sent(t, s, p) != 1 {
				t.Error("a message is gone")
			}
		}
	}
	second := open(t, sqlite.Config{Path: path}) // as a command line tool does
	if err := errors.Join(second.Ping(t.Context()), second.Close(), s.Ping(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	s, path := newStore(t, sqlite.Config{})
	fill(t, s, 1)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		fi, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := fi.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(fi.Name()), mode)
		}
	}
}
