package webhook

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
)

// TestOvertaken: what waits is told when the process ends, and what does not fit is counted.
func TestOvertaken(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil, time.Now)
	e, _ := b.create("https://example.com", KindMessageDelivered)
	id := store.NewMessageID()
	b.emitter.cfg.Messages = &recorder{messages: map[store.MessageID]store.Message{id: {ID: id, Client: client, Route: "main", Status: store.MessageDelivered}}}
	ctx, cancel := context.WithCancel(t.Context())
	b.emitter.hand(id)
	cancel()
	if err := b.emitter.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.queued(&e); len(got) != 1 || got[0].Data.MessageID != id.String() {
		t.Errorf("queued %+v", got)
	}
	dropped := 0
	b.emitter.cfg.Dropped = func(string) { dropped++ }
	for range maxLater + 10 {
		b.emitter.hand(id)
	}
	if dropped != 10 {
		t.Errorf("%d dropped, want 10", dropped)
	}
}

// hanging is a message log whose store does not answer.
type hanging struct{ recorder }

func (*hanging) Message(ctx context.Context, _ store.MessageID) (store.MessageDetail, error) {
	<-ctx.Done()
	return store.MessageDetail{}, ctx.Err()
}

// TestOvertakenWhileTheStoreHangs: what waits does not keep the process from ending, and
// is counted.
func TestOvertakenWhileTheStoreHangs(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]time.Duration{"at once": 0, "in the middle of a try": storeTimeout / 2, "between two": storeTimeout + time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, newMemory(), time.Now)
				b.create("https://example.com/")
				b.emitter.cfg.Messages = &hanging{}
				dropped := 0
				b.emitter.cfg.Dropped = func(kind string) {
					if !slices.Contains(Kinds(), kind) {
						t.Fatalf("%q is no kind", kind)
					}
					dropped++
				}
				for range maxLater {
					b.emitter.hand(store.NewMessageID())
				}
				ctx, cancel := context.WithTimeout(t.Context(), before)
				defer cancel()
				begun := time.Now()
				if err := b.emitter.Run(ctx); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took > before+drainTimeout {
					t.Errorf("it took %v, want %v", took, before+drainTimeout)
				}
				if dropped != maxLater {
					t.Errorf("%d dropped, want %d", dropped, maxLater)
				}
			})
		})
	}
}
