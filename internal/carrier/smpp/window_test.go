package smpp_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/smpp"
)

// TestWindow: never more messages without an answer than the window, exactly as
// many when there are enough, and answers in any order, twice, or to nothing.
func TestWindow(t *testing.T) {
	const window, n = 7, 40
	var outstanding, seen []pdu
	cfg := func(c *smpp.Config) { c.Window = window }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		results, wait := sendAll(t.Context(), t, c, n)
		wait()
		for i, err := range results {
			if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if len(seen) != n {
			t.Errorf("the SMSC saw %d messages, want %d", len(seen), n)
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			outstanding, seen = append(outstanding, p), append(seen, p)
			if len(outstanding) > window {
				t.Errorf("%d messages without an answer", len(outstanding))
			}
			if len(outstanding) < window && len(seen) < n {
				return nil
			}
			for i := len(outstanding) - 1; i >= 0; i-- { // the last one first
				for range 2 {
					if err := accept(c, outstanding[i]); err != nil {
						return err
					}
				}
			}
			outstanding = outstanding[:0]
			return c.send(pdu{command: cmdSubmitResp, sequence: 0x7FFF0000, body: []byte("ghost\x00")})
		})
	})
}

// TestWindowFull: who does not get a place in time has sent nothing.
func TestWindowFull(t *testing.T) {
	var seen atomic.Int64
	cfg := func(c *smpp.Config) { c.Window, c.ResponseTimeout = 4, time.Minute }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		results, wait := sendAll(ctx, t, c, 6)
		wait()
		classes := map[string]int{}
		for _, err := range results {
			classes[err.Error()]++
		}
		if classes["carrier: unknown: timeout"] != 4 || classes["carrier: retryable: canceled"] != 2 || seen.Load() != 4 {
			t.Errorf("got %v with %d seen", classes, seen.Load())
		}
	}, func(c *peer) error {
		return c.serve(func(*peer, pdu) error { seen.Add(1); return nil })
	})
}

// TestLastMoment: with a window that frees its places slowly, whoever got one
// hears what became of its message, and the others have sent nothing.
func TestLastMoment(t *testing.T) {
	cfg := func(c *smpp.Config) { c.Window = 4 }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		results, wait := sendAll(ctx, t, c, 20)
		wait()
		classes := map[string]int{}
		for _, err := range results {
			classes[fmt.Sprint(err)]++
		}
		if classes["<nil>"] != 8 || classes["carrier: retryable: canceled"] != 12 {
			t.Errorf("got %v", classes)
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			go func() {
				time.Sleep(4 * time.Second)
				_ = accept(c, p)
			}()
			return nil
		})
	})
}

// TestLateAnswer: an answer that comes after its sender gave up frees the place
// and is nobody else's.
func TestLateAnswer(t *testing.T) {
	var first pdu
	var late sync.WaitGroup
	script := func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			if first.command == 0 {
				first = p
				late.Go(func() {
					time.Sleep(8 * time.Second)
					_ = c.answer(first, 0, "late\x00")
				})
				return nil
			}
			return accept(c, p)
		})
	}
	cfg := func(c *smpp.Config) { c.Window = 3 }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		begun := time.Now()
		_, err := c.Send(t.Context(), to(t))
		wantError(t, err, carrier.Unknown, carrier.ReasonTimeout)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("gave up after %v, want the response timeout", took)
		}
		for range 10 {
			time.Sleep(time.Second)
			if r, err := c.Send(t.Context(), to(t)); err != nil || r.Ref == "late" {
				t.Fatalf("got %+v, %v", r, err)
			}
		}
		late.Wait()
	}, script)
}

// TestUnansweredMessages: a connection on which half of a window was never
// answered is replaced, and the answers of the others are waited for.
func TestUnansweredMessages(t *testing.T) {
	var seen int
	var ended pdu
	deaf := func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		for {
			p, err := c.receive()
			switch {
			case err != nil:
				return err
			case p.command == cmdUnbind:
				ended = p
				return c.answer(p, 0, "")
			case p.command == cmdSubmit:
				seen++
			}
		}
	}
	cfg := func(c *smpp.Config) { c.Window = 4 }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, n *network) {
		results, wait := sendAll(t.Context(), t, c, 2)
		wait()
		for _, err := range results {
			wantError(t, err, carrier.Unknown, carrier.ReasonTimeout)
		}
		pass(time.Second)
		if ended.command != cmdUnbind || seen != 2 || len(n.dialed()) != 2 || c.Connected() != 1 {
			t.Errorf("unbind %v, %d seen, %d dials", ended, seen, len(n.dialed()))
		}
		if _, err := c.Send(t.Context(), to(t)); err != nil {
			t.Error(err)
		}
	}, deaf, func(c *peer) error { return c.serve(accept) })
}
