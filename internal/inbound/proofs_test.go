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

func TestProofsNeedTheirParts(t *testing.T) {
	if _, err := inbound.NewProofs(inbound.ProofsConfig{}); err == nil {
		t.Error("made without a store")
	}
}
