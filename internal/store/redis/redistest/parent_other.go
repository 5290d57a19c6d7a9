//go:build !linux

package redistest

import "syscall"

// dieWithParent can do nothing here: a child ends with the test.
func dieWithParent() *syscall.SysProcAttr { return nil }
