package breaker_test

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/breaker"
)

var (
	errFailed  = errors.New("failed")
	errNotMine = errors.New("says nothing about the service")
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	alternating := func(n int, a, b error) (out []error) {
		for range n {
			out = append(out, a, b)
		}
		return out
	}
	for name, tc := range map[string]struct {
		answers []error
		open    bool
	}{
		"four in a row":            {[]error{errFailed, errFailed, errFailed, errFailed}, false},
		"five in a row":            {[]error{errFailed, errFailed, errFailed, errFailed, errFailed}, true},
		"half of eighteen":         {alternating(9, nil, errFailed), false},
		"half of twenty":           {alternating(10, nil, errFailed), true},
		"excluded ones":            {alternating(20, errNotMine, errNotMine), false},
		"excluded ones in between": {alternating(5, errNotMine, errFailed), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New[int]("test", slog.New(slog.DiscardHandler), func(err error) bool { return errors.Is(err, errNotMine) })
				for _, answer := range tc.answers {
					if _, err := b.Execute(func() (int, error) { return 0, answer }); !errors.Is(err, answer) {
						t.Fatalf("got %v, want %v", err, answer)
					}
				}
				if b.IsOpen() != tc.open {
					t.Fatalf("open: %v", b.IsOpen())
				}
				if !tc.open {
					return
				}
				ask := func() (int, error) { return 7, nil }
				if _, err := b.Execute(ask); !breaker.Refused(err) {
					t.Errorf("open: %v", err)
				}
				time.Sleep(10*time.Second + time.Millisecond)
				if v, err := b.Execute(ask); v != 7 || err != nil || b.IsOpen() {
					t.Errorf("the probe: %d, %v", v, err)
				}
			})
		})
	}
	if breaker.Refused(nil) || breaker.Refused(errFailed) {
		t.Error("an answer counts as a refusal")
	}
}
