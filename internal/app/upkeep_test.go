package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
)

// shared is an engine of two nodes, of which one leads.
type shared struct {
	engine
	turn chan struct{}

	mu     sync.Mutex
	kept   []time.Duration // when partitions were kept
	swept  int
	folds  int
	failAt int
	began  time.Time
}

func (s *shared) Lead(ctx context.Context, _ string, f func(context.Context) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return f(ctx)
	case <-ctx.Done():
		return nil
	}
}

func (s *shared) KeepPartitions(_ context.Context, now time.Time, keep time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, time.Since(s.began))
	if len(s.kept) == s.failAt || keep != time.Hour || !now.Equal(time.Now()) {
		return errors.New("failed")
	}
	return nil
}

func (s *shared) SweepExpired(context.Context, store.Sweep) (store.Swept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swept++
	return store.Swept{Done: true}, nil
}

func (s *shared) FoldRollups(context.Context, int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folds++
	return 0, nil
}

// TestUpkeepOnce: of two nodes one sweeps, keeps partitions and adds up, and the other takes
// over when it ends.
func TestUpkeepOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &shared{turn: make(chan struct{}, 1), began: time.Now(), failAt: 2}
		cfg := nodeConfig{Now: time.Now, Flags: serverFlags{KeepMessages: time.Hour}}
		run := func() (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			n := &node{cfg: cfg, store: e, log: slog.New(slog.DiscardHandler)}
			ended := make(chan error)
			go func() { ended <- n.upkeep(ctx) }()
			return func() {
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
		}
		first := run()
		synctest.Wait()
		second := run()
		time.Sleep(2*time.Hour + 2*time.Minute)
		first()
		time.Sleep(time.Minute)
		second()
		want := []time.Duration{0, time.Hour, time.Hour + time.Minute, 2*time.Hour + time.Minute, 2*time.Hour + 2*time.Minute}
		if len(e.kept) != len(want) {
			t.Fatalf("partitions were kept at %v, want %v", e.kept, want)
		}
		for i := range want {
			if e.kept[i] != want[i] {
				t.Errorf("partitions were kept at %v, want %v", e.kept[i], want[i])
			}
		}
		if rounds := int(time.Since(e.began) / sweepRest); e.swept < rounds-3 || e.swept > rounds {
			t.Errorf("%d sweeps in the time of %d rounds", e.swept, rounds)
		}
		if rounds := int(time.Since(e.began) / foldEvery); e.folds < rounds-3 || e.folds > rounds {
			t.Errorf("added up %d times in the time of %d", e.folds, rounds)
		}
	})
}
