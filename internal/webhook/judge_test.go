package webhook

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/store"
)

// picky is a receiver, without a network, that fails at message.failed alone.
type picky struct{}

func (picky) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusNoContent
	if bytes.Contains(body, []byte(KindMessageFailed)) {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// TestDisabledAfterADay: an endpoint is disabled when a delivery was given up, unless it
// took another one within the day before.
func TestDisabledAfterADay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes   time.Duration // after the one that fails was queued
		enabled bool
	}{
		"took nothing since": {-2 * time.Hour, false},
		"took one since":     {2 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, newMemory(), time.Now, func(c *Config) { c.Transport = picky{} })
				e, _ := b.create("https://example.com/")
				b.run()
				var fails store.EventID
				if c.takes < 0 {
					b.emit(KindMessageSent)
					time.Sleep(-c.takes)
					fails = b.emit(KindMessageFailed)
				} else {
					fails = b.emit(KindMessageFailed)
					time.Sleep(c.takes)
					b.emit(KindMessageSent)
				}
				time.Sleep(GiveUpAfter + time.Hour)
				if d := b.delivery(&e, fails); d.State != store.DeliveryFailed {
					t.Fatalf("delivery %+v", d)
				}
				if got, err := b.registry.Find(t.Context(), e.ID); err != nil || got.Enabled() != c.enabled {
					t.Errorf("enabled %t, want %t, %v", got.Enabled(), c.enabled, err)
				}
			})
		})
	}
}
