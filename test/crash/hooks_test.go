package crash_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codeword/internal/addresstest"
	"codeword/internal/waittest"
	"codeword/test/testserver"
)

const (
	// Of ten endpoints three fail: one answers 500, one never, and nobody listens at
	// the third.
	goodEndpoints = 7
	hookSends     = 100
	// hookLimit is in what time good endpoints have what happened: five seconds are
	// promised.
	hookLimit = waittest.Slack * 5 * time.Second
	hookKills = 3
	// maxHookWindow is how many deliveries to an endpoint a node has under way.
	maxHookWindow = 16
)

// arrival is when an endpoint took a webhook.
type arrival struct {
	id, message string
	at          time.Time
}

// hookReceiver is all endpoints; the path tells which.
type hookReceiver struct {
	*httptest.Server

	mu   sync.Mutex
	took map[string][]arrival
}

func newHookReceiver(t *testing.T) *hookReceiver {
	t.Helper()
	r := &hookReceiver{took: make(map[string][]arrival)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(in.Body)
		switch {
		case err != nil:
			return
		case in.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
			return
		case in.URL.Path == "/silent":
			<-in.Context().Done()
			return
		}
		var event struct {
			Data struct {
				MessageID string `json:"messageId"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.took[in.URL.Path] = append(r.took[in.URL.Path], arrival{in.Header.Get("Webhook-Id"), event.Data.MessageID, time.Now()})
	}))
	t.Cleanup(r.CloseClientConnections)
	t.Cleanup(r.Close)
	return r
}

// have tells, by endpoint, which messages it heard of.
func (r *hookReceiver) have() map[string]map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]map[string]bool)
	for path, all := range r.took {
		out[path] = make(map[string]bool)
		for _, a := range all {
			out[path][a.message] = true
		}
	}
	return out
}

// await waits until every good endpoint heard of those messages.
func (r *hookReceiver) await(t *testing.T, want map[string]bool, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		missing, have := 0, r.have()
		for i := range goodEndpoints {
			for id := range want {
				if !have[goodPath(i)][id] {
					missing++
				}
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d deliveries to good endpoints are missing after %s", missing, goodEndpoints*len(want), within)
		}
	}
}

func goodPath(i int) string { return "/good/" + string(rune('0'+i)) }

// repeated lists what an endpoint took more than once, oldest first for each event.
func (r *hookReceiver) repeated() (out [][]arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.took {
		byID := make(map[string][]arrival)
		for _, a := range all {
			byID[a.id] = append(byID[a.id], a)
		}
		for _, same := range byID {
			if len(same) > 1 {
				out = append(out, same)
			}
		}
	}
	return out
}

// delivered are the ids of all messages of a client that arrived.
func delivered(t *testing.T, s *testserver.Server, client string) map[string]bool {
	t.Helper()
	out := make(map[string]bool)
	for cursor := ""; ; {
		var page struct {
			Messages []struct {
				ID string `json:"id"`
			} `json:"messages"`
			NextCursor string `json:"nextCursor"`
		}
		raw := s.Admin("/admin/v1/messages?limit=500&status=delivered&client=" + url.QueryEscape(client) + "&cursor=" + cursor)
		if err := json.Unmarshal(raw, &page); err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			out[m.ID] = true
		}
		if cursor = page.NextCursor; cursor == "" {
			return out
		}
	}
}

// TestWebhooksOverKills: of 1,000 deliveries, 300 of them to endpoints that fail, the
// good ones are all made within 5 s, and once. Then the server is killed again and
// again while it works. In the end every good endpoint has heard of every message that
// arrived; it heard twice only of what was under way when the server was killed, and
// both times under one id.
func TestWebhooksOverKills(t *testing.T) {
	t.Parallel()
	receiver := newHookReceiver(t)
	server := testserver.Start(t, testserver.Options{
		Env: []string{"CODEWORD_LOG_LEVEL=error"}, Flags: []string{"--webhook-allow", "127.0.0.0/8"},
	})
	urls := []string{receiver.URL + "/broken", receiver.URL + "/silent", "http://" + addresstest.Refusing}
	for i := range goodEndpoints {
		urls = append(urls, receiver.URL+goodPath(i))
	}
	for _, to := range urls {
		server.Command("webhook", "create", "--data", server.Data, "--client", server.Live.ID, "--kinds", "message.delivered", "--url", to)
	}
	server.Restart() // servers look once a second, and when they start

	var next, accepted atomic.Int64
	send := func(callers int, more func(n int64) bool) *sync.WaitGroup {
		var all sync.WaitGroup
		for range callers {
			c := connect(t, server)
			all.Go(func() {
				for more(next.Load()) {
					_, err := c.Send(t.Context(), testserver.Number(int(next.Add(1))))
					if err == nil {
						accepted.Add(1)
					} else if _, ok := answered(err); !ok {
						return // the server is gone
					}
				}
			})
		}
		return &all
	}
	send(1, func(n int64) bool { return n < hookSends }).Wait()
	if accepted.Load() != hookSends {
		t.Fatalf("%d of %d sends were accepted", accepted.Load(), hookSends)
	}
	begun := time.Now()
	for len(delivered(t, server, server.Live.ID)) < hookSends && time.Since(begun) < hookLimit {
		time.Sleep(10 * time.Millisecond)
	}
	first := delivered(t, server, server.Live.ID)
	if len(first) != hookSends {
		t.Fatalf("%d of %d messages arrived", len(first), hookSends)
	}
	receiver.await(t, first, hookLimit-time.Since(begun))
	took := time.Since(begun)
	if twice := receiver.repeated(); len(twice) > 0 {
		t.Errorf("%d were delivered twice without a kill", len(twice))
	}

	var kills []time.Time
	for range hookKills {
		ending := atomic.Bool{}
		sending := send(8, func(int64) bool { return !ending.Load() })
		time.Sleep(400 * time.Millisecond) // how long it lives is the experiment
		kills = append(kills, time.Now())
		server.Kill()
		ending.Store(true)
		sending.Wait()
		server.Restart()
	}
	awaitEmptyQueue(t, server)
	all := delivered(t, server, server.Live.ID)
	if int64(len(all)) < accepted.Load() {
		t.Errorf("%d sends were accepted, %d messages arrived", accepted.Load(), len(all))
	}
	limit := hookLimit
	if testserver.Shared() {
		limit += claimsHold // nobody ends the claims of a node that died
	}
	receiver.await(t, all, limit)

	twice := receiver.repeated()
	for _, same := range twice {
		over := false
		for _, kill := range kills {
			over = over || same[0].at.Before(kill.Add(time.Second)) && same[0].at.After(kill.Add(-hookLimit)) && same[len(same)-1].at.After(kill)
		}
		if !over || len(same) > 1+hookKills || same[0].message != same[1].message {
			t.Errorf("delivered %d times although it was not under way at a kill: %+v", len(same), same)
		}
	}
	if most := hookKills * goodEndpoints * maxHookWindow * len(server.Nodes()); len(twice) > most {
		t.Errorf("%d were delivered twice, more than the %d that can be under way at %d kills", len(twice), most, hookKills)
	}
	for path := range maps.Keys(receiver.have()) {
		if !strings.HasPrefix(path, "/good/") {
			t.Errorf("%s took something", path)
		}
	}
	t.Logf("webhooks: %d of %d deliveries to failing endpoints; the %d good ones all there %d ms after the last send, each once; over %d kills %d sends accepted, %d messages told of to %d endpoints, none lost, %d delivered twice",
		hookSends*3, hookSends*10, hookSends*goodEndpoints, took.Milliseconds(), hookKills, accepted.Load(), len(all), goodEndpoints, len(twice))
}
