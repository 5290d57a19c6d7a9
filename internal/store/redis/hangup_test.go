package redis_test

import (
	"context"
	"testing"

	"codeword/internal/fault"
	"codeword/internal/store"
	"codeword/internal/store/redis"
	"codeword/internal/store/redis/redistest"
)

// TestWhoHangsUpIsTold: the last try counts although its caller has gone, and so does the
// event that tells of it.
func TestWhoHangsUpIsTold(t *testing.T) {
	t.Parallel()
	s := open(t, redis.Config{URL: redistest.New(t), Ledger: withClient(t)})
	phone, to := store.PhoneID(random()), store.NewEndpointID()
	mustSend(t, s, phone)
	for try := range maxAttempts {
		ctx, cancel := context.WithCancel(t.Context())
		in := guessAt(phone, moment(0), random())
		in.Exhausted = []store.Webhook{{
			ID: store.NewEventID(), Client: client, Kind: "challenge.exhausted", At: moment(0), Until: moment(ttl), Body: []byte(`{}`), Endpoints: []store.EndpointID{to},
		}}
		in.Match = func(store.Challenge) bool {
			if try == maxAttempts-1 {
				cancel()
			}
			return false
		}
		_, err := s.Attempt(ctx, in)
		cancel()
		wants(t, "Attempt", err, fault.WrongCode)
	}
	got, err := s.Webhooks(t.Context(), store.WebhookQuery{Endpoint: to, Limit: 10})
	if err != nil || len(got) != 1 {
		t.Errorf("%d events, %v", len(got), err)
	}
}
