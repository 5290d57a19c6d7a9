//go:build unix

package keyring

import (
	"os"
	"syscall"
)

// ownedByRoot tells whether a file belongs to root.
func ownedByRoot(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

// keepOwner gives a new file to the owner of the old one, which it is to replace: else
// root, who rotates a key, would take the keyset from the account that the server runs as.
func keepOwner(old string, fresh *os.File) error {
	was, err := os.Stat(old)
	if err != nil {
		return err
	}
	is, err := fresh.Stat()
	if err != nil {
		return err
	}
	before, ok := was.Sys().(*syscall.Stat_t)
	now, alsoOK := is.Sys().(*syscall.Stat_t)
	if !ok || !alsoOK || before.Uid == now.Uid && before.Gid == now.Gid {
		return nil
	}
	return fresh.Chown(int(before.Uid), int(before.Gid))
}
