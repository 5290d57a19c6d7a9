package sqlite_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

// TestToldWhileErased: an event that is queued, and its outcome recorded, after an erasure
// has looked for events and before it removes what they tell of, goes with it. One of what
// comes afterwards stays.
func TestToldWhileErased(t *testing.T) {
	s, _ := newStore(t, sqlite.Config{})
	phone := store.PhoneID(random())
	if _, err := s.StartChallenge(t.Context(), send(phone)); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.ClaimMessages(t.Context(), store.Claim{Now: now(), Lease: time.Minute, Limit: 1})
	if err != nil || len(claimed) != 1 {
		t.Fatal(err, len(claimed))
	}
	to := store.NewEndpointID()
	tell := func(at time.Time) error {
		return s.QueueWebhooks(t.Context(), []store.Webhook{{
			ID: store.NewEventID(), Client: client, Kind: "message.sent", At: at, Until: at.Add(time.Hour),
			Body: fmt.Appendf(nil, `{"data":{"phoneId":"phone-number-live-%s"}}`, phone), Endpoints: []store.EndpointID{to},
		}})
	}
	release := s.Hold()
	var all sync.WaitGroup
	before := s.Stats().Queued
	for i, op := range []func() error{
		func() error { return tell(now().Add(time.Millisecond)) },
		func() error {
			_, err := s.RecordOutcomes(t.Context(), now().Add(2*time.Millisecond), []store.Outcome{{
				ID: claimed[0].ID, Claims: claimed[0].Claims, Status: store.MessageSent, Route: "a",
			}})
			return err
		},
		func() error {
			_, err := s.ErasePhone(t.Context(), store.Erase{Now: now(), Client: client, Phones: []store.PhoneID{phone}})
			return err
		},
	} {
		all.Go(func() {
			if err := op(); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "it waits for the writer", func() bool { return s.Stats().Queued == before+i+1 })
	}
	begun := time.Now()
	eventually(t, "some time has passed", func() bool { return time.Since(begun) > 2*time.Millisecond })
	release()
	all.Wait()
	if left, err := s.Webhooks(t.Context(), store.WebhookQuery{Endpoint: to, Limit: 9}); err != nil || len(left) != 0 {
		t.Errorf("%d events tell of the erased phone, %v", len(left), err)
	}
	if err := tell(now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Webhooks(t.Context(), store.WebhookQuery{Endpoint: to, Limit: 9}); err != nil || len(left) != 1 {
		t.Errorf("%d events of later, %v", len(left), err)
	}
}
