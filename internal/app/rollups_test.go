package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// foldingStore has some entries, and fails when it is told to.
type foldingStore struct {
	engine // nothing else is called

	mu      sync.Mutex
	entries int
	err     error
	calls   int
}

func (f *foldingStore) FoldRollups(_ context.Context, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.err != nil {
		return 0, f.err
	}
	n := min(limit, f.entries)
	f.entries -= n
	return n, nil
}

func (f *foldingStore) set(entries int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries, f.err = entries, err
}

// TestFold: every ten seconds, at once while there is more, and again after a failure,
// which is told.
func TestFold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &foldingStore{entries: 3*foldSlice + 1}
		n := &node{store: s, log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.fold(ctx)
		}()
		after := func(d time.Duration, entries, calls int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.entries != entries || s.calls != calls {
				t.Errorf("%d entries left after %d calls, want %d after %d", s.entries, s.calls, entries, calls)
			}
		}
		after(foldEvery-time.Second, 3*foldSlice+1, 0)
		after(2*time.Second, 0, 4)
		s.set(5, errors.New("disk full"))
		after(foldEvery, 5, 5)
		if !strings.Contains(log.String(), "disk full") {
			t.Errorf("the log says %q", log.String())
		}
		s.set(5, nil)
		after(foldEvery, 0, 6)
		cancel()
		<-done
	})
}

func TestFoldAll(t *testing.T) {
	s := &foldingStore{entries: 2*foldSlice + 7}
	if err := foldAll(t.Context(), s); err != nil || s.entries != 0 {
		t.Errorf("%d entries are left: %v", s.entries, err)
	}
	s.set(1, errors.New("gone"))
	if err := foldAll(t.Context(), s); !errors.Is(err, s.err) {
		t.Errorf("got %v", err)
	}
}
