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
func (f *failing) Errorf(string, ...any) { f.failed = true }
func (f *failing) Failed() bool          { return f.failed }

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

func TestChances(t *testing.T) {
	for name, tc := range map[string]struct {
		late  []string
		wrong bool
		tries int
		fails bool
	}{
		"in time":        {[]string{""}, false, 1, false},
		"late once":      {[]string{"late", ""}, false, 2, false},
		"always late":    {[]string{"late", "late", "late"}, false, 3, true},
		"late and wrong": {[]string{"late"}, true, 1, true},
	} {
		tb, n := &failing{TB: t}, 0
		waittest.Chances(tb, func() string {
			if n++; tc.wrong {
				tb.Errorf("wrong")
			}
			return tc.late[n-1]
		})
		if n != tc.tries || tb.failed != tc.fails {
			t.Errorf("%s: %d tries, failed: %t", name, n, tb.failed)
		}
	}
}
