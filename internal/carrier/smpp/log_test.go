package smpp_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/carrier"
)

// TestLog: an operator reads why there is no connection, not too often, and
// nobody reads a secret, a number or a text.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		refuse := func(c *peer) error {
			p, err := c.receive()
			if err != nil {
				return err
			}
			return c.answer(p, 0x0E, "")
		}
		throttling := func(c *peer) error {
			return c.serve(func(c *peer, p pdu) error { return c.answer(p, 0x58, "") })
		}
		n := newNetwork(t, refuse, refuse, refuse, refuse, refuse, refuse, throttling)
		cfg := config(n)
		cfg.Log = slog.New(slog.NewJSONHandler(&log, nil))
		c, stop := start(t, cfg)
		synctest.Wait()
		_, err := c.Send(t.Context(), to(t))
		if e := wantError(t, err, carrier.Retryable, carrier.ReasonMisconfigured); e.Effect != carrier.EffectMisconfigured {
			t.Errorf("effect %d", e.Effect)
		}
		pass(time.Minute)
		for range 20 {
			_, err := c.Send(t.Context(), to(t))
			wantError(t, err, carrier.Retryable, carrier.ReasonThrottled)
		}
		stop()
		n.wg.Wait()
		text := log.String()
		for _, want := range []string{`"level":"ERROR"`, "ESME_RINVPASWD", `"route":"main"`, "smpp connection bound", "ESME_RTHROTTLED"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		for _, secret := range []string{"hunter2", "6502530000", "123456"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s in\n%s", secret, text)
			}
		}
		if lines := strings.Count(text, "\n"); lines > 20 {
			t.Errorf("%d lines", lines)
		}
	})
}
