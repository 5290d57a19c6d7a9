package smpp_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
	"codeword/internal/carrier/smpp"
	"codeword/internal/message"
)

func TestLongMessages(t *testing.T) {
	long := strings.Repeat("0123456789", 30) // 300 septets
	for name, tc := range map[string]struct {
		mode   string
		text   string
		parts  int
		coding byte
	}{
		"udh":            {smpp.LongUDH, long, 2, 0},
		"udh, UCS-2":     {smpp.LongUDH, strings.Repeat("код ", 40), 3, 8},
		"payload":        {smpp.LongPayload, long, 1, 0},
		"payload, short": {smpp.LongPayload, "short", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got []submitted
			cfg := func(c *smpp.Config) { c.LongMessages = tc.mode }
			bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
				m := to(t)
				m.Text = message.Text(tc.text)
				receipt, err := c.Send(t.Context(), m)
				if err != nil || len(got) != tc.parts || receipt.Ref != fmt.Sprintf("part-%d", len(got)) {
					t.Fatalf("%+v, %v with %d parts", receipt, err, len(got))
				}
				var text []byte
				for i, s := range got {
					body := s.text
					if tc.parts > 1 {
						if s.esmClass != 0x40 || !bytes.HasPrefix(body, []byte{5, 0, 3, got[0].text[3], byte(tc.parts), byte(i + 1)}) {
							t.Errorf("part %d: esm_class %x, % x", i, s.esmClass, body[:6])
						}
						body = body[6:]
					}
					if last := i == len(got)-1; (s.registered == 1) != last {
						t.Errorf("part %d: registered_delivery %d", i, s.registered)
					}
					if s.coding != tc.coding || s.payload != (len(tc.text) > 160 && tc.mode == smpp.LongPayload) {
						t.Errorf("part %d: coding %d, payload %v", i, s.coding, s.payload)
					}
					text = append(text, body...)
				}
				if back, _ := smpp.DecodeText(tc.coding, text, false); back != tc.text {
					t.Errorf("got %q back", back)
				}
			}, func(c *peer) error {
				return c.serve(func(c *peer, p pdu) error {
					got = append(got, readSubmit(t, p))
					return c.answer(p, 0, fmt.Sprintf("part-%d\x00", len(got)))
				})
			})
		})
	}
}

// TestDiesWaiting: a message that died while it waited for a place is not sent,
// and one that waited lives no longer for that.
func TestDiesWaiting(t *testing.T) {
	var seen []submitted
	cfg := func(c *smpp.Config) { c.Window, c.ResponseTimeout = 1, time.Minute }
	bubble(t, cfg, func(t *testing.T, c *smpp.Carrier, _ *network) {
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := c.Send(t.Context(), to(t)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		dead, alive := to(t), to(t)
		dead.ValidUntil, alive.ValidUntil = time.Now().Add(3*time.Second), time.Now().Add(time.Minute)
		first.Go(func() {
			_, err := c.Send(t.Context(), dead)
			wantError(t, err, carrier.Rejected, carrier.ReasonExpired)
		})
		synctest.Wait()
		if _, err := c.Send(t.Context(), alive); err != nil {
			t.Error(err)
		}
		first.Wait()
		if len(seen) != 2 || seen[1].validity != "000000000050000R" {
			t.Errorf("sent %+v", seen)
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error {
			seen = append(seen, readSubmit(t, p))
			time.Sleep(10 * time.Second)
			return accept(c, p)
		})
	})
}

func TestNotSent(t *testing.T) {
	var seen int
	bubble(t, nil, func(t *testing.T, c *smpp.Carrier, _ *network) {
		dead, long := to(t), to(t)
		dead.ValidUntil = time.Now()
		long.Text = message.Text(strings.Repeat("x", 4*153+1))
		_, err := c.Send(t.Context(), dead)
		wantError(t, err, carrier.Rejected, carrier.ReasonExpired)
		_, err = c.Send(t.Context(), long)
		wantError(t, err, carrier.Retryable, carrier.ReasonMisconfigured)
		if seen != 0 {
			t.Errorf("%d were sent", seen)
		}
	}, func(c *peer) error {
		return c.serve(func(c *peer, p pdu) error { seen++; return accept(c, p) })
	})
}
