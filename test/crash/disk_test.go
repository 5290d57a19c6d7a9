//go:build linux

package crash_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"codeword/api"
	"codeword/client"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

// TestDiskTakesNoMore lets the disk refuse writes under a running server, in two
// ways: by a limit on the size of its files, and by a file system that is full.
// Nothing may be acknowledged then, callers are told when to come back, all that
// was acknowledged before is kept, and the service returns once there is room,
// with a restart and without.
func TestDiskTakesNoMore(t *testing.T) {
	testserver.NeedFile(t)
	t.Parallel()
	t.Run("file size limit", func(t *testing.T) {
		server := testserver.Start(t, testserver.Options{})
		refuse := func() { limitFiles(t, server.PID(), largestFile(t, server.Data)) }
		allow := func() { limitFiles(t, server.PID(), math.MaxUint64) }
		diskTakesNoMore(t, server, refuse, allow)
	})
	t.Run("full file system", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mount("codeword-test", dir, "tmpfs", 0, "size=32m"); err != nil {
			t.Skipf("mounting a tmpfs takes root and the right to mount: %v", err)
		}
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		server := testserver.Start(t, testserver.Options{Data: filepath.Join(dir, "data")})
		ballast := filepath.Join(dir, "ballast")
		refuse := func() { fillDisk(t, ballast) }
		allow := func() {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
		}
		diskTakesNoMore(t, server, refuse, allow)
	})
}

func diskTakesNoMore(t *testing.T, server *testserver.Server, refuse, allow func()) {
	t.Helper()
	var next atomic.Int64
	kept := map[string]string{} // phone ids of acknowledged sends by number
	c := server.Client(server.Live)
	send := func() error {
		to := testserver.Number(int(next.Add(1) - 1))
		out, err := c.Send(t.Context(), to)
		if err == nil {
			kept[to] = out.PhoneID
		}
		return err
	}
	for range 50 {
		if err := send(); err != nil {
			t.Fatal(err)
		}
	}
	rounds := 0
	for _, restart := range []bool{false, true} {
		refuse()
		refused := 0
		for tries := 0; refused < 20; tries++ {
			if err := send(); err != nil {
				mustBeUnavailable(t, err)
				refused++
			}
			if tries == 20_000 {
				t.Fatal("the disk never refused")
			}
		}
		notReady(t, server)
		allow()
		if restart {
			server.Kill()
			server.Restart()
			c = server.Client(server.Live)
		}
		recovers(t, send)
		rounds++
	}
	for to, id := range kept {
		messages := server.Inbox(to)
		if len(messages) != 1 {
			t.Errorf("an acknowledged send has %d messages, want 1", len(messages))
			continue
		}
		if _, err := c.Authenticate(t.Context(), id, messages[0].Code()); err != nil {
			t.Errorf("the code of an acknowledged send does not work: %v", err)
		}
	}
	server.Stop()
	server.Command("doctor", "--data", server.Data)
	t.Logf("crash: the disk refused writes %d times over; all %d acknowledged sends of %d are there", rounds, len(kept), next.Load())
}

// mustBeUnavailable demands 503 UNAVAILABLE with Retry-After.
func mustBeUnavailable(t *testing.T, err error) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable || e.Code != api.CodeUnavailable || e.RetryAfter <= 0 {
		t.Fatalf("a send that cannot be stored: %v, want 503 with Retry-After", err)
	}
}

// notReady waits for readiness to tell; it may remember a good answer for a second.
func notReady(t *testing.T, s *testserver.Server) {
	t.Helper()
	for deadline := time.Now().Add(waittest.Patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := s.HTTP.Get(s.URL + api.PathReady)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			return
		}
		if time.Now().After(deadline) {
			t.Error("the server says that it is ready and cannot write")
			return
		}
	}
}

// recovers waits until sends succeed again.
func recovers(t *testing.T, send func() error) {
	t.Helper()
	for deadline := time.Now().Add(waittest.Patience); ; time.Sleep(10 * time.Millisecond) {
		err := send()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is room again, and sends still fail: %v", err)
		}
	}
}

// limitFiles lets a running process write no file beyond a size, in bytes; what
// is written past it fails with EFBIG. Only the soft limit is changed, which
// needs no privilege.
func limitFiles(t *testing.T, pid int, size uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(size, limit.Max)
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
}

// largestFile returns the size of the largest file in a directory: the next one
// to grow cannot.
func largestFile(t *testing.T, dir string) uint64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, info.Size())
	}
	return uint64(largest)
}

// fillDisk writes a file until the file system takes no more.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4<<10)
	for {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(fmt.Errorf("fill the disk: %w", err))
		}
	}
}
