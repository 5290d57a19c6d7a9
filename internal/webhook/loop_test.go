package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeword/internal/audit/audittest"
	"codeword/internal/store"
	"codeword/internal/store/sqlite"
)

func TestSignedAndRotated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(always(204))
		b := newBed(t, newMemory(), time.Now, instead(r))
		e, first := b.create("https://hooks.example.com/x")
		b.run()
		send := func(n int) request {
			t.Helper()
			b.emit(KindMessageSent)
			time.Sleep(2 * pollEvery)
			all := r.all()
			if len(all) != n {
				t.Fatalf("%d requests, want %d", len(all), n)
			}
			return all[n-1]
		}
		got := send(1)
		if !verified(t, first, got) {
			t.Error("the official library refuses our signature")
		}
		if p := decoded(t, got.body); p.Type != KindMessageSent || p.Data.ClientID != client || p.Timestamp.IsZero() {
			t.Errorf("payload %s", got.body)
		}
		second, err := b.registry.StartRotation(t.Context(), audittest.Operator, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.registry.StartRotation(t.Context(), audittest.Operator, e.ID); !errors.Is(err, ErrRotating) {
			t.Errorf("a third secret: %v", err)
		}
		if got := send(2); !verified(t, first, got) || !verified(t, second, got) {
			t.Error("while rotating both secrets must verify")
		}
		if err := b.registry.FinishRotation(t.Context(), audittest.Operator, e.ID); err != nil {
			t.Fatal(err)
		}
		if got := send(3); verified(t, first, got) || !verified(t, second, got) {
			t.Error("after the rotation the new secret alone must verify")
		}
		if err := b.registry.CancelRotation(t.Context(), audittest.Operator, e.ID); !errors.Is(err, ErrNotRotating) {
			t.Errorf("canceled nothing: %v", err)
		}
	})
}

// crowd are receivers by the names of their hosts, without a network.
type crowd map[string]http.RoundTripper

func (c crowd) RoundTrip(r *http.Request) (*http.Response, error) { return c[r.URL.Host].RoundTrip(r) }

// fails is a receiver that gives no answer, at once or never.
type fails struct{ hangs bool }

func (f fails) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return nil, errors.New("reset")
}

// TestManyWithFailing: 1,000 deliveries to 100 endpoints, of which 30 fail in all ways.
// Those of the good ones are all there, once, long before one that hangs is given up.
func TestManyWithFailing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		good := newReceiver(always(200))
		bad := []string{"hangs.example", "resets.example", "broken.example"}
		b := newBed(t, newMemory(), time.Now, instead(crowd{
			"good.example": good, bad[0]: fails{hangs: true}, bad[1]: fails{}, bad[2]: newReceiver(always(500)),
		}))
		takes := make(map[store.EndpointID]bool)
		var all []store.EndpointID
		for i := range 100 {
			host := "good.example"
			if i%10 < 3 {
				host = bad[i%10]
			}
			e, _, err := b.registry.Create(t.Context(), audittest.Operator, "client-"+string(rune('a'+i/10)), "https://"+host+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			takes[e.ID] = host == "good.example"
			all = append(all, e.ID)
		}
		var webhooks []store.Webhook
		wanted := make(map[string]bool)
		for i := range 1000 {
			to := all[i%len(all)]
			w := store.Webhook{ID: store.NewEventID(), Client: client, Kind: KindMessageSent, At: time.Now(), Until: time.Now().Add(GiveUpAfter), Body: []byte("{}"), Endpoints: []store.EndpointID{to}}
			webhooks = append(webhooks, w)
			if takes[to] {
				wanted[w.ID.String()] = true
			}
		}
		if err := b.store.QueueWebhooks(t.Context(), webhooks); err != nil {
			t.Fatal(err)
		}
		b.run()
		time.Sleep(requestTimeout / 2)
		if n := len(good.all()); n != len(wanted) {
			t.Errorf("%d good deliveries, want %d", n, len(wanted))
		}
		time.Sleep(2 * claimLease)
		good.mu.Lock()
		defer good.mu.Unlock()
		for id, n := range good.got {
			if n != 1 || !wanted[id] {
				t.Errorf("%s was delivered %d times, wanted %v", id, n, wanted[id])
			}
		}
		for i, reason := range []string{reasonTimeout, reasonConnect, reasonStatus} {
			listed, err := b.store.Webhooks(t.Context(), store.WebhookQuery{Endpoint: all[i], Limit: 1000})
			if err != nil || len(listed) != 10 || !slices.ContainsFunc(listed, func(d store.WebhookDelivery) bool { return d.Error == reason }) {
				t.Errorf("%s: %+v, %v", bad[i], listed, err)
			}
		}
	})
}

// TestPlacesForTheProven: however many endpoints there are that took nothing yet, or took
// long, half of all places are for those that did otherwise.
func TestPlacesForTheProven(t *testing.T) {
	t.Parallel()
	b := newBed(t, newMemory(), time.Now)
	const many = 300
	for i := range many {
		if _, _, err := b.registry.Create(t.Context(), audittest.Operator, fmt.Sprint("client-", i/maxEndpoints), "https://example.com/", nil); err != nil {
			t.Fatal(err)
		}
	}
	sum := func() (n int) {
		rooms, _ := b.loop.rooms()
		for _, r := range rooms {
			n += r.Limit
		}
		return n
	}
	if got := sum(); got != maxFlights/2 {
		t.Errorf("%d places for endpoints that nothing is known of, want %d", got, maxFlights/2)
	}
	all, err := b.registry.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	// They take off, and hang.
	rooms, _ := b.loop.rooms()
	for _, r := range rooms {
		for range r.Limit {
			b.loop.takeOff(r.Endpoint)
		}
	}
	if got := sum(); got != 0 {
		t.Errorf("%d more places, want none", got)
	}
	good := all[many-1].ID
	b.loop.mu.Lock()
	p := b.loop.peer(good)
	b.loop.mu.Unlock()
	b.loop.landed(p, &store.WebhookOutcome{State: store.DeliveryDone}, time.Now())
	if got := sum(); got < startWindow {
		t.Errorf("%d places for one that takes what it gets", got)
	}
	// One that answers just in time holds its places nearly as long as one that hangs.
	b.loop.landed(p, &store.WebhookOutcome{State: store.DeliveryDone}, time.Now().Add(time.Second-requestTimeout))
	if got := sum(); got != 0 {
		t.Errorf("%d places for one that is slow", got)
	}
}

// TestCrash: the store is lost sight of while deliveries are under way, as by a SIGKILL:
// whoever opens it next delivers what is not known to be delivered.
func TestCrash(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/test.db"
	open := func() *sqlite.Store {
		st, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	dying := &killed{Store: st}
	b := newBed(t, dying, time.Now)
	r, url := newServer(t, always(200))
	b.create(url)
	ids := b.emitAll(KindMessageSent, 200)
	stop := b.run()
	b.eventually("some", func() bool { return len(r.all()) > 50 })
	dying.kill()
	stop()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(r.all())

	again := open()
	t.Cleanup(func() { _ = again.Close() })
	if _, err := again.EndLeases(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	second := newBed(t, again, time.Now, func(c *Config) { c.Keys = b.ring })
	second.run()
	b.eventually("all", func() bool {
		for _, id := range ids {
			if r.count(id) == 0 {
				return false
			}
		}
		return true
	})
	t.Logf("%d before, %d in all for %d events", before, len(r.all()), len(ids))
	for _, id := range ids {
		if n := r.count(id); n > 2 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

// killed is a store whose process dies: from then on nothing is written.
type killed struct {
	*sqlite.Store
	mu   sync.Mutex
	dead bool
}

func (k *killed) kill() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
}

func (k *killed) gone() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errors.New("killed")
	}
	return nil
}

func (k *killed) RecordWebhooks(ctx context.Context, now time.Time, o []store.WebhookOutcome) error {
	if err := k.gone(); err != nil {
		return err
	}
	return k.Store.RecordWebhooks(ctx, now, o)
}

func (k *killed) ClaimWebhooks(ctx context.Context, in store.WebhookClaim) ([]store.WebhookDelivery, error) {
	if err := k.gone(); err != nil {
		return nil, err
	}
	return k.Store.ClaimWebhooks(ctx, in)
}

func TestGoneAndReplayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var status atomic.Int64
		status.Store(http.StatusGone)
		r := newReceiver(func(*request) int { return int(status.Load()) })
		b := newBed(t, newMemory(), time.Now, instead(r))
		e, _ := b.create("https://hooks.example.com/secret")
		b.run()
		id := b.emit(KindMessageSent)
		time.Sleep(2 * pollEvery)
		if now, err := b.registry.Find(t.Context(), e.ID); err != nil || now.Enabled() || now.Reason != ReasonGone {
			t.Errorf("endpoint %+v, %v", now, err)
		}
		if d := b.delivery(&e, id); d.State != store.DeliveryFailed || d.Status != http.StatusGone {
			t.Errorf("delivery %+v", d)
		}
		entries := b.trail.Take()
		if last := entries[len(entries)-1]; last.Kind != EventDisabled || last.Actor != "service" || strings.Contains(string(last.Data), "secret") {
			t.Errorf("entry %+v %s", last, last.Data)
		}
		if len(b.registry.wanting(client, KindMessageSent)) != 0 {
			t.Error("a disabled endpoint is told of events")
		}
		status.Store(http.StatusOK)
		if _, err := b.registry.Enable(t.Context(), audittest.Operator, e.ID); err != nil {
			t.Fatal(err)
		}
		n, err := b.registry.Replay(t.Context(), audittest.Operator, store.WebhookReplay{Endpoint: e.ID, State: store.DeliveryFailed})
		if err != nil || n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		time.Sleep(2 * pollEvery)
		if d := b.delivery(&e, id); d.State != store.DeliveryDone || r.count(id) != 2 {
			t.Errorf("came %d times: %+v", r.count(id), d)
		}
	})
}

// TestBackoff: a delivery is tried again with growing pauses for a day, and then given
// up, and its endpoint with it.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(always(503))
		b := newBed(t, newMemory(), time.Now, instead(r))
		e, _ := b.create("https://hooks.example.com/x")
		stop := b.run()
		id := b.emit(KindMessageSent)
		begun := time.Now()
		time.Sleep(25 * time.Hour)
		stop()
		tries := r.all()
		if d := b.delivery(&e, id); d.State != store.DeliveryFailed || d.Attempts != len(tries) || d.Error != reasonStatus || d.Status != 503 {
			t.Errorf("delivery %+v after %d attempts", d, len(tries))
		}
		if got, _ := b.registry.Find(t.Context(), e.ID); got.Enabled() || got.Reason != ReasonFailing {
			t.Errorf("endpoint %+v", got)
		}
		if n := len(tries); n < 20 || n > 50 {
			t.Errorf("%d attempts", n)
		}
		for i := 1; i < len(tries); i++ {
			pause := tries[i].at.Sub(tries[i-1].at)
			if pause < 3*time.Second || pause > maxRetry*6/5+2*maxPause {
				t.Errorf("attempt %d after %v", i+1, pause)
			}
		}
		if last := tries[len(tries)-1].at.Sub(begun); last < GiveUpAfter || last > GiveUpAfter+2*maxPause {
			t.Errorf("the last attempt was after %v", last)
		}
	})
}

// TestLateStart: what a process finds past its day, because it was down or its clock was
// set forward, is not given up for one failure.
func TestLateStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(always(503))
		b := newBed(t, newMemory(), time.Now, instead(r))
		e, _ := b.create("https://hooks.example.com/x")
		id := b.emit(KindMessageSent)
		time.Sleep(3 * GiveUpAfter) // nobody delivers
		stop := b.run()
		time.Sleep(20 * time.Minute)
		if d := b.delivery(&e, id); d.State != store.DeliveryPending || d.Attempts < 3 {
			t.Errorf("after twenty minutes: %+v", d)
		}
		time.Sleep(2 * time.Hour)
		stop()
		if d := b.delivery(&e, id); d.State != store.DeliveryFailed || d.Attempts != leastAttempts {
			t.Errorf("in the end: %+v", d)
		}
	})
}

// busy is a receiver that wants to be left alone, for what its Retry-After says.
type busy string

func (b busy) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {string(b)}}, Body: http.NoBody}, nil
}

// TestRetryAfter: who names a time in seconds is left alone for that long, up to an hour.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]struct{ least, most time.Duration }{
		"600": {10 * time.Minute, 10 * time.Minute}, "86400": {time.Hour, time.Hour}, "99999999999": {0, 6 * time.Second},
		"1": {4 * time.Second, 6 * time.Second}, "-600": {0, 6 * time.Second}, "Wed, 21 Oct 2099 07:28:00 GMT": {0, 6 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t, newMemory(), time.Now, instead(busy(header)))
			e, _ := b.create("https://example.com/")
			b.run()
			id := b.emit(KindMessageSent)
			begun := time.Now()
			time.Sleep(time.Second)
			d := b.delivery(&e, id)
			if pause := d.DueAt.Sub(begun); d.Attempts != 1 || pause < want.least || pause > want.most {
				t.Errorf("%s: %+v after %v", header, d, pause)
			}
		})
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	seen := make(map[time.Duration]bool)
	for range 100 {
		d := retryAfter(3)
		if d < 36*time.Second || d > 54*time.Second {
			t.Errorf("%v", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 || retryAfter(1000) > maxRetry*6/5 {
		t.Errorf("%d different pauses", len(seen))
	}
}
