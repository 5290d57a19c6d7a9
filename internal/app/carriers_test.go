package app

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
)

// lastWord is a carrier that still handles what comes in while it leaves, as smpp does.
type lastWord struct {
	carrier.Carrier

	handle func()
}

func (c lastWord) Run(ctx context.Context) error {
	<-ctx.Done()
	time.Sleep(time.Second) // the node waits for it by now
	c.handle()
	return nil
}

// TestReplyWhileStopping: a STOP that arrives while the carriers stop finds the carrier
// that answers it, and holds nothing up.
func TestReplyWhileStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCarriers(carrierConfig{})
		handled := false
		handle := func() {
			if !s.mu.TryLock() {
				t.Error("who waits for the carriers keeps them from looking each other up")
				return
			}
			s.mu.Unlock()
			_, handled = s.find("a")
		}
		next := map[string]*liveCarrier{"a": {carrier: lastWord{handle: handle}}}
		if err := s.commit(next, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.run(ctx) }()
		synctest.Wait()
		stop()
		if err := <-ended; err != nil || !handled {
			t.Errorf("ended: %v; the carrier was found: %v", err, handled)
		}
	})
}
