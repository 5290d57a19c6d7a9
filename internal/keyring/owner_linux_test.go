package keyring_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"codeword/internal/keyring"
)

// TestLoadOfRoot: a keyset of root's that a group may read is taken by an account of that
// group, as Kubernetes mounts it, and by no other account; a keyset of one's own is not.
func TestLoadOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const account, group, other = 65532, 65533, 65534
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "keyset.json")
	if err := keyring.Create(path, generate(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name              string
		owner, euid, egid int
		mode              fs.FileMode
		ok                bool
	}{
		{"as Kubernetes mounts it", 0, account, group, 0o440, true},
		{"root may write", 0, account, group, 0o640, true},
		{"the group may write", 0, account, group, 0o660, false},
		{"all may read", 0, account, group, 0o444, false},
		{"of another group", 0, account, other, 0o440, false},
		{"read by root", 0, 0, 0, 0o440, false},
		{"its own", account, account, group, 0o440, false},
		{"its own alone", account, account, group, 0o400, true},
		{"another's", other, account, group, 0o440, false},
	} {
		if err := os.Chown(path, c.owner, group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := as(c.euid, c.egid, func() error { _, err := keyring.Load(path); return err }); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// as runs f on a thread of its own that is another account's, and ends with f.
func as(euid, egid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: nobody gets the thread after this
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, uintptr(egid), keep); errno != 0 {
			done <- errno
			return
		}
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(euid), keep); errno != 0 {
			done <- errno
			return
		}
		done <- f()
	}()
	return <-done
}
