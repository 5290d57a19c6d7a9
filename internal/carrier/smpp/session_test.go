package smpp_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/carriertest"
	"codeword/internal/carrier/smpp"
)

func to(t *testing.T) carrier.Message { return carriertest.Message(t, carriertest.Number) }

// sendAll sends n messages at once and returns the errors by their order.
func sendAll(ctx context.Context, t *testing.T, c *smpp.Carrier, n int) (results []error, wait func()) {
	t.Helper()
	results = make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		m := to(t)
		wg.Go(func() { _, results[i] = c.Send(ctx, m) })
	}
	return results, wg.Wait
}

func TestBindAndSubmit(t *testing.T) {
	var bind pdu
	var got []submitted
	script := func(c *peer) error {
		var err error
		if bind, err = c.bound(); err != nil {
			return err
		}
		return c.loop(func(c *peer, p pdu) error {
			got = append(got, readSubmit(t, p))
			return accept(c, p)
		})
	}
	cfg := func(c *smpp.Config) { c.SystemType, c.ServiceType = "otp", "CMT" }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		m := to(t)
		m.Text = "123456 @ €"
		m.ValidUntil = time.Now().Add(9*time.Minute + 30*time.Second)
		receipt, err := c.Send(t.Context(), m)
		if err != nil || receipt.Ref != "id-2" || receipt.Delivered {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		if c.Connected() != 1 || c.Name() != "main" || c.Traits() != (carrier.Traits{}) {
			t.Errorf("connected %d, name %q", c.Connected(), c.Name())
		}
		if want := "codeword\x00hunter2\x00otp\x00\x34\x00\x00\x00"; bind.command != cmdBindTransceiver || string(bind.body) != want {
			t.Errorf("bind %08x %q, want %q", bind.command, bind.body, want)
		}
		want := submitted{
			service: "CMT", sourceTON: 3, source: "12345", destTON: 1, destNPI: 1, dest: "16502530000",
			validity: "000000000930000R", registered: 1, smLength: 11, text: []byte("123456 \x00 \x1b\x65"),
		}
		if len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}, script)
}

func TestBindResponses(t *testing.T) {
	for name, body := range map[string]string{
		"with version":    "SMSC\x00\x02\x10\x00\x01\x34",
		"without version": "SMSC\x00",
		"older version":   "SMSC\x00\x02\x10\x00\x01\x33",
		"without NUL":     "SMSC",
		"without a body":  "",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, c *smpp.Carrier, _ *network) {
				if _, err := c.Send(t.Context(), to(t)); err != nil {
					t.Error(err)
				}
			}, func(c *peer) error {
				p, err := c.receive()
				if err != nil {
					return err
				}
				if err := c.answer(p, 0, body); err != nil {
					return err
				}
				return c.loop(accept)
			})
		})
	}
}

func TestThrottling(t *testing.T) {
	for name, status := range map[string]uint32{"throttled": 0x58, "queue full": 0x14} {
		t.Run(name, func(t *testing.T) {
			var at []time.Time
			throttle := 3
			script := func(c *peer) error {
				return c.serve(func(c *peer, p pdu) error {
					at = append(at, time.Now())
					if throttle > 0 {
						throttle--
						return c.answer(p, status, "")
					}
					return accept(c, p)
				})
			}
			bubble(t, nil, func(t *testing.T, c *smpp.Carrier, _ *network) {
				last := time.Duration(0)
				for range 3 {
					_, err := c.Send(t.Context(), to(t))
					e := wantError(t, err, carrier.Retryable, carrier.ReasonThrottled)
					if e.Effect != carrier.EffectThrottle || e.RetryAfter < smpp.FirstPause/2 || e.RetryAfter < last {
						t.Errorf("effect %d, retry after %v, before %v", e.Effect, e.RetryAfter, last)
					}
					last = e.RetryAfter
				}
				if _, err := c.Send(t.Context(), to(t)); err != nil {
					t.Fatal(err)
				}
				for i := range 3 {
					if gap := at[i+1].Sub(at[i]); gap < smpp.FirstPause<<i*3/4 {
						t.Errorf("try %d came after %v", i+1, gap)
					}
				}
				throttle = 1
				_, err := c.Send(t.Context(), to(t))
				if e := wantError(t, err, carrier.Retryable, carrier.ReasonThrottled); e.RetryAfter > 2*smpp.FirstPause {
					t.Errorf("after a success the pause begins with %v", e.RetryAfter)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_, err = c.Send(ctx, to(t)) // during the pause
				wantError(t, err, carrier.Retryable, carrier.ReasonThrottled)
			}, script)
		})
	}
}

func TestEnquireLink(t *testing.T) {
	var asked atomic.Int64
	script := func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		for {
			p, err := c.receive()
			if err != nil {
				return err
			}
			if p.command == cmdEnquire {
				if asked.Add(1) > 3 {
					continue // from now on it is dead, and the connection stays open
				}
			}
			if err := c.answer(p, 0, ""); err != nil {
				return err
			}
		}
	}
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
		pass(100 * time.Second)
		if asked.Load() != 3 || len(n.dialed()) != 1 {
			t.Fatalf("%d enquire_link in 100 s, %d dials", asked.Load(), len(n.dialed()))
		}
		pass(26 * time.Second) // 30 s of silence, 5 s for an answer
		if len(n.dialed()) != 2 || c.Connected() != 1 {
			t.Errorf("%d dials after an enquire_link without answer", len(n.dialed()))
		}
	}, script, func(c *peer) error { return c.serve(accept) })
}

func TestAnswersTheSMSC(t *testing.T) {
	var got []pdu
	script := func(c *peer) error {
		if _, err := c.bound(); err != nil {
			return err
		}
		for _, p := range []pdu{
			{command: cmdEnquire, sequence: 7},
			{command: 0x00000103 + 1, sequence: 8},          // no such command
			{command: 0x80000103, sequence: 9},              // an answer to nothing
			{command: cmdGenericNack, status: 3},            // to nothing
			{command: 0x102, sequence: 10, body: []byte{0}}, // alert_notification
			{command: cmdDeliver, sequence: 11, body: []byte("\x00\x01")},
			{command: cmdUnbind, sequence: 12},
		} {
			if err := c.send(p); err != nil {
				return err
			}
		}
		for {
			p, err := c.receive()
			if err != nil {
				return err
			}
			got = append(got, p)
		}
	}
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
		want := []pdu{
			{cmdEnquireResp, 0, 7, []byte{}},
			{cmdGenericNack, 3, 8, []byte{}},
			{cmdDeliverResp, 0x65, 11, []byte{0}},
			{cmdUnbindResp, 0, 12, []byte{}},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if c.Connected() != 0 {
			t.Error("still in use after an unbind")
		}
		_, err := c.Send(t.Context(), to(t))
		wantError(t, err, carrier.Retryable, carrier.ReasonUnavailable)
		pass(time.Second)
		if len(n.dialed()) != 2 || c.Connected() != 1 {
			t.Error("did not connect again")
		}
	}, script, func(c *peer) error { return c.serve(accept) })
}

// TestRefusals holds answers against what they mean for the message.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		answer pdu
		class  carrier.Class
		reason string
	}{
		"invalid destination": {pdu{command: cmdSubmitResp, status: 0x0B}, carrier.Rejected, carrier.ReasonInvalidNumber},
		"system error":        {pdu{command: cmdSubmitResp, status: 0x08}, carrier.Retryable, carrier.ReasonUnavailable},
		"invalid source":      {pdu{command: cmdSubmitResp, status: 0x0A}, carrier.Retryable, carrier.ReasonMisconfigured},
		"of the vendor":       {pdu{command: cmdSubmitResp, status: 0x0400}, carrier.Unknown, carrier.ReasonCarrierError},
		"of the vendor, told": {pdu{command: cmdSubmitResp, status: 0x040B}, carrier.Rejected, carrier.ReasonOptedOut},
		"unknown error":       {pdu{command: cmdSubmitResp, status: 0xFF}, carrier.Unknown, carrier.ReasonCarrierError},
		"generic_nack":        {pdu{command: cmdGenericNack, status: 0x02}, carrier.Retryable, carrier.ReasonMisconfigured},
		"generic_nack, fine":  {pdu{command: cmdGenericNack}, carrier.Unknown, carrier.ReasonGarbage},
		"another answer":      {pdu{command: 0x80000021}, carrier.Unknown, carrier.ReasonGarbage},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := func(c *smpp.Config) { c.StatusReasons = map[string]string{"0x0000040B": carrier.ReasonOptedOut} }
			bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
				_, err := c.Send(t.Context(), to(t))
				wantError(t, err, tc.class, tc.reason)
				if _, err := c.Send(t.Context(), to(t)); err == nil {
					t.Error("the second answer was the same, and brought no error")
				}
			}, func(c *peer) error {
				return c.serve(func(c *peer, p pdu) error {
					answer := tc.answer
					answer.sequence = p.sequence
					return c.send(answer)
				})
			})
		})
	}
}

// TestShutdown: Run waits for the answers that are due, unbinds, and takes no
// more messages meanwhile.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var commands []uint32
		n := newNetwork(t, func(c *peer) error {
			return c.serve(func(c *peer, p pdu) error {
				commands = append(commands, p.command)
				time.Sleep(2 * time.Second)
				return accept(c, p)
			})
		})
		c, stop := start(t, config(n))
		synctest.Wait()
		results, wait := sendAll(t.Context(), t, c, 1)
		synctest.Wait()
		go stop()
		synctest.Wait()
		_, err := c.Send(t.Context(), to(t))
		wantError(t, err, carrier.Retryable, carrier.ReasonUnavailable)
		begun := time.Now()
		wait()
		if results[0] != nil || len(commands) != 1 {
			t.Errorf("got %v after %v", results[0], time.Since(begun))
		}
		stop()
		n.wg.Wait()
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestReconnectBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, func(c *peer) error { return c.serve(accept) })
		n.refuse.Store(true)
		cfg := config(n)
		cfg.ReconnectMax = 8 * time.Second
		c, stop := start(t, cfg)
		pass(2 * time.Minute)
		dials := n.dialed()
		if len(dials) < 15 || len(dials) > 40 {
			t.Errorf("%d tries in two minutes", len(dials))
		}
		if first := dials[1].Sub(dials[0]); first > 400*time.Millisecond {
			t.Errorf("the first pause was %v", first)
		}
		for i := 8; i < len(dials)-1; i++ {
			if d := dials[i+1].Sub(dials[i]); d < 5*time.Second || d > 11*time.Second {
				t.Errorf("pause %d was %v", i, d)
			}
		}
		n.refuse.Store(false)
		pass(11 * time.Second)
		if _, err := c.Send(t.Context(), to(t)); err != nil {
			t.Error(err)
		}
		stop()
		n.wg.Wait()
	})
}

func TestConnectionsShareTheLoad(t *testing.T) {
	var mu sync.Mutex
	counts := map[*peer]int{}
	cfg := func(c *smpp.Config) { c.Connections = 3 }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		if c.Connected() != 3 {
			t.Fatalf("%d connections", c.Connected())
		}
		for range 30 {
			if _, err := c.Send(t.Context(), to(t)); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range counts {
			if n != 10 {
				t.Errorf("got %v", counts)
			}
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			mu.Lock()
			counts[c]++
			mu.Unlock()
			return accept(c, p)
		})
	})
}

func TestTransmitterAndReceiver(t *testing.T) {
	var mu sync.Mutex
	binds := map[uint32]int{}
	var reports []carrier.Reports
	script := func(c *peer) error {
		p, err := c.bound()
		if err != nil {
			return err
		}
		mu.Lock()
		binds[p.command]++
		mu.Unlock()
		if p.command == cmdBindReceiver {
			if err := c.send(deliver(1, "6502530000", 0, 0, "STOP")); err != nil {
				return err
			}
		}
		return c.loop(accept)
	}
	cfg := func(c *smpp.Config) {
		c.Bind, c.Connections = smpp.BindTransmitterReceiver, 2
		c.Sink = func(_ context.Context, r carrier.Reports) error {
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, r)
			return nil
		}
	}
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		if _, err := c.Send(t.Context(), to(t)); err != nil {
			t.Error(err)
		}
		if binds[cmdBindTransmitter] != 2 || binds[cmdBindReceiver] != 2 || c.Connected() != 2 || len(reports) != 2 {
			t.Errorf("binds %v, connected %d, %d reports", binds, c.Connected(), len(reports))
		}
	}, script)
}

// TestThrottledTogether: a whole window that is refused makes one pause.
func TestThrottledTogether(t *testing.T) {
	var refused []pdu
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, _ *network) {
		results, wait := sendAll(t.Context(), t, c, 20)
		wait()
		for _, err := range results {
			if e := wantError(t, err, carrier.Retryable, carrier.ReasonThrottled); e.RetryAfter > 2*smpp.FirstPause {
				t.Errorf("retry after %v", e.RetryAfter)
			}
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			if refused = append(refused, p); len(refused) < 20 {
				return nil
			}
			for _, p := range refused {
				if err := c.answer(p, 0x58, ""); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// TestWaitersHearOfTheEnd: who waits for a place learns at once that the last
// connection is gone.
func TestWaitersHearOfTheEnd(t *testing.T) {
	cfg := func(c *smpp.Config) { c.Window = 1 }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		begun := time.Now()
		results, wait := sendAll(context.Background(), t, c, 5)
		wait()
		reasons := map[string]int{}
		for _, err := range results {
			reasons[carrier.Classify(err).Reason]++
		}
		if took := time.Since(begun); took != time.Second || reasons[carrier.ReasonUnavailable] != 4 || reasons[carrier.ReasonConnectionLost] != 1 {
			t.Errorf("%v after %v", reasons, took)
		}
	}, func(c *peer) error {
		return c.serve(func(*peer, pdu) error {
			time.Sleep(time.Second)
			return io.EOF
		})
	})
}

// TestNotBoundAnyMore: an SMSC that forgot our bind gets a new one.
func TestNotBoundAnyMore(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, n *network) {
		_, err := c.Send(t.Context(), to(t))
		wantError(t, err, carrier.Retryable, carrier.ReasonUnavailable)
		pass(time.Second)
		if _, err := c.Send(t.Context(), to(t)); err != nil || len(n.dialed()) != 2 {
			t.Errorf("%v after %d dials", err, len(n.dialed()))
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error { return c.answer(p, 0x04, "") })
	}, func(c *peer) error { return c.serve(accept) })
}

// TestSequenceNumbers: from 1 to 0x7FFFFFFF, and none that still waits.
func TestSequenceNumbers(t *testing.T) {
	got := smpp.Sequences(0x7FFFFFFD, 4, 0x7FFFFFFF, 1)
	if want := []uint32{0x7FFFFFFE, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestRunOnce(t *testing.T) {
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, _ *network) {
		if c.Run(t.Context()) == nil {
			t.Error("ran twice")
		}
	}, func(c *peer) error { return c.serve(accept) })
}

func TestSendWithoutRun(t *testing.T) {
	c, err := smpp.New(config(newNetwork(t)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context(), to(t))
	wantError(t, err, carrier.Retryable, carrier.ReasonUnavailable)
}
