package inbound_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/inbound"
	"codeword/internal/store"
)

// ledger marks every phone once and may be down.
type ledger struct {
	mu    sync.Mutex
	down  bool
	sizes []int
}

func (l *ledger) RecordVerified(_ context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.New("down")
	}
	l.sizes = append(l.sizes, len(phones))
	out := make([]store.Verified, len(phones))
	for i, p := range phones {
		out[i] = store.Verified{ID: store.MessageID(p), Route: "main", CreatedAt: now}
	}
	return out, nil
}

func (l *ledger) fail(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func TestProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		var got []store.Verified
		p, err := inbound.NewProofs(inbound.ProofsConfig{
			Store: l, Now: time.Now, Verified: func(v []store.Verified) { got = append(got, v...) },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		for i := range 300 {
			p.Add(store.PhoneID{byte(i), byte(i >> 8)})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 300 || len(l.sizes) != 2 || l.sizes[0] != 256 {
			t.Errorf("told of %d in batches %v, want 300 in two", len(got), l.sizes)
		}
		l.fail(true)
		p.Add(store.PhoneID{1})
		time.Sleep(time.Second)
		l.fail(false)
		p.Add(store.PhoneID{2})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 301 || got[300].ID != (store.MessageID{2}) {
			t.Errorf("after the store was down: %d, want 301", len(got))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for range 10_000 { // nobody takes them, and nobody waits
			p.Add(store.PhoneID{3})
		}
	})
}

// slow is a ledger that takes a second for each batch, or never answers.
type slow struct {
	ledger
	hangs bool
}

func (s *slow) RecordVerified(ctx context.Context, now time.Time, phones []store.PhoneID) ([]store.Verified, error) {
	answer := time.After(time.Second)
	if s.hangs {
		answer = nil
	}
	select {
	case <-answer:
		return s.ledger.RecordVerified(ctx, now, phones)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestProofsAtTheEnd: a stop loses nothing of what was added, unless the store hangs, for
// which it does not wait long.
func TestProofsAtTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		hangs bool
		added int
		// after is how long the phones have been there when the stop comes.
		after time.Duration
		want  int
	}{
		{"nothing was added", false, 0, time.Second, 0},
		{"a batch is gathered", false, 10, 50 * time.Millisecond, 10},
		{"a batch is stored, two wait", false, 700, 50 * time.Millisecond, 700},
		{"the store hangs", true, 700, 50 * time.Millisecond, 0},
		{"the store has hung for long", true, 700, time.Hour, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			got := 0
			p, err := inbound.NewProofs(inbound.ProofsConfig{
				Store: &slow{hangs: tt.hangs}, Now: time.Now, Verified: func(v []store.Verified) { got += len(v) },
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- p.Run(ctx) }()
			for i := range tt.added {
				p.Add(store.PhoneID{byte(i), byte(i >> 8)})
			}
			time.Sleep(tt.after)
			stop()
			begun := time.Now()
			if err := <-ended; err != nil || got != tt.want {
				t.Errorf("%s: %d were noted, want %d; %v", tt.name, got, tt.want, err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("%s: the stop took %v", tt.name, took)
			}
		})
	}
}

func TestProofsNeedTheirParts(t *testing.T) {
	if _, err := inbound.NewProofs(inbound.ProofsConfig{}); err == nil {
		t.Error("made without a store")
	}
}
