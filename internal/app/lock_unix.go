//go:build unix

package app

import (
	"fmt"
	"os"
	"syscall"
)

// lockDatabase makes sure that one server at a time runs on an embedded
// database: limits are kept in the writer's memory. The lock goes with the
// process, however it ends. Command line tools do not take it.
func lockDatabase(path string) (release func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // next to the operator's database
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("another codeword server is running on %s", path)
	}
	return func() { _ = f.Close() }, nil
}
