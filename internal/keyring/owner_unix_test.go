//go:build unix

package keyring_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"codeword/internal/keyring"
)

// TestReplaceKeepsTheOwner: root rotates a key of a server that runs as another account,
// which must be able to read the keyset after that.
func TestReplaceKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(t.TempDir(), "keyset.json")
	if err := keyring.Create(path, generate(t)); err != nil {
		t.Fatal(err)
	}
	const uid, gid = 12345, 23456
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := keyring.Replace(path, generate(t)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != uid || s.Gid != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %+v", info.Mode(), info.Sys())
	}
}
