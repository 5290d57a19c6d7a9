package waittest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/waittest"
)

// failing notes that a test would have failed.
type failing struct {
	testing.TB

	failed bool
}

func (f *failing) Helper()               {}
func (f *failing) Fatalf(string, ...any) { f.failed = true; panic(f) }

func TestWithin(t *testing.T) {
	for name, tc := range map[string]struct {
		after time.Duration
		fails bool
	}{
		"at once": {0, false}, "in time": {time.Second, false}, "too late": {waittest.Patience + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tb := &failing{TB: t}
				begun := time.Now()
				func() {
					defer func() { _ = recover() }() // Fatalf ends it
					waittest.Until(tb, name, func() bool { return time.Since(begun) >= tc.after })
				}()
				if tb.failed != tc.fails {
					t.Errorf("failed: %t", tb.failed)
				}
			})
		})
	}
}
