package storetest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"codeword/internal/fault"
	"codeword/internal/store"
)

func webhookChecks() []check {
	return []check{
		{name: "claimed, put off, delivered", run: webhookLife},
		{name: "of one id the first counts", run: webhookRepeats},
		{name: "each endpoint has its own room", run: webhookRooms},
		{name: "an outcome of an older claim is dropped", run: webhookFence},
		{name: "nobody claims what another has claimed", run: webhookRace},
		{name: "what an endpoint took, and since when", run: webhookTook},
		{name: "replay", run: webhookReplay},
		{name: "listed newest first, in pages", run: webhookPages},
		{name: "told with what an attempt comes to", run: webhookAttempt},
		{name: "kept for seven days", run: webhookSweep, alone: true},
		{name: "erased with the phone that they tell of", run: webhookErased},
		{name: "there after reopening", run: webhookReopen, alone: true, needs: Durable},
	}
}

const webhookLease = 30 * time.Second

// newWebhook makes a webhook for endpoints, whose id sorts by its moment.
func newWebhook(client string, now time.Time, to ...store.EndpointID) store.Webhook {
	return store.Webhook{
		ID: store.EventID(newMessage(now)), Client: client, Kind: "message.sent", At: now, Until: now.Add(day),
		Body: []byte(`{"type":"message.sent"}`), Endpoints: to,
	}
}

// fresh is the delivery of a webhook that nobody claimed.
func fresh(w *store.Webhook, to store.EndpointID) store.WebhookDelivery {
	return store.WebhookDelivery{
		Event: w.ID, Endpoint: to, Client: w.Client, Kind: w.Kind, State: store.DeliveryPending,
		QueuedAt: w.At, DueAt: w.At, Until: w.Until,
	}
}

func (s *suite) claimWebhooks(t *testing.T, now time.Time, rooms ...store.EndpointRoom) []store.WebhookDelivery {
	t.Helper()
	got, err := s.ClaimWebhooks(t.Context(), store.WebhookClaim{Now: now, Lease: webhookLease, Rooms: rooms})
	ok(t, "ClaimWebhooks", err)
	return got
}

func (s *suite) webhooks(t *testing.T, q store.WebhookQuery, want ...store.WebhookDelivery) {
	t.Helper()
	got, err := s.Webhooks(t.Context(), q)
	ok(t, "Webhooks", err)
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("%+v lists\n%+v\nwant\n%+v", q, got, want)
	}
}

func webhookLife(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	w := newWebhook(s.client, at(0), to)
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{w}))
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), nil))
	want := fresh(&w, to)
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 10}, want)
	room := store.EndpointRoom{Endpoint: to, Limit: 5}
	if got := s.claimWebhooks(t, at(-time.Second), room); len(got) != 0 {
		t.Fatalf("claimed before its time: %+v", got)
	}
	want.Claims, want.DueAt = 1, at(webhookLease)
	want.Body = w.Body
	got := s.claimWebhooks(t, at(0), room)
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Fatalf("claimed %+v, want %+v", got, want)
	}
	if again := s.claimWebhooks(t, at(webhookLease-time.Second), room); len(again) != 0 {
		t.Fatalf("claimed under a lease: %+v", again)
	}
	ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Second), []store.WebhookOutcome{{
		Event: w.ID, Endpoint: to, Claims: 1, State: store.DeliveryPending, DueAt: at(time.Minute), Attempts: 1, Status: 500, Error: "status",
	}}))
	if early := s.claimWebhooks(t, at(59*time.Second), room); len(early) != 0 {
		t.Fatalf("claimed before its time: %+v", early)
	}
	got = s.claimWebhooks(t, at(time.Minute), room)
	if len(got) != 1 || got[0].Attempts != 1 || got[0].Status != 500 || got[0].Error != "status" {
		t.Fatalf("claimed %+v", got)
	}
	ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Minute), []store.WebhookOutcome{{
		Event: w.ID, Endpoint: to, Claims: got[0].Claims, State: store.DeliveryDone, Attempts: 2, Status: 204,
	}}))
	listed, err := s.Webhooks(t.Context(), store.WebhookQuery{Endpoint: to, State: store.DeliveryDone, Limit: 1})
	ok(t, "Webhooks", err)
	if len(listed) != 1 || !listed[0].DoneAt.Equal(at(time.Minute)) || !listed[0].DueAt.IsZero() || listed[0].Status != 204 || listed[0].Attempts != 2 {
		t.Errorf("listed %+v", listed)
	}
	if after := s.claimWebhooks(t, at(day), room); len(after) != 0 {
		t.Errorf("claimed what was delivered: %+v", after)
	}
}

func webhookRepeats(t *testing.T, s *suite) {
	to, late := store.NewEndpointID(), store.NewEndpointID()
	w := newWebhook(s.client, at(0), to, to)
	changed := w
	changed.Kind, changed.Endpoints = "changed", []store.EndpointID{late}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{w, changed}))
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{changed}))
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 10}, fresh(&w, to))
	s.webhooks(t, store.WebhookQuery{Endpoint: late, Limit: 10})
}

func webhookRooms(t *testing.T, s *suite) {
	a, b, c := store.NewEndpointID(), store.NewEndpointID(), store.NewEndpointID()
	var all []store.Webhook
	for i := range 9 {
		all = append(all, newWebhook(s.client, at(time.Duration(i)*time.Second), a, b, c))
	}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), all))
	got := s.claimWebhooks(t, at(time.Minute), store.EndpointRoom{Endpoint: a, Limit: 3}, store.EndpointRoom{Endpoint: b, Limit: 100}, store.EndpointRoom{Endpoint: c})
	seen := make(map[store.EndpointID][]store.EventID)
	for _, d := range got {
		seen[d.Endpoint] = append(seen[d.Endpoint], d.Event)
	}
	if len(seen[a]) != 3 || len(seen[b]) != 9 || len(seen[c]) != 0 {
		t.Fatalf("claimed %d, %d and %d", len(seen[a]), len(seen[b]), len(seen[c]))
	}
	for i, id := range seen[a] {
		if id != all[i].ID {
			t.Errorf("claim %d is not the longest due", i)
		}
	}
	if none := s.claimWebhooks(t, at(time.Minute)); len(none) != 0 {
		t.Errorf("claimed %d without room", len(none))
	}
}

func webhookFence(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	w := newWebhook(s.client, at(0), to)
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{w}))
	room := store.EndpointRoom{Endpoint: to, Limit: 1}
	first := s.claimWebhooks(t, at(0), room)
	second := s.claimWebhooks(t, at(time.Minute), room)
	if len(first) != 1 || len(second) != 1 {
		t.Fatal("not claimed twice")
	}
	record := func(claims int, state store.DeliveryState, status int) {
		ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Minute), []store.WebhookOutcome{{
			Event: w.ID, Endpoint: to, Claims: claims, State: state, DueAt: at(time.Hour), Attempts: 1, Status: status,
		}}))
	}
	record(first[0].Claims, store.DeliveryFailed, 500)
	record(second[0].Claims, store.DeliveryDone, 200)
	record(second[0].Claims, store.DeliveryPending, 503) // an outcome counts once
	got, err := s.Webhooks(t.Context(), store.WebhookQuery{Endpoint: to, Limit: 1})
	ok(t, "Webhooks", err)
	if len(got) != 1 || got[0].State != store.DeliveryDone || got[0].Status != 200 {
		t.Errorf("got %+v", got)
	}
}

func webhookRace(t *testing.T, s *suite) {
	const many = 200
	to := store.NewEndpointID()
	var all []store.Webhook
	for i := range many {
		all = append(all, newWebhook(s.client, at(time.Duration(i)*time.Millisecond), to))
	}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), all))
	var mu sync.Mutex
	seen := make(map[store.EventID]int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for idle := 0; idle < 3; {
				got, err := s.ClaimWebhooks(t.Context(), store.WebhookClaim{
					Now: at(time.Second), Lease: webhookLease, Rooms: []store.EndpointRoom{{Endpoint: to, Limit: 7}},
				})
				if err != nil {
					t.Errorf("ClaimWebhooks: %v", err)
					return
				}
				if len(got) == 0 {
					idle++
				}
				mu.Lock()
				for _, d := range got {
					seen[d.Event]++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	if len(seen) != many {
		t.Errorf("%d were claimed, want %d", len(seen), many)
	}
}

func webhookTook(t *testing.T, s *suite) {
	to, other := store.NewEndpointID(), store.NewEndpointID()
	took := func(want bool, endpoint store.EndpointID, since time.Time) {
		t.Helper()
		got, err := s.TookSince(t.Context(), endpoint, since)
		ok(t, "TookSince", err)
		if got != want {
			t.Errorf("took something since %v: %v, want %v", since, got, want)
		}
	}
	// One is taken after a minute, one is given up after two, and two wait, of which one
	// was tried after three.
	var all []store.Webhook
	for i := range 4 {
		all = append(all, newWebhook(s.client, at(time.Duration(i)*time.Second), to, other))
	}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), all))
	took(false, to, time.Time{})
	s.claimWebhooks(t, at(time.Minute), store.EndpointRoom{Endpoint: to, Limit: 3})
	for i, state := range []store.DeliveryState{store.DeliveryDone, store.DeliveryFailed, store.DeliveryPending} {
		now := at(time.Duration(i+1) * time.Minute)
		ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), now, []store.WebhookOutcome{{
			Event: all[i].ID, Endpoint: to, Claims: 1, State: state, DueAt: at(time.Hour), Attempts: 1,
		}}))
	}
	took(true, to, time.Time{})
	took(true, to, at(time.Minute))
	took(false, to, at(time.Minute+time.Millisecond))
	took(false, other, time.Time{})
	took(false, store.NewEndpointID(), time.Time{})
}

func webhookReplay(t *testing.T, s *suite) {
	to, other := store.NewEndpointID(), store.NewEndpointID()
	states := []store.DeliveryState{store.DeliveryDone, store.DeliveryFailed, store.DeliveryFailed, store.DeliveryPending}
	var all []store.Webhook
	var outcomes []store.WebhookOutcome
	for i, state := range states {
		w := newWebhook(s.client, at(time.Duration(i)*time.Second), to, other)
		all = append(all, w)
		outcomes = append(outcomes, store.WebhookOutcome{
			Event: w.ID, Endpoint: to, Claims: 1, State: state, DueAt: at(time.Hour), Attempts: 9, Status: 500,
		})
	}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), all))
	room := store.EndpointRoom{Endpoint: to, Limit: 10}
	s.claimWebhooks(t, at(time.Minute), room)
	ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Minute), outcomes))
	replay := func(want int, in store.WebhookReplay) {
		t.Helper()
		in.Now, in.Until, in.Endpoint = at(2*time.Minute), at(2*day), to
		n := 0
		for in.Limit = 2; ; {
			step, err := s.ReplayWebhooks(t.Context(), in)
			ok(t, "ReplayWebhooks", err)
			n += step.Count
			if in.After = step.Next; in.After == (store.EventID{}) {
				break
			}
		}
		if got := s.claimWebhooks(t, at(2*time.Minute), room); n != want || len(got) != want {
			t.Errorf("%+v: replayed %d, claimed %d; want %d", in, n, len(got), want)
		} else if want > 0 && (got[0].Attempts != 0 || !got[0].Until.Equal(at(2*day))) {
			t.Errorf("claimed %+v", got[0])
		}
		// Whoever had it before reports too late.
		ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Minute), outcomes))
	}
	replay(1, store.WebhookReplay{Event: all[0].ID})
	replay(1, store.WebhookReplay{State: store.DeliveryFailed, Since: at(2 * time.Second)})
	replay(1, store.WebhookReplay{State: store.DeliveryFailed})
	replay(0, store.WebhookReplay{State: store.DeliveryFailed})
	replay(4, store.WebhookReplay{})
	replay(0, store.WebhookReplay{Event: store.NewEventID()})
}

func webhookPages(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	var want []store.WebhookDelivery
	for i := range 7 {
		w := newWebhook(s.client, at(time.Duration(i)*time.Second), to)
		w.Kind = fmt.Sprintf("kind.%d", i)
		ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{w}))
		want = append([]store.WebhookDelivery{fresh(&w, to)}, want...)
	}
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 3}, want[:3]...)
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 3, Before: want[2].Event}, want[3:6]...)
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 3, Before: want[5].Event}, want[6])
	s.webhooks(t, store.WebhookQuery{Endpoint: to})
	s.webhooks(t, store.WebhookQuery{Endpoint: to, State: store.DeliveryFailed, Limit: 9})
	s.webhooks(t, store.WebhookQuery{Endpoint: store.NewEndpointID(), Limit: 9})
}

func webhookSweep(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	old, young := newWebhook(s.client, at(0), to), newWebhook(s.client, at(time.Hour), to)
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{old, young}))
	for range 50 {
		swept, err := s.SweepExpired(t.Context(), store.Sweep{Now: at(store.KeepWebhooks + time.Minute), KeepMessages: 30 * day, Limit: 100})
		ok(t, "SweepExpired", err)
		if swept.Done {
			break
		}
	}
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, fresh(&young, to))
	// What was removed is new when it comes again.
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{old}))
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, fresh(&young, to), fresh(&old, to))
}

func webhookAttempt(t *testing.T, s *suite) {
	to, phone := store.NewEndpointID(), store.PhoneID(random())
	code := s.start(t, s.intent(phone, at(0))).Challenge.ID
	attempt := func(at time.Time, guess store.ChallengeID) (in store.Attempt, verified, exhausted store.Webhook) {
		in = s.guess(phone, at, guess)
		verified, exhausted = newWebhook(s.client, at, to), newWebhook(s.client, at, to)
		verified.Kind, exhausted.Kind = "challenge.verified", "challenge.exhausted"
		in.Verified, in.Exhausted = []store.Webhook{verified}, []store.Webhook{exhausted}
		return in, verified, exhausted
	}
	var want []store.WebhookDelivery
	for i := range maxAttempts {
		in, _, exhausted := attempt(at(time.Duration(i)*time.Second), random())
		s.fail(t, in, fault.WrongCode)
		if i == maxAttempts-1 {
			want = append(want, fresh(&exhausted, to))
		}
		s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, want...)
	}
	in, _, _ := attempt(at(10*time.Second), code) // too late
	s.fail(t, in, fault.WrongCode)
	code = s.start(t, s.intent(phone, at(2*time.Minute))).Challenge.ID
	in, verified, _ := attempt(at(3*time.Minute), code)
	s.pass(t, in)
	want = append([]store.WebhookDelivery{fresh(&verified, to)}, want...)
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, want...)
	in, _, _ = attempt(at(4*time.Minute), code) // used
	s.fail(t, in, fault.WrongCode)
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, want...)
}

func webhookErased(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	phone, former, other := random(), random(), random()
	s.start(t, s.intent(phone, at(0)))
	tells := func(client string, id store.PhoneID, now time.Time) store.Webhook {
		w := newWebhook(client, now, to)
		w.Body = fmt.Appendf(nil, `{"type":"message.sent","data":{"phoneId":"phone-number-live-%s","phoneMask":"+1•"}}`, id)
		return w
	}
	// One waits, one is on its way, one was delivered, one is of the id of an older key.
	all := []store.Webhook{
		tells(s.client, phone, at(0)), tells(s.client, phone, at(time.Second)), tells(s.client, phone, at(2*time.Second)), tells(s.client, former, at(3*time.Second)),
	}
	stay := []store.Webhook{tells(s.client, other, at(4*time.Second)), tells("another-client", phone, at(5*time.Second)), newWebhook(s.client, at(6*time.Second), to)}
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), append(all, stay...)))
	claimed := s.claimWebhooks(t, at(time.Second), store.EndpointRoom{Endpoint: to, Limit: 2})
	if len(claimed) != 2 {
		t.Fatalf("claimed %d", len(claimed))
	}
	record := func() {
		ok(t, "RecordWebhooks", s.RecordWebhooks(t.Context(), at(time.Minute), []store.WebhookOutcome{{
			Event: claimed[0].Event, Endpoint: to, Claims: claimed[0].Claims, State: store.DeliveryDone, Attempts: 1, Status: 200,
		}}))
	}
	record()
	if got := s.erase(t, at(time.Minute), nil, phone, former); got.Webhooks != len(all) {
		t.Errorf("erased %d webhooks, want %d", got.Webhooks, len(all))
	}
	record() // late
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 10}, fresh(&stay[2], to), fresh(&stay[1], to), fresh(&stay[0], to))
	if got := s.erase(t, at(time.Minute), nil, phone, former); got.Webhooks != 0 {
		t.Errorf("erased %d again", got.Webhooks)
	}
	// What is told of the phone from now on stays.
	again := tells(s.client, phone, at(2*time.Minute))
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{again}))
	s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 1}, fresh(&again, to))
	// Unless it is known to have come too late.
	ok(t, "EraseWebhooks", s.EraseWebhooks(t.Context(), nil))
	for range 2 {
		ok(t, "EraseWebhooks", s.EraseWebhooks(t.Context(), []store.EventID{again.ID, stay[2].ID, store.NewEventID()}))
		s.webhooks(t, store.WebhookQuery{Endpoint: to, Limit: 9}, fresh(&stay[1], to), fresh(&stay[0], to))
	}
}

func webhookReopen(t *testing.T, s *suite) {
	to := store.NewEndpointID()
	a, b := newWebhook(s.client, at(0), to), newWebhook(s.client, at(time.Second), to)
	ok(t, "QueueWebhooks", s.QueueWebhooks(t.Context(), []store.Webhook{a, b}))
	s.claimWebhooks(t, at(0), store.EndpointRoom{Endpoint: to, Limit: 1})
	s.reopen(t)
	got := s.claimWebhooks(t, at(time.Minute), store.EndpointRoom{Endpoint: to, Limit: 5})
	if len(got) != 2 {
		t.Errorf("claimed %d after reopening, want 2", len(got))
	}
}
