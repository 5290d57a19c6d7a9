package console_test

import (
	"strings"
	"testing"
	"time"

	"codeword/internal/store"
)

// TestWebhooksTellTheLatest: the list of endpoints tells how the latest delivery went.
func TestWebhooksTellTheLatest(t *testing.T) {
	const failed, took, waits, up = "the latest delivery failed: no answer came in time", "took one <time", "the latest delivery waits since", "was given up: the answer is no success"
	done := store.WebhookOutcome{State: store.DeliveryDone, Attempts: 1, Status: 200}
	retried := store.WebhookOutcome{State: store.DeliveryPending, DueAt: at(50), Attempts: 2, Error: "timeout"}
	given := store.WebhookOutcome{State: store.DeliveryFailed, Attempts: 8, Status: 500, Error: "status"}
	for name, c := range map[string]struct {
		outcomes []store.WebhookOutcome // of the oldest first
		waiting  int                    // how many are queued behind them
		want     string
	}{
		"nothing queued":         {nil, 0, ""},
		"took all":               {[]store.WebhookOutcome{retried, done}, 0, took},
		"fails":                  {[]store.WebhookOutcome{done, retried}, 0, failed},
		"gave up":                {[]store.WebhookOutcome{done, given}, 0, up},
		"fails, others wait":     {[]store.WebhookOutcome{done, retried}, 9, failed},
		"nothing tried":          {nil, 3, waits},
		"none of the last tried": {[]store.WebhookOutcome{retried}, 10, waits},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWhole(t)
			e, _, err := w.hooks.all.Create(t.Context(), "test", w.client("shop", ""), "https://hooks.example/", nil)
			if err != nil {
				t.Fatal(err)
			}
			queue := func(second int) (id store.EventID) {
				id = store.NewEventID()
				hook := store.Webhook{ID: id, Kind: "message.sent", At: at(second), Until: at(59), Body: []byte("{}"), Endpoints: []store.EndpointID{e.ID}}
				if err := w.hooks.QueueWebhooks(t.Context(), []store.Webhook{hook}); err != nil {
					t.Fatal(err)
				}
				return id
			}
			for _, o := range c.outcomes {
				o.Event, o.Endpoint, o.Claims = queue(1), e.ID, 1
				claim := store.WebhookClaim{Now: at(2), Lease: time.Hour, Rooms: []store.EndpointRoom{{Endpoint: e.ID, Limit: 1}}}
				if claimed, err := w.hooks.ClaimWebhooks(t.Context(), claim); err != nil || len(claimed) != 1 {
					t.Fatal(claimed, err)
				}
				if err := w.hooks.RecordWebhooks(t.Context(), at(3), []store.WebhookOutcome{o}); err != nil {
					t.Fatal(err)
				}
			}
			for range c.waiting {
				queue(4)
			}
			got := w.get("/webhooks")
			w.checkPage("/webhooks", got, true)
			for _, text := range []string{failed, took, waits, up} {
				if says := strings.Contains(got.body, text); says != (text == c.want) {
					t.Errorf("%q: %t", text, says)
				}
			}
			if _, err := w.hooks.all.Disable(t.Context(), "test", e.ID, "operator"); err != nil {
				t.Fatal(err)
			}
			if got := w.get("/webhooks").body; strings.Contains(got, "latest delivery") || strings.Contains(got, took) {
				t.Error("of one that is disabled it tells the latest")
			}
		})
	}
}
